"""How many images share a network call where `engine.batch=auto` leaves it open.

A rule says what is usual for a device and a size. What this very machine does best is measured, but a size that was
never compiled costs seconds before it can be timed, more than a small sweep could ever gain by it. So a trial has to
pay for itself: the sizes beside the best one known, twice and half of it, are timed before a large job begins, and only
as long as that takes at most 3% of the time that the job is going to take anyway. What was found is remembered, by
machine, network, precision and latent shape, so that it is paid for once, and small jobs have it for nothing.

A job uses one size from its first call to its last, the record says which (`effective.batch`), and which one it is
depends only on what is remembered and on the images of the whole job, complete ones included: the same command again
has the same shape, and so the same rounding. The later jobs of one process (the batches of a search) rather take a size
that it has compiled for an earlier one.
"""

import functools
import hashlib
import heapq
import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdiff import device as devices
from mdiff.device.compile_cache import cache_folder, compile_cache
from mdiff.engine import Trajectory
from mdiff.errors import MdiffError

SHARE = 0.03  # of a job's time may go into trials
BETTER = 0.97  # of the time of another size: less is within the noise of a measurement
CALLS = 3  # timed for a size, of which the fastest counts
COLD = 8.0  # how much longer than from the cache a compilation takes (5 to 9 times, measured)
REMEMBERED = 64


