"""Where the time of a session goes, stage by stage."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, MutableMapping


class Clock:
    """Seconds by stage ("load", "compile", "encode", "decode"); compilation is in its own stage and no other."""

    def __init__(self) -> None:
        self.total: defaultdict[str, float] = defaultdict(float)
        self._unclaimed: defaultdict[str, float] = defaultdict(float)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds for a stage."""
        self.total[stage] += seconds
        self._unclaimed[stage] += seconds

    @contextlib.contextmanager
    def stage(self, name: str, compile_seconds: Callable[[], float] = float) -> Iterator[None]:
        """Time the block as `name`, less what `compile_seconds` grew by meanwhile, which is compilation."""
        began, before = time.perf_counter(), compile_seconds()
        try:
            yield
        finally:
            compiling = compile_seconds() - before
            self.add("compile", compiling)
            self.add(name, time.perf_counter() - began - compiling)

    @contextlib.contextmanager
    def into(self, timing: MutableMapping[str, float]) -> Iterator[None]:
        """After the block, charge all seconds that nobody was charged for yet to `timing` (keys "<stage>_s")."""
        yield
        for stage, seconds in self._unclaimed.items():
            timing[f"{stage}_s"] = timing.get(f"{stage}_s", 0.0) + seconds
        self._unclaimed.clear()
