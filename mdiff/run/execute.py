"""Runs jobs: one model resident, cells packed into the engine, files written as images finish."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mdiff.errors import MdiffError
from mdiff.run.group import Group, shape_of
from mdiff.run.job import Job
from mdiff.run.making import MakingCell
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.progress import Progress
from mdiff.run.store import Staging, check_writable, is_disk_full


class StopSignal(Protocol):
    """Asks a run to finish the images in flight and leave (a threading.Event is one)."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended.

    "complete"; "kept": it was complete before; "failed"; "busy": another process is making it; "pending": the run
    was stopped before its turn, or while it was being made.
    """

    job: Job
    status: str
    folder: Path
    error: str | None = None
    record: dict[str, Any] | None = None


def run_jobs(
    jobs: Sequence[Job],
    *,
    stop: StopSignal | None = None,
    progress: bool | None = None,
    on_cell: Callable[[CellOutcome], None] | None = None,
    alone: bool = True,
) -> list[CellOutcome]:
    """Make every job's images and return how each cell ended, in the order of `jobs`.

    Cells that are complete already are kept. `on_cell` is called as each cell ends. `alone` says that no other process
    is at work beside this one, so that its times can be trusted. An error of one cell is in its outcome; one that
    concerns them all (a full disk, an output folder that cannot be written) is raised.
    """
    run = _Run(plan(jobs), stop, progress, on_cell, alone)
    try:
        run.go()
    except MdiffError as error:
        if is_disk_full(error):
            raise MdiffError(f"{error}; once there is room, the same command again makes what is missing") from error
        raise
    finally:
        run.progress.close()
    return [run.ended.get(id(cell), CellOutcome(cell.job, "pending", cell.folder)) for cell in run.cells]


class _Run:
    def __init__(
        self,
        cells: Sequence[PlannedCell],
        stop: StopSignal | None,
        progress: bool | None,
        on_cell: Callable[[CellOutcome], None] | None,
        alone: bool,
    ):
        self.cells, self.stop, self.on_cell, self.alone = cells, stop, on_cell, alone
        self.failed_fast = False
        self.ended: dict[int, CellOutcome] = {}
        self.lengths: defaultdict[Any, list[int]] = defaultdict(list)
        for cell in cells:
            self.lengths[shape_of(cell)] += [len(cell.table)] * cell.images
        todo = [cell for cell in cells if cell.done is None]
        evaluations, images = sum(cell.evaluations for cell in todo), sum(cell.images for cell in todo)
        self.progress = Progress(evaluations, images, len(cells), progress)

    @property
    def stopping(self) -> bool:
        """Whether images in flight are the last."""
        return self.failed_fast or (self.stop is not None and self.stop.is_set())

    def go(self) -> None:
        for cell in self.cells:
            if cell.done is not None:
                self.end(cell, CellOutcome(cell.job, "kept", cell.folder, record=dict(cell.done)))
            elif cell.problem is not None:
                self.end(cell, CellOutcome(cell.job, "failed", cell.folder, cell.problem))
        groups: dict[Any, list[PlannedCell]] = {}
        for cell in self.cells:
            if id(cell) not in self.ended:
                sliced = cell.job.memory.attention_slicing  # other networks
                groups.setdefault((cell.job.model, cell.device, cell.precision, sliced), []).append(cell)
        for folder in {cell.folder.parent for group in groups.values() for cell in group}:
            check_writable(folder)
        for group in groups.values():
            if not self.stopping:
                self._run_model(group)

    def _run_model(self, cells: list[PlannedCell]) -> None:
        """Make the cells of one model, network shape by shape, the longest tables first, so that few rows of the last
        calls are empty. The model stays loaded between the shapes."""
        shapes: dict[Any, list[PlannedCell]] = {}
        for cell in cells:
            shapes.setdefault(shape_of(cell), []).append(cell)
        for group in shapes.values():
            if not self.stopping:
                Group(self, sorted(group, key=lambda cell: -len(cell.table))).go()

    def fail_unmade(self, planned: PlannedCell, error: Exception) -> None:
        """End a cell that was not begun."""
        staging = Staging(planned.folder, planned.fingerprint[:32])
        if staging.claim():
            cell = MakingCell(planned, staging, 0)
            cell.error = error
            self.publish(cell, None)
        else:
            self.ended_as(planned, "busy")

    def ended_as(self, planned: PlannedCell, status: str, record: dict[str, Any] | None = None) -> None:
        """Note the end of a cell that was not made here."""
        self.end(planned, CellOutcome(planned.job, status, planned.folder, record=record))

    def publish(self, cell: MakingCell, device_peak_mb: float | None) -> None:
        """Let a cell appear that was made here, complete or failed."""
        told = cell.publish(device_peak_mb)
        error = told["error"]["message"] if told["error"] is not None else None
        self.end(cell.planned, CellOutcome(cell.planned.job, told["status"], cell.planned.folder, error, told))

    def end(self, planned: PlannedCell, outcome: CellOutcome) -> None:
        """Note how a cell ended, and stop where a failure is to stop all."""
        self.ended[id(planned)] = outcome
        self.progress.cell()
        if outcome.status == "failed" and planned.job.on_error == "stop":
            self.failed_fast = True
        if self.on_cell is not None:
            self.on_cell(outcome)
