"""Distances of images to references: which pairs are worth measuring, and their mean squared error and SSIM."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdiff.errors import MdiffError, nearest
from mdiff.report.cache import Cache, Seen
from mdiff.report.fidelity import Statistic, mse, ssim, statistic
from mdiff.report.grid import Grid
from mdiff.report.raster import pixels, read_rgb
from mdiff.report.record import Cell

BEST = "the most evaluations at the highest precision, for each prompt and seed"
MAX_PAIRS = 2000
MAX_HELD_PIXELS = 8 << 20  # of reference images held at once, at 27 bytes a pixel

_PRECISION = {"float64": 4, "float32": 3, "float16": 2, "bfloat16": 1}

Setting = tuple[tuple[str, str], ...]
File = tuple[Path, Seen]


class _Loaded(NamedTuple):
    image: NDArray[np.uint8]
    statistic: Statistic | None


@dataclass(frozen=True)
class Fidelity:
    """References by label, and for each reference the distance {item: (mse, ssim)}; `missing` pairs had no time."""

    references: tuple[str, ...]
    distances: tuple[Mapping[int, tuple[float, float | None]], ...]
    chosen: tuple[Mapping[tuple[str, ...], int], ...]
    pairs: int
    missing: int
    left_out: int


def label(setting: Setting) -> str:
    """Write a setting the way that a command line does."""
    return " ".join(f"{name}={value}" for name, value in setting)


def measure(
    cells: Sequence[Cell],
    grid: Grid,
    seen: Mapping[Path, Seen],
    cache: Cache,
    *,
    prefer: str | None = None,
    seconds: float | None = None,
) -> Fidelity:
    """Measure every image against the best of its prompt and seed, and against as many settings as `MAX_PAIRS` allows.

    `prefer` names a setting (``scheduler=heun steps=50``) to take as the first reference, an MdiffError where there is
    none; `seconds` bounds the time.
    """
    files = {index: _file(cells, grid, seen, index) for index in range(len(grid.items))}
    usable = [index for index, file in files.items() if file is not None]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in usable:
        groups.setdefault(_group(cells, grid, files, index), []).append(index)
    ranks = {index: _rank(cells[grid.items[index].cell]) for index in usable}
    best = {group: max(members, key=lambda index: ranks[index]) for group, members in groups.items()}
    by_setting: dict[Setting, dict[tuple[str, ...], int]] = {}
    for group, members in groups.items():
        for index in members:
            by_setting.setdefault(grid.setting(grid.items[index]), {}).setdefault(group, index)
    settings = sorted(
        by_setting, key=lambda setting: [-part for part in max(ranks[index] for index in by_setting[setting].values())]
    )
    wished = _wished(prefer, settings)
    settings = wished + [setting for setting in settings if setting not in wished]
    taken = settings[: max(1, MAX_PAIRS // max(1, len(usable)))]
    references = [(BEST, best), *((label(setting), by_setting[setting]) for setting in taken)]
    if wished:
        references.insert(0, references.pop(1))
    chosen = [reference for _, reference in references]
    missing, pairs = _measure_groups(groups, chosen, files, cache, seconds)
    distances = []
    for reference in chosen:
        found: dict[int, tuple[float, float | None]] = {}
        for group, members in groups.items():
            for index in members if group in reference else ():
                distance = _known(cache, files[index], files[reference[group]])
                if distance is not None:
                    found[index] = distance
        distances.append(found)
    labels = tuple(name for name, _ in references)
    return Fidelity(labels, tuple(distances), tuple(chosen), pairs, missing, len(settings) - len(taken))


def _wished(prefer: str | None, settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings that hold every ``key=value`` of `prefer`."""
    if prefer is None:
        return []
    words = set(prefer.replace(",", " ").split())
    found = [setting for setting in settings if words <= {f"{name}={value}" for name, value in setting}]
    if not found:
        known = [label(setting) for setting in settings]
        raise MdiffError(f"--reference {prefer!r}: no setting here has that{nearest(prefer, known)}")
    return found


