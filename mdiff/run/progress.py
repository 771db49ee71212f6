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
        self._began = self._printed = time.monotonic()
        self._plain = shown is not False and cells > 1
        self._bar: Any = None
        if (sys.stderr.isatty() if shown is None else shown) and evaluations:
            from tqdm import tqdm

            self._plain = False
            self._bar = tqdm(total=evaluations, unit="eval", file=sys.stderr, dynamic_ncols=True, leave=False)

    def note(self, text: str) -> None:
        """Say what goes on before and between evaluations (loading, compiling)."""
        if self._bar is not None:
            self._bar.set_description_str(text)

    def advance(self, evaluations: int) -> None:
        """Count evaluations (of one image each) as made."""
        self._made += evaluations
        if self._bar is not None:
            self._bar.update(evaluations)
        elif self._plain and time.monotonic() - self._printed > PLAIN_EVERY_S:
            self._print_line()

    def found(self, images: int, evaluations: int) -> None:
        """Count images of `evaluations` each that an interrupted run had finished."""
        self._images_made += images
        if self._bar is not None and images:
            self._bar.update(images * evaluations)

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
        rate = self._made / (self._printed - self._began)
        left = (self._evaluations - self._made) / rate if rate > 0 else float("inf")
        print(
            f"mdiff: {self._cells_made}/{self._cells} cells, {self._images_made}/{self._images} images, "
            f"{rate:.1f} evaluations/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
