"""What differs between two folders of results: config, versions, timings and pixels."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError
from mdiff.report.cache import write_atomically
from mdiff.report.comparison_page import comparison_body
from mdiff.report.compose import load_cells
from mdiff.report.fidelity import mse, psnr, ssim, statistic
from mdiff.report.grid import ABSENT, APART
from mdiff.report.index import TIMES, seconds_per_image
from mdiff.report.page import render
from mdiff.report.raster import digest, pixels, read_rgb
from mdiff.report.record import Cell, Picture, leaves

PAGE = "compare.html"

Difference = tuple[str, str, str, int]


@dataclass(frozen=True)
class Pixels:
    """Two images of one place: their mean squared error (None where they cannot be compared) and why."""

    cell: str
    file: str
    a: Path | None
    b: Path | None
    error: float | None
    similarity: float | None
    note: str

    @property
    def identical(self) -> bool:
        """Whether every byte of RGB is the same."""
        return self.error == 0

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.error is None:
            return self.note
        if self.identical:
            return "identical"
        seen = "" if self.similarity is None else f", SSIM {self.similarity:.4f}"
        return f"PSNR {psnr(self.error):.2f} dB{seen}"


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`; `differences` maps config, effective, versions, weights, git to (name, a, b, cells)."""

    a: Path
    b: Path
    page: Path
    matched: tuple[tuple[Cell, Cell], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    differences: Mapping[str, Sequence[Difference]]
    ratios: Mapping[str, tuple[float, float, float]]
    images: tuple[Pixels, ...]

    @property
    def summary(self) -> str:
        """A few lines for a terminal."""
        same = sum(image.identical for image in self.images)
        lines = [f"{len(self.matched)} cells in both, {len(self.only_a)} only in A, {len(self.only_b)} only in B"]
        lines.append(f"pixels: {same} of {len(self.images)} images identical")
        apart = [image for image in self.images if not image.identical]
        lines += [f"  {image.cell}/{image.file}: {image.verdict}" for image in _worst(apart)[:5]]
        for kind, found in self.differences.items():
            lines += [f"{kind}: {name}: {_line(a)} -> {_line(b)} ({count} cells)" for name, a, b, count in found[:20]]
        for name, (a, b, ratio) in self.ratios.items():
            lines.append(f"time: {name}: {a:.3g} s -> {b:.3g} s (B takes {ratio:.2f} times as long, median of cells)")
        return "\n".join(lines)


def compare(a: str | Path, b: str | Path, out: str | Path | None = None) -> Comparison:
    """Match the cells of two folders by what varies in either, and write `compare.html` and `compare.json`.

    They go to `out` (default: the first folder). MdiffError where a folder holds no cell.
    """
    first, second = Path(a), Path(b)
    target = first if out is None else Path(out)
    cells_a, cells_b = load_cells(first)[0], load_cells(second)[0]
    matched, only_a, only_b = _match(cells_a, cells_b)
    comparison = Comparison(
        a=first,
        b=second,
        page=target / PAGE,
        matched=tuple(matched),
        only_a=tuple(only_a),
        only_b=tuple(only_b),
        differences=_differences(matched),
        ratios=_ratios(matched),
        images=tuple(image for pair in matched for image in _images(*pair)),
    )
    try:
        target.mkdir(parents=True, exist_ok=True)
        body = comparison_body(comparison, _worst([image for image in comparison.images if not image.identical]))
        write_atomically(comparison.page, render(f"{first.name} and {second.name} — mdiff comparison", body))
        write_atomically(target / "compare.json", json.dumps(_plain(comparison), indent=1) + "\n")
    except OSError as error:
        raise MdiffError(f"cannot write the comparison to {target}: {error.strerror}") from error
    return comparison


def _match(a: Sequence[Cell], b: Sequence[Cell]) -> tuple[list[tuple[Cell, Cell]], list[str], list[str]]:
    """Pair cells whose settings agree in every key that varies within A or within B."""
    flat_a, flat_b = [_settings(cell) for cell in a], [_settings(cell) for cell in b]
    keys = sorted(_varying(flat_a) | _varying(flat_b))
    waiting: dict[tuple[str, ...], list[Cell]] = {}
    for cell, settings in zip(b, flat_b, strict=True):
        waiting.setdefault(tuple(settings.get(key, ABSENT) for key in keys), []).append(cell)
    matched, only_a = [], []
    for cell, settings in zip(a, flat_a, strict=True):
        candidates = waiting.get(tuple(settings.get(key, ABSENT) for key in keys), [])
        if candidates and cell.record:
            partner = next((other for other in candidates if other.name == cell.name), candidates[0])
            candidates.remove(partner)
            matched.append((cell, partner))
        else:
            only_a.append(cell.name)
    return matched, only_a, [cell.name for cells in waiting.values() for cell in cells]


def _settings(cell: Cell) -> dict[str, str]:
    return {name: value for name, value in cell.settings.items() if name.split(".")[0] not in APART}


def _varying(configs: Sequence[Mapping[str, str]]) -> set[str]:
    usable = [config for config in configs if config]
    names = {name for config in usable for name in config}
    return {name for name in names if len({config.get(name, ABSENT) for config in usable}) > 1}


def _differences(matched: Sequence[tuple[Cell, Cell]]) -> dict[str, list[Difference]]:
    kinds: dict[str, Any] = {
        "config": _settings,
        "status": lambda cell: {"status": cell.status},
        "effective": lambda cell: leaves(cell.mapping("effective")),
        "versions": lambda cell: leaves(cell.mapping("versions")),
        "weights": lambda cell: leaves(cell.mapping("weights")),
        "git": lambda cell: leaves(cell.mapping("git")),
    }
    found: dict[str, list[Difference]] = {}
    for kind, leaves_of in kinds.items():
        counts: Counter[tuple[str, str, str]] = Counter()
        for a, b in matched:
            left, right = leaves_of(a), leaves_of(b)
            for name in dict.fromkeys([*left, *right]):
                pair = left.get(name, ABSENT), right.get(name, ABSENT)
                if pair[0] != pair[1]:
                    counts[(name, *pair)] += 1
        if counts:
            found[kind] = [(*entry, count) for entry, count in counts.most_common(200)]
    return found


def _ratios(matched: Sequence[tuple[Cell, Cell]]) -> dict[str, tuple[float, float, float]]:
    """Median seconds in A and in B, and the median of B / A, for every time that both sides have."""
    found = {}
    for name in (*TIMES, "seconds_per_image"):
        pairs = []
        for cells in matched:
            a, b = (seconds_per_image(c) if name == "seconds_per_image" else c.number("timing", name) for c in cells)
            if a is not None and b is not None and a > 0 and b > 0:
                pairs.append((a, b))
        if pairs:
            medians = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
            found[name] = (*medians, statistics.median(b / a for a, b in pairs))
    return found


def _images(a: Cell, b: Cell) -> Iterable[Pixels]:
    for number in range(max(len(a.pictures), len(b.pictures))):
        left = a.pictures[number] if number < len(a.pictures) else None
        right = b.pictures[number] if number < len(b.pictures) else None
        yield _pixels(a.name, left, right)


def _pixels(cell: str, a: Picture | None, b: Picture | None) -> Pixels:
    file = a.file if a is not None else b.file if b is not None else ""
    left, right = None if a is None else a.path, None if b is None else b.path
    if left is None or right is None:
        return Pixels(cell, file, left, right, None, None, f"missing in {'A' if left is None else 'B'}")
    try:
        image_a, image_b = read_rgb(left), read_rgb(right)
    except ValueError as error:
        return Pixels(cell, file, left, right, None, None, str(error))
    if image_a.size != image_b.size:
        sizes = f"{image_a.width} x {image_a.height} and {image_b.width} x {image_b.height}"
        return Pixels(cell, file, left, right, None, None, f"different sizes: {sizes}")
    if digest(image_a) == digest(image_b):
        return Pixels(cell, file, left, right, 0.0, 1.0, "")
    pixels_a, pixels_b = pixels(image_a), pixels(image_b)
    statistic_a, statistic_b = statistic(pixels_a), statistic(pixels_b)
    similarity = ssim(statistic_a, statistic_b) if statistic_a is not None and statistic_b is not None else None
    return Pixels(cell, file, left, right, mse(pixels_a, pixels_b), similarity, "")


def _worst(images: Sequence[Pixels]) -> list[Pixels]:
    return sorted(images, key=lambda image: -math.inf if image.error is None else -image.error)


def _plain(comparison: Comparison) -> dict[str, Any]:
    return {
        "schema": 1,
        "a": str(comparison.a),
        "b": str(comparison.b),
        "matched": [[a.name, b.name] for a, b in comparison.matched],
        "only_a": comparison.only_a,
        "only_b": comparison.only_b,
        "differences": comparison.differences,
        "times": {name: {"a_s": a, "b_s": b, "ratio": r} for name, (a, b, r) in comparison.ratios.items()},
        "images": [
            {
                "cell": image.cell,
                "file": image.file,
                "identical": image.identical,
                "mse": image.error,
                "psnr_db": None if not image.error else psnr(image.error),
                "ssim": image.similarity,
                "note": image.note,
            }
            for image in comparison.images
        ],
    }


def _line(text: str) -> str:
    return " ".join(text.split())[:160]
