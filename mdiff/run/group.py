"""Cells of one model and one network shape, through one engine."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from mdiff import device as devices
from mdiff.engine import STOPPED, Stopwatch, Tick, Trajectory
from mdiff.errors import MdiffError
from mdiff.pipeline.batch import settle_batch
from mdiff.pipeline.request import ImageRequest
from mdiff.pipeline.session import NotFiniteError, Session, resident_session
from mdiff.run.fallback import Fallbacks
from mdiff.run.making import MakingCell, image_request
from mdiff.run.plan import PlannedCell
from mdiff.run.store import Staging, finished_record, is_disk_full

# What a network call may raise, MindSpore's own errors among it.
FAILURES = (RuntimeError, ValueError, TypeError, MemoryError)


def shape_of(cell: PlannedCell) -> tuple[Any, ...]:
    """What the cells of one network call have in common."""
    job = cell.job
    network = job.model, cell.device, cell.precision, job.width, job.height, cell.guided, cell.partly, job.batch
    return *network, job.memory, job.keep, job.on_oom


class Group:
    """Makes `cells` for `run` (`mdiff.run.execute`), which is told how each ends."""

    def __init__(self, run: Any, cells: Sequence[PlannedCell]):
        self.run, self.cells, self.first = run, cells, cells[0]
        self.waiting = iter(cells)
        self.open: list[MakingCell] = []
        self.undecoded: list[tuple[MakingCell, int, Any]] = []  # images whose latents are done
        self.session: Session | None = None
        self.fallbacks: Fallbacks | None = None
        profiled = any(cell.job.profile for cell in cells)
        self.watch = Stopwatch(lambda: devices.synchronize(self.first.device)) if profiled else STOPPED

    def go(self) -> None:
        """Run to the end; a network call that fails ends the cells in flight, and the others go on."""
        try:
            while True:
                try:
                    self._make()
                    return
                except FAILURES as error:
                    memory, told = devices.is_out_of_memory(error), _told(error)
                # The error is gone here, and with it the frames that hold on to what has to be freed
                if memory and self.fallbacks is not None and self.fallbacks.next():
                    self._change_course(self.fallbacks)
                elif self.session is None or not self.open:
                    self._fail_rest(MdiffError(self._explained(memory, told)))
                    return
                else:
                    self._fail_open(MdiffError(self._explained(memory, told)))
        finally:
            for cell in self.open:
                cell.staging.close()

    def _make(self) -> None:
        """Every image that is left: prompts, then latents, then pixels, which come as soon as the UNet may stay."""
        try:
            session = self._loaded()
            session.prepare(self._requests())
        except MdiffError as error:
            self._fail_rest(error)
            return
        assert self.fallbacks is not None
        batch, first = self.fallbacks.batch, self.first
        self.run.progress.note("compiling")
        for tick in session.denoise(self._trajectories(), batch, first.guided, first.partly, self.watch):
            self._take(tick)
            if "unet" in session.keep:
                self._decode_all()
        session.release("unet")
        self._decode_all()
        session.release("vae")

    def _loaded(self) -> Session:
        first = self.first
        memory = first.job.memory if self.fallbacks is None else self.fallbacks.memory
        if self.session is None:
            self.run.progress.note("loading")
            self.session = resident_session(first.description, first.device, first.precision, memory, first.job.keep)
        if self.fallbacks is None:
            self.fallbacks = Fallbacks(first.job.on_oom, memory, self._batch(self.session))
        return self.session

    def _batch(self, session: Session) -> int:
        """Images in a network call; complete cells count too, so that the same command again has the same shape."""
        first = self.first
        lengths = self.run.lengths[shape_of(first)]
        scale = first.description.vae_scale_factor
        latent_shape = first.job.height // scale, first.job.width // scale
        if isinstance(first.job.batch, int):
            batch = min(first.job.batch, len(lengths))
            session.begin(batch, latent_shape, first.guided)
            return batch
        todo = [len(cell.table) for cell in self.cells for _ in range(cell.images)]
        # Trials need the text encoders and the UNet at once
        trying = (self.run.alone or first.device.kind != "cpu") and not session.frees_encoders
        return settle_batch(
            session,
            latent_shape,
            first.guided,
            lengths,
            todo,
            (lambda: session.trajectory(None, image_request(first, 0))) if trying else None,
            lambda: self.run.stopping,
        )

    def _change_course(self, fallbacks: Fallbacks) -> None:
        """Go on with the cells in flight as the fallbacks say; their finished images and latents are kept."""
        for cell in self.open:
            cell.batch, cell.substitutions = fallbacks.batch, [*cell.substitutions, fallbacks.stamps[-1]]
        if self.session is not None:
            self.session.restart()
            if self.session.memory.attention_slicing != fallbacks.memory.attention_slicing:
                self.session = None  # the networks are built anew
            else:
                self.session.memory = fallbacks.memory

    def _requests(self) -> Iterator[ImageRequest]:
        """Every image of the group, for its prompts."""
        for cell in self.cells:
            for prompt in range(len(cell.job.prompts)):
                yield image_request(cell, prompt * cell.job.num_images)

    def _trajectories(self) -> Iterator[Trajectory]:
        """Go on with the cells in flight, then claim cell after cell, until the run is asked to stop."""
        for cell in list(self.open):
            yield from self._images(cell)
        while not self.run.stopping:
            planned = next(self.waiting, None)
            if planned is None:
                return
            claimed = self._claim(planned)
            if claimed is not None:
                yield from self._images(claimed)

    def _claim(self, planned: PlannedCell) -> MakingCell | None:
        """Open a cell, unless another process makes it or has made it between our plan and our claim."""
        assert self.fallbacks is not None
        staging = Staging(planned.folder, planned.fingerprint[:32])
        if not staging.claim():
            self.run.ended_as(planned, "busy")
            return None
        record = finished_record(planned.folder, planned.fingerprint) if planned.job.resume else None
        if record is not None:
            staging.close()
            self.run.ended_as(planned, "kept", record=record)
            return None
        cell = MakingCell(planned, staging, self.fallbacks.batch, self.fallbacks.stamps)
        self.open.append(cell)
        self.run.progress.found(len(cell.images), len(planned.table))
        return cell

    def _images(self, cell: MakingCell) -> Iterator[Trajectory]:
        """Begin the images of a cell that are still to make."""
        there = {index for of, index, _ in self.undecoded if of is cell}
        for index, request in cell.requests():
            if self.run.stopping:
                return
            if index in there or index in cell.lost:
                continue
            try:
                with self._clocked(cell):
                    trajectory = self._session.trajectory((cell, index), request)
            except MdiffError as error:
                cell.lose(index, error)
                continue
            trajectory.profile = None if cell.profile is None else []
            yield trajectory
        self._close_if_complete(cell)

    def _take(self, tick: Tick) -> None:
        self.run.progress.advance(len(tick.advanced))
        for trajectory in tick.finished:
            cell, index = trajectory.key
            cell.timing["denoise_s"] += trajectory.seconds
            if cell.profile is not None and trajectory.profile is not None:
                cell.profile.add(index, trajectory.profile)
            if trajectory.error is None:
                self.undecoded.append((cell, index, trajectory.latents))
            else:
                cell.lose(index, MdiffError(f"image {index}: {trajectory.error}"))
                self._close_if_complete(cell)

    def _decode_all(self) -> None:
        """Decode and save what waits for it."""
        while self.undecoded:
            cell, index, latents = self.undecoded[0]
            try:
                with self._clocked(cell):
                    image = self._decode(cell, latents)
                began = time.perf_counter()
                cell.save(index, image)
                cell.timing["save_s"] += time.perf_counter() - began
                self.run.progress.image()
            except MdiffError as error:
                if is_disk_full(error):
                    raise
                cell.lose(index, error)
            self.undecoded.pop(0)
            self._close_if_complete(cell)

    def _decode(self, cell: MakingCell, latents: Any) -> Any:
        try:
            return self._session.decode(latents)
        except NotFiniteError as error:
            if error.number == "float32" or "vae_fp32" not in cell.planned.job.on_nan:
                raise
            number = error.number
        image = self._session.decode(latents, "float32")
        cell.substitute_vae("float32", f"on_nan vae_fp32: the VAE overflowed in {number}, so it decoded in float32")
        return image

    @property
    def _session(self) -> Session:
        assert self.session is not None
        return self.session

    def _clocked(self, cell: MakingCell) -> Any:
        return self._session.clock.into(cell.timing)

    def _close_if_complete(self, cell: MakingCell) -> None:
        if cell.complete and cell in self.open:
            self.open.remove(cell)
            self.run.publish(cell, devices.memory_peak(self.first.device))

    def _fail_open(self, error: MdiffError) -> None:
        if self.session is not None:
            self.session.restart()
        for cell in self.open:
            cell.error = error
            self.run.publish(cell, devices.memory_peak(self.first.device))
        self.open.clear()
        self.undecoded.clear()

    def _fail_rest(self, error: MdiffError) -> None:
        """Without networks no cell can be made."""
        self._fail_open(error)
        for planned in self.waiting:
            self.run.fail_unmade(planned, error)

    def _explained(self, memory: bool, told: str) -> str:
        if not memory:
            return f"the network call failed: {told}"
        hint = Fallbacks(self.first.job.on_oom, self.first.job.memory, 1).hint()
        if self.fallbacks is not None:
            hint = self.fallbacks.hint()
        return f"not enough memory on the {self.first.device.kind}; {hint}"


def _told(error: BaseException) -> str:
    """The first line of an error that is not mdiff's own."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
