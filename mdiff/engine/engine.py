"""Packs the next evaluation of several trajectories into one network call, and lets each take its row."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mdiff.engine.guidance import guide
from mdiff.engine.profile import STOPPED, Evaluation, Stopwatch
from mdiff.engine.trajectory import Trajectory


class Network(Protocol):
    """What the engine needs of a denoiser: fixed row counts, and conditioning that is brought over once."""

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far, which are no part of a tick."""
        ...

    def fit(self, rows: int) -> int:
        """Return the row count, at least `rows`, to run a call of `rows` rows with."""
        ...

    def prepare(self, conditionings: Sequence[Any], tables: Sequence[np.ndarray]) -> Any:
        """Bring the conditioning of a call's rows to the device; kept for as long as the rows stay the same.

        `tables` has the timesteps (N,) float32 of each row's image, from its first evaluation to its last.
        """
        ...

    def __call__(self, samples: np.ndarray, timesteps: np.ndarray, prepared: Any) -> np.ndarray:
        """Evaluate samples (R, C, h, w) at timesteps (R,) float32; return (R, C, h, w) float32."""
        ...


@dataclass(frozen=True)
class Tick:
    """What one network call did: who advanced, who is done, rows used and paid for, seconds without compilation."""

    advanced: tuple[Trajectory, ...]
    finished: tuple[Trajectory, ...]
    rows_used: int
    rows: int
    seconds: float


class Engine:
    """Runs trajectories of one latent shape, at most `batch` images in a network call.

    The images share nothing but the call: each has its own table, guidance and noise, so packing changes their
    pixels by float rounding at most, and `batch=1` not at all.
    """

    def __init__(self, network: Network, batch: int = 1, watch: Stopwatch = STOPPED):
        self.network, self.batch, self.watch = network, batch, watch
        self._packed: tuple[Any, ...] = ()
        self._prepared: Any = None

    def run(self, waiting: Iterable[Trajectory]) -> Iterator[Tick]:
        """Yield a `Tick` a network call until every trajectory is finished.

        Finished ones leave and waiting ones enter before any call. `waiting` is asked for the next trajectory only
        when there is a place for it; when it ends, those in flight are finished and the run is over. One whose
        conditioning has another shape (a longer prompt) waits until those in flight are through.
        """
        source, active = iter(waiting), list[Trajectory]()
        held: Trajectory | None = None
        more = True
        while True:
            while len(active) < self.batch:
                if held is None and more:
                    held = next(source, None)
                    more = held is not None
                if held is None or (active and held.form != active[0].form):
                    break
                active.append(held)
                held = None
            if not active:
                return
            yield self._tick(active)
            active = [trajectory for trajectory in active if not trajectory.finished]

    def _tick(self, active: Sequence[Trajectory]) -> Tick:
        began, compiled = time.perf_counter(), self.network.compile_seconds
        used = sum(trajectory.rows for trajectory in active)
        rows = self.network.fit(used)
        with self.watch.part("executor"):
            samples, timesteps = self._pack(active, rows)
        output = self.network(samples, timesteps, self._conditioning(active, rows))
        at, taken = 0, [trajectory.rows for trajectory in active]
        for trajectory, count in zip(active, taken, strict=True):
            predicted = output[at]
            if count == 2:
                with self.watch.part("guidance"):
                    predicted = guide(predicted, output[at + 1], trajectory.guidance, trajectory.guidance_rescale)
            with self.watch.part("executor"):
                trajectory.advance(predicted)
            at += count
        seconds = time.perf_counter() - began - (self.network.compile_seconds - compiled)
        parts = self.watch.take()
        for trajectory, count in zip(active, taken, strict=True):
            share = count / used
            trajectory.seconds += seconds * share
            if trajectory.profile is not None:
                row, shares = trajectory.row - 1, {name: each * share for name, each in parts.items()}
                timestep = float(trajectory.table.t[row])
                trajectory.profile.append(Evaluation(row, timestep, seconds * share, rows, shares))
        finished = tuple(trajectory for trajectory in active if trajectory.finished)
        return Tick(tuple(active), finished, used, rows, seconds)

    def _pack(self, active: Sequence[Trajectory], rows: int) -> tuple[np.ndarray, np.ndarray]:
        samples = np.zeros((rows, *active[0].latents.shape), np.float32)
        timesteps = np.zeros(rows, np.float32)
        at = 0
        for trajectory in active:
            place = slice(at, at + trajectory.rows)
            samples[place] = trajectory.table.input(trajectory.row, trajectory.registers)
            timesteps[place] = trajectory.table.t[trajectory.row]
            at += trajectory.rows
        timesteps[at:] = timesteps[0]
        return samples, timesteps

    def _conditioning(self, active: Sequence[Trajectory], rows: int) -> Any:
        """The rows' conditioning, negative before positive; rows that fill the shape repeat the first."""
        packed = (rows, *((trajectory, trajectory.rows) for trajectory in active))
        if packed != self._packed:
            images = [trajectory for trajectory in active for _ in trajectory.conditionings]
            conditionings = [each for trajectory in active for each in trajectory.conditionings]
            empty = rows - len(conditionings)
            tables = [image.table.t.astype(np.float32) for image in images + images[:1] * empty]
            self._prepared = self.network.prepare(conditionings + conditionings[:1] * empty, tables)
            self._packed = packed
        return self._prepared
