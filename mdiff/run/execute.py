"""Runs jobs: one model resident, cells packed into the engine, files written as images finish."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mdiff import device as devices
from mdiff.engine import Tick, Trajectory
from mdiff.errors import MdiffError
from mdiff.pipeline.batch import settle_batch
from mdiff.pipeline.session import Session, resident_session
from mdiff.run.job import Job
from mdiff.run.making import MakingCell, image_request
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.progress import Progress
from mdiff.run.store import Staging, check_writable, finished_record, is_disk_full


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
            self.lengths[_shape(cell)] += [len(cell.table)] * cell.images
        todo = [cell for cell in cells if cell.done is None]
        evaluations, images = sum(cell.evaluations for cell in todo), sum(cell.images for cell in todo)
        self.progress = Progress(evaluations, images, len(cells), progress)

    @property
    def stopping(self) -> bool:
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
                groups.setdefault((cell.job.model, cell.device, cell.precision), []).append(cell)
        for folder in {cell.folder.parent for group in groups.values() for cell in group}:
            check_writable(folder)
        for group in groups.values():
            if not self.stopping:
                self._run_model(group)

    def _run_model(self, cells: list[PlannedCell]) -> None:
        """Load the cells' model once; then, network shape by shape, the longest tables first, so that few rows of
        the last calls are empty."""
        self.progress.note("loading")
        first = cells[0]
        try:
            session = resident_session(first.description, first.device, first.precision)
        except MdiffError as error:
            for cell in cells:
                self._fail_unmade(cell, error)
            return
        shapes: dict[Any, list[PlannedCell]] = {}
        for cell in cells:
            shapes.setdefault(_shape(cell), []).append(cell)
        for group in shapes.values():
            if not self.stopping:
                _Group(self, session, sorted(group, key=lambda cell: -len(cell.table))).go()

    def _fail_unmade(self, planned: PlannedCell, error: Exception) -> None:
        staging = Staging(planned.folder, planned.fingerprint[:32])
        if staging.claim():
            cell = MakingCell(planned, staging, 0)
            cell.error = error
            self.publish(cell, None)
        else:
            self.end(planned, CellOutcome(planned.job, "busy", planned.folder))

    def publish(self, cell: MakingCell, device_peak_mb: float | None) -> None:
        told = cell.publish(device_peak_mb)
        error = told["error"]["message"] if told["error"] is not None else None
        self.end(cell.planned, CellOutcome(cell.planned.job, told["status"], cell.planned.folder, error, told))

    def end(self, planned: PlannedCell, outcome: CellOutcome) -> None:
        self.ended[id(planned)] = outcome
        self.progress.cell()
        if outcome.status == "failed" and planned.job.on_error == "stop":
            self.failed_fast = True
        if self.on_cell is not None:
            self.on_cell(outcome)


class _Group:
    """Cells of one model and one network shape, through one engine."""

    def __init__(self, run: _Run, session: Session, cells: list[PlannedCell]):
        self.run, self.session, self.waiting = run, session, iter(cells)
        self.open: list[MakingCell] = []
        self.guided = cells[0].guided
        self.batch = self._batch(cells)

    def _batch(self, cells: Sequence[PlannedCell]) -> int:
        """Images in a network call; complete cells count too, so that the same command again has the same shape."""
        first, session = cells[0], self.session
        lengths = self.run.lengths[_shape(first)]
        scale = first.description.vae_scale_factor
        latent_shape = first.job.height // scale, first.job.width // scale
        if isinstance(first.job.batch, int):
            batch = min(first.job.batch, len(lengths))
            session.begin(batch, latent_shape, self.guided)
            return batch
        todo = [len(cell.table) for cell in cells for _ in range(cell.images)]
        trying = self.run.alone or first.device.kind != "cpu"
        return settle_batch(
            session,
            latent_shape,
            self.guided,
            lengths,
            todo,
            (lambda: session.trajectory(None, image_request(first, 0))) if trying else None,
            lambda: self.run.stopping,
        )

    def go(self) -> None:
        """Run to the end; a network call that fails ends the cells in flight, and the others go on."""
        trajectories = self._trajectories()
        try:
            while True:
                try:
                    for tick in self.session.denoise(trajectories, self.batch, self.guided):
                        self._take(tick)
                    return
                except (RuntimeError, ValueError, TypeError, MemoryError) as error:  # MindSpore's own among them
                    self._fail_open(MdiffError(_told(error, self.session.device.kind)))
                    trajectories = self._trajectories()
        finally:
            for cell in self.open:
                cell.staging.close()

    def _trajectories(self) -> Iterator[Trajectory]:
        """Claim cell after cell and begin its images, until the run is asked to stop."""
        while not self.run.stopping:
            planned = next(self.waiting, None)
            if planned is None:
                return
            staging = Staging(planned.folder, planned.fingerprint[:32])
            if not staging.claim():
                self.run.end(planned, CellOutcome(planned.job, "busy", planned.folder))
                continue
            record = finished_record(planned.folder, planned.fingerprint) if planned.job.resume else None
            if record is not None:  # another process finished it between our plan and our claim
                staging.close()
                self.run.end(planned, CellOutcome(planned.job, "kept", planned.folder, record=record))
                continue
            cell = MakingCell(planned, staging, self.batch)
            self.open.append(cell)
            self.run.progress.found(len(cell.images), len(planned.table))
            for index, request in cell.requests():
                if self.run.stopping:
                    return
                try:
                    with self._clocked(cell):
                        trajectory = self.session.trajectory((cell, index), request)
                except (MdiffError, MemoryError) as error:
                    cell.lose(error if isinstance(error, MdiffError) else MdiffError(_told(error, "host")))
                    continue
                yield trajectory
            self._close_if_complete(cell)

    def _take(self, tick: Tick) -> None:
        self.run.progress.advance(len(tick.advanced))
        for trajectory in tick.finished:
            cell, index = trajectory.key
            cell.timing["denoise_s"] += trajectory.seconds
            try:
                if trajectory.error is not None:
                    raise MdiffError(f"image {index}: {trajectory.error}")
                with self._clocked(cell):
                    image = self.session.decode(trajectory.latents)
                began = time.perf_counter()
                cell.save(index, image)
                cell.timing["save_s"] += time.perf_counter() - began
                self.run.progress.image()
            except MdiffError as error:
                if is_disk_full(error):
                    raise
                cell.lose(error)
            self._close_if_complete(cell)

    def _clocked(self, cell: MakingCell) -> Any:
        return self.session.clock.into(cell.timing)

    def _close_if_complete(self, cell: MakingCell) -> None:
        if cell.complete and cell in self.open:
            self.open.remove(cell)
            self.run.publish(cell, devices.memory_peak(self.session.device))

    def _fail_open(self, error: MdiffError) -> None:
        for cell in self.open:
            cell.error = error
            self.run.publish(cell, devices.memory_peak(self.session.device))
        self.open.clear()


def _shape(cell: PlannedCell) -> tuple[Any, ...]:
    """What the cells of one network call have in common."""
    job = cell.job
    return job.model, cell.device, cell.precision, job.width, job.height, cell.guided, job.batch


def _told(error: BaseException, where: str) -> str:
    """One sentence for an error that is not mdiff's own."""
    if devices.is_out_of_memory(error):
        return f"not enough memory on the {where}; use a smaller size or engine.batch=1"
    lines = str(error).strip().splitlines()
    return f"the network call failed: {lines[0] if lines else type(error).__name__}"
