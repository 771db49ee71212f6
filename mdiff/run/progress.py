"""Progress on the terminal: a bar over network evaluations, or a plain line now and then for a log."""

import sys
import time
from typing import Any

PLAIN_EVERY_S = 30.0


class Progress:
    """A tqdm bar where stderr is a terminal; else a line every half minute for sweeps, nothing for a single cell."""

    def __init__(self, evaluations: int, images: int, cells: int, shown: bool | None = None):
        self._evaluations, self._images, self._cells = evaluations, images, cells
        self._made = self._images_made = self._cells_made = 0
        self._printed = time.monotonic()
        self._first: tuple[float, int] | None = None  # when the first call had ended, and how far it had come
        self._noted = False
        self._plain = shown is not False and cells > 1
        self._bar: Any = None
        if (sys.stderr.isatty() if shown is None else shown) and evaluations:
            from tqdm import tqdm

            self._plain = False
            self._bar = tqdm(total=evaluations, unit="eval", file=sys.stderr, dynamic_ncols=True, leave=False)
            self._counts()

    def note(self, text: str) -> None:
        """Say what goes on before and between evaluations (loading, compiling), until the next evaluation."""
        if self._bar is not None:
            self._bar.set_description_str(text)
            self._noted = True

    def advance(self, evaluations: int) -> None:
        """Count evaluations (of one image each) as made."""
        self._made += evaluations
        if self._first is None:
            self._first = time.monotonic(), self._made
        if self._bar is not None:
            if self._noted:
                self._bar.set_description_str("", refresh=False)
                self._noted = False
            self._bar.update(evaluations)
        elif self._plain and time.monotonic() - self._printed > PLAIN_EVERY_S:
            self._print_line()

    def found(self, images: int, evaluations: int) -> None:
        """Count images of `evaluations` each that an interrupted run had finished."""
        self._images_made += images
        self._evaluations -= images * evaluations
        if self._bar is not None and images:
            self._bar.total = self._evaluations
            self._counts()

    def image(self) -> None:
        """Count an image as written."""
        self._images_made += 1
        self._counts()

    def cell(self) -> None:
        """Count a cell as ended."""
        self._cells_made += 1
        self._counts()

    def close(self) -> None:
        """Leave the terminal clean."""
        if self._bar is not None:
            self._bar.close()

    def _counts(self) -> None:
        if self._bar is not None:
            cells = f"{self._cells_made}/{self._cells} cells, " if self._cells > 1 else ""
            self._bar.set_postfix_str(f"{cells}{self._images_made}/{self._images} images")

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        print(
            f"mdiff: {self._cells_made}/{self._cells} cells, {self._images_made}/{self._images} images{self._pace()}",
            file=sys.stderr,
            flush=True,
        )

    def _pace(self) -> str:
        """Evaluations a second since the first call, which had loading and compiling before it, and what they mean."""
        assert self._first is not None
        began, before = self._first
        seconds, evaluations = self._printed - began, self._made - before
        if seconds <= 0 or evaluations <= 0:
            return ""
        left = (self._evaluations - self._made) * seconds / evaluations
        return f", {evaluations / seconds:.1f} evaluations/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