def automatic_batch(device: Any, latent_shape: tuple[int, int]) -> int:
    """Images in one network call where nothing was measured.

    On two cores a call of 8 to 16 rows of 16×16 latents costs the least a row, and from 32×32 on more rows bring
    nothing; an NPU has room for a few large images.
    """
    if device.kind != "cpu":
        return 4
    height, width = latent_shape
    return max(1, min(8, 2048 // (height * width)))


def network_calls(lengths: Sequence[int], batch: int) -> int:
    """Network calls that images of `lengths` evaluations take, at most `batch` in each, the longest entering first."""
    ends = [0] * max(1, min(batch, len(lengths)))
    for length in sorted(lengths, reverse=True):
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def best_batch(
    lengths: Sequence[int], usual: int, seconds: Mapping[int, float | None], compiled: Collection[int] = ()
) -> int:
    """Return the size that finishes images of `lengths` evaluations first.

    `seconds` are those of an image in a call, by the images in it, as far as they are known (None: there is no room for
    so many). Every call has the full number of rows, so a size that leaves rows empty at the end pays for them.
    `compiled` are the sizes that this process has the graphs of.
    """
    most = len(lengths)
    known = {size: each for size, each in seconds.items() if each is not None and size <= most}
    cost = {size: network_calls(lengths, size) * size * each for size, each in known.items()}
    chosen = min(usual, most)
    if cost:
        best = min(cost, key=lambda size: (cost[size], size))
        if chosen in cost:
            chosen = best if cost[best] < BETTER * cost[chosen] else chosen
        elif chosen == usual:  # it was found to have no room
            chosen = best
    calls = network_calls(lengths, chosen)
    fewest = max(1, math.ceil(sum(lengths) / calls))
    least = next(size for size in range(min(fewest, chosen), chosen + 1) if network_calls(lengths, size) <= calls)
    if not compiled:
        return least
    most = min(2 * least, max(usual, chosen))  # a few empty rows cost less than a compilation
    return min((size for size in compiled if least <= size <= most), default=chosen)


@dataclass(frozen=True)
class Trial:
    """What trying a size showed: seconds of an image in a call, and of compiling the shape without a cache."""

    seconds: float
    compile_s: float


def explore(
    lengths: Sequence[int],
    usual: int,
    known: dict[int, float | None],
    trial: Callable[[int], Trial | None],
    stopping: Callable[[], bool] = bool,
) -> None:
    """Time sizes beside the best one known and add them to `known`, as long as it is worth the time.

    `lengths` are the evaluations of the images still to make. `trial` returns None for a size that there is no room
    for; once `stopping` no other is begun.
    """
    timed = {size: each for size, each in known.items() if each is not None}
    start = min(min(timed, key=timed.__getitem__, default=usual), len(lengths))
    if not (_untried(start, known, len(lengths)) and sum(lengths) > 4 * CALLS / SHARE):
        return  # everything is known, or the trials' own calls would be too many for the job
    first = trial(start)
    if first is None:
        return
    known[start] = best = first.seconds
    allowed = SHARE * network_calls(lengths, start) * start * first.seconds
    compile_s, spent = first.compile_s, CALLS * start * first.seconds
    while (sizes := _untried(start, known, len(lengths))) and not stopping():
        size = sizes[0]
        if spent + compile_s + (CALLS + 1) * size * best > allowed:
            return
        began = time.perf_counter()
        found = trial(size)
        spent += time.perf_counter() - began
        known[size] = None if found is None else found.seconds
        if found is not None:
            compile_s = found.compile_s
            if found.seconds < BETTER * best:
                start, best = size, found.seconds


def _untried(best: int, known: Mapping[int, float | None], most: int) -> list[int]:
    """Sizes beside the best one that nothing is known of: more first, fewer where more brought nothing."""
    return [size for size in (2 * best, best // 2) if 1 <= size <= most and size not in known]


class Trials:
    """Times calls of a denoiser with the rows of one real image, as many times as the size says.

    `own` is the size that the job is going to have anyway; graphs of all others are kept out of the compile cache,
    where the next process would not look for them.
    """

    def __init__(self, denoiser: Any, image: Trajectory, own: int):
        self._denoiser, self._image, self._own = denoiser, image, own

    def __call__(self, size: int) -> Trial | None:
        """Return what `size` images in a call cost, None where the memory has no room for them."""
        cache = compile_cache()
        try:
            if size == self._own or cache is None:
                return self._time(size)
            if not devices.has_room_to_double():
                return None
            with cache.aside():
                return self._time(size)
        except (RuntimeError, MemoryError) as error:
            if not devices.is_out_of_memory(error):
                raise
            return None

    def _time(self, size: int) -> Trial:
        denoiser, image = self._denoiser, self._image
        conditionings = [each for each in (image.negative, image.positive) if each is not None] * size
        rows = len(conditionings)
        samples = np.repeat(image.table.input(0, image.registers)[None], rows, axis=0)
        timesteps = np.full(rows, image.table.t[0], np.float32)
        before = denoiser.compile_seconds
        prepared = denoiser.prepare(conditionings)
        denoiser(samples, timesteps, prepared)
        compile_s = (denoiser.compile_seconds - before) * (COLD if denoiser.from_cache else 1.0)
        times = []
        for _ in range(CALLS):
            began = time.perf_counter()
            denoiser(samples, timesteps, prepared)
            times.append(time.perf_counter() - began)
        return Trial(min(times) / size, compile_s)


def settle_batch(
    session: Any,
    latent_shape: tuple[int, int],
    guided: bool,
    lengths: Sequence[int],
    todo: Sequence[int],
    begin: Callable[[], Trajectory] | None = None,
    stopping: Callable[[], bool] = bool,
) -> int:
    """Return the size for images of `lengths` evaluations, of which those of `todo` are still to make.

    `session` is the `Session` that makes them. `begin` returns an image to try other sizes with, where they may be
    tried at all: other processes that compute on the same processor would spoil what is measured.
    """
    usual = automatic_batch(session.device, latent_shape)
    memory = BatchMemory(cache_folder() / "batch.json")
    height, width = latent_shape
    identity = f"{session.network_identity} {devices.machine(session.device)} {height}×{width} guided={guided}"
    known = memory.known(identity)
    compiled = session.begun(latent_shape, guided)
    size = best_batch(lengths, usual, known, compiled)
    session.begin(size, latent_shape, guided)
    if begin is None or not todo:
        return size
    before, image = dict(known), functools.cache(begin)

    def trial(each: int) -> Trial | None:
        trials = Trials(session.denoiser, image(), size)
        with session.clock.stage("compile"):  # it is part of getting ready, as a compilation is
            return trials(each)

    # what fails here will fail for the job's own calls as well, which can say of which cell it was
    with suppress(MdiffError, RuntimeError, ValueError, TypeError, MemoryError):
        explore(todo, usual, known, trial, stopping)
    if known == before:
        return size
    memory.remember(identity, known)
    return best_batch(lengths, usual, known, compiled)


class BatchMemory:
    """Seconds of an image in a call, by the images in it, of each network that was measured; one small JSON file.

    A file that cannot be read, or that says what it should not, is the same as none; one that cannot be written is done
    without.
    """

    def __init__(self, path: Path):
        self._path = path

    def known(self, identity: str) -> dict[int, float | None]:
        """Return what is remembered of the network that `identity` describes in full."""
        return self._read().get(_key(identity), {})

    def remember(self, identity: str, known: Mapping[int, float | None]) -> None:
        """Put `known` in place of what was remembered; of very many networks those measured longest ago go."""
        entries = self._read()
        entries.pop(_key(identity), None)
        entries[_key(identity)] = dict(known)
        kept = dict(list(entries.items())[-REMEMBERED:])
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
                partial.replace(self._path)
            finally:
                partial.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[int, float | None]]:
        try:
            found = json.loads(self._path.read_bytes())
            return {
                key: {int(size): each if each is None else float(each) for size, each in entry.items()}
                for key, entry in found.items()
                if all(_sound(int(size), each) for size, each in entry.items())
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _sound(size: int, seconds: object) -> bool:
    if seconds is None:
        return size > 1
    return size >= 1 and isinstance(seconds, float | int) and math.isfinite(seconds) and seconds > 0


def _key(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
