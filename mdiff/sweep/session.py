"""What a sweep leaves for its end: Hydra makes the launcher itself, so the two meet here."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mdiff.run import CellOutcome
from mdiff.sweep.interrupt import Interrupt


@dataclass
class Session:
    """One sweep of this process: how its cells ended so far, where they lie, and whether to stop."""

    interrupt: Interrupt
    outcomes: list[CellOutcome] = field(default_factory=list)
    folder: Path | None = None
    failures: list[str] = field(default_factory=list)


_sessions: list[Session] = []


def current() -> Session:
    """Return the sweep going on, a new one where a launcher is used on its own."""
    return _sessions[-1] if _sessions else Session(Interrupt())


@contextlib.contextmanager
def session(interrupt: Interrupt) -> Iterator[Session]:
    """A sweep, for the block."""
    _sessions.append(Session(interrupt))
    try:
        yield _sessions[-1]
    finally:
        _sessions.pop()
