"""Cells that another process is making: waited for, and made here should it give them up."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mdiff.run import CellOutcome, Job
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.store import Staging
from mdiff.sweep.interrupt import Interrupt
from mdiff.sweep.summary import listed

WAIT_S = 1.0


def settle_busy(
    outcomes: Sequence[CellOutcome], interrupt: Interrupt, run: Callable[[Sequence[Job]], Sequence[CellOutcome]]
) -> list[CellOutcome]:
    """Return `outcomes` with every busy cell's end: kept where the other process completed it, else made here.

    `run` is given all jobs once more, complete cells being kept: so their network calls have the same shape.
    """
    settled = list(outcomes)
    jobs = [replace(outcome.job, resume=True) for outcome in outcomes]
    told = False
    while not interrupt.is_set() and (busy := [at for at, each in enumerate(settled) if each.status == "busy"]):
        if not told:
            names = listed([settled[at].folder.name for at in busy])
            print(f"mdiff: waiting for another process, which is making {names}", file=sys.stderr, flush=True)
            told = True
        cells = dict(zip(busy, plan([jobs[at] for at in busy]), strict=True))
        if any(cell.done is None and is_free(cell) for cell in cells.values()):
            made = run(jobs)
            settled = [made[at] if at in cells else each for at, each in enumerate(settled)]
            continue
        for at, cell in cells.items():
            if cell.done is not None:
                settled[at] = CellOutcome(cell.job, "kept", cell.folder, record=dict(cell.done))
        pause(interrupt)
    return settled


def is_free(cell: PlannedCell) -> bool:
    """Whether no living process is making the cell."""
    staging = Staging(cell.folder, cell.fingerprint[:32])
    try:
        return staging.claim()
    finally:
        staging.close()


def pause(interrupt: Interrupt) -> None:
    """Wait a second, less where the sweep is asked to stop."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and not interrupt.is_set():
        time.sleep(0.05)
