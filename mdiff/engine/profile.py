"""Where the time of network calls goes, for those who ask."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one image: the table's row and timestep, the image's share of the seconds of the call, the
    rows of the call, and its share of each part of it."""

    row: int
    timestep: float
    seconds: float
    rows: int
    parts: Mapping[str, float]


class Stopwatch:
    """Seconds by part since the last `take`; `settle` waits for the device, so that a part's work is done in it."""

    def __init__(self, settle: Callable[[], None] = lambda: None):
        self._settle = settle
        self._spent: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def part(self, name: str, compile_seconds: Callable[[], float] = float) -> Iterator[None]:
        """Time the block as `name`, less what `compile_seconds` grew by meanwhile."""
        began, before = time.perf_counter(), compile_seconds()
        try:
            yield
        finally:
            self._settle()
            self._spent[name] += time.perf_counter() - began - (compile_seconds() - before)

    def take(self) -> dict[str, float]:
        """Return the seconds by part, and begin anew."""
        spent = dict(self._spent)
        self._spent.clear()
        return spent


class _Stopped(Stopwatch):
    """Times nothing, and so costs nothing."""

    _nothing = contextlib.nullcontext()

    def part(self, name: str, compile_seconds: Callable[[], float] = float) -> Any:
        return self._nothing

    def take(self) -> dict[str, float]:
        return {}


STOPPED = _Stopped()