def _measure_groups(
    groups: Mapping[tuple[str, ...], Sequence[int]],
    chosen: Sequence[Mapping[tuple[str, ...], int]],
    files: Mapping[int, File | None],
    cache: Cache,
    seconds: float | None,
) -> tuple[int, int]:
    """Fill the cache, several groups at once; return how many pairs are left unmeasured, and how many there are."""
    deadline = None if seconds is None else time.monotonic() + seconds

    def measure_group(group: tuple[str, ...]) -> tuple[int, int]:
        members = groups[group]
        targets = list(dict.fromkeys(reference[group] for reference in chosen if group in reference))
        file = files[members[0]]
        size = 1 if file is None else file[1].width * file[1].height
        held = max(1, MAX_HELD_PIXELS // size)
        missing = 0
        for start in range(0, len(targets), held):
            part = targets[start : start + held]
            wanted = [(index, target) for index in members for target in part]
            unknown = [pair for pair in wanted if _known(cache, files[pair[0]], files[pair[1]]) is None]
            loaded: dict[int, _Loaded] = {}
            for at, (index, target) in enumerate(unknown):
                if deadline is not None and time.monotonic() > deadline:
                    missing += len(unknown) - at
                    break
                _measure_pair(index, target, set(part), loaded, files, cache)
        return missing, len(members) * len(targets)

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        counts = list(pool.map(measure_group, groups))
    return sum(missing for missing, _ in counts), sum(pairs for _, pairs in counts)


def _measure_pair(
    index: int,
    target: int,
    targets: set[int],
    loaded: dict[int, _Loaded],
    files: Mapping[int, File | None],
    cache: Cache,
) -> None:
    a, b = files[index], files[target]
    if a is None or b is None or cache.distance(a[1], b[1]) is not None:
        return
    for number in [number for number in loaded if number not in targets and number != index]:
        del loaded[number]
    try:
        for number, file in ((index, a), (target, b)):
            if number not in loaded:
                image = pixels(read_rgb(file[0]))
                loaded[number] = _Loaded(image, statistic(image))
        left, right = loaded[index], loaded[target]
        error = mse(left.image, right.image)
    except ValueError:
        return  # changed since it was looked at: a refresh looks again
    similarity = None
    if left.statistic is not None and right.statistic is not None:
        similarity = ssim(left.statistic, right.statistic)
    cache.keep_distance(a[1], b[1], error, similarity)


def _known(cache: Cache, a: File | None, b: File | None) -> tuple[float, float | None] | None:
    if a is None or b is None:
        return None
    return (0.0, 1.0) if a[1].sha256 == b[1].sha256 else cache.distance(a[1], b[1])


def _file(cells: Sequence[Cell], grid: Grid, seen: Mapping[Path, Seen], index: int) -> File | None:
    item = grid.items[index]
    path = None if item.picture is None else cells[item.cell].pictures[item.picture].path
    if path is None or cells[item.cell].status != "complete" or not seen[path].sha256:
        return None
    return path, seen[path]


def _group(cells: Sequence[Cell], grid: Grid, files: Mapping[int, File | None], index: int) -> tuple[str, ...]:
    """Images that a distance makes sense between: one prompt, one seed, one model, one size of the real pixels."""
    item, file = grid.items[index], files[index]
    size = "" if file is None else f"{file[1].width} x {file[1].height}"
    model = cells[item.cell].text("requested", "model", "path")
    return item.prompt, item.negative_prompt, item.seed, model, size


def _rank(cell: Cell) -> tuple[float, float, float, float]:
    """Order cells by what they cost: precision of arithmetic, of weights, of the decoder, then evaluations."""
    compute, weights, vae = (_PRECISION.get(cell.text("effective", "precision", key), 0) for key in _PLACES)
    evaluations = cell.number("effective", "evaluations")
    return compute, weights, vae, 0.0 if evaluations is None else evaluations


_PLACES = ("compute", "weights", "vae")
