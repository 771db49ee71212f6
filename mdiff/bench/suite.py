"""``python -m mdiff.bench suite``: what mdiff promises about its speed, row by row, beside diffusers on PyTorch.

Every figure is seconds (memory: MB) of mdiff and of diffusers in eager fp32 on the same weights, medians over
alternating turns, and the ratio of the two; `limit` is what the ratio should keep below. Weights of the larger sizes
are random and are written to --work when first needed (sd15 2 GB, 220m 0.4 GB, sdxl 7 GB).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdiff.bench.process import (
    SETTLING,
    SIDES,
    Worker,
    checked_ratio,
    compared,
    environment,
    measured,
    require_diffusers,
)
from mdiff.bench.process import take_turns as turns
from mdiff.bench.size import BUNDLED, SIZES
from mdiff.errors import MdiffError, nearest


@dataclass(frozen=True)
class Row:
    """One line of the table: how it is measured, on which weights and at which size in pixels, and its limit."""

    measure: Callable[["Row", argparse.Namespace, Path], dict[str, Any]]
    size: str
    pixels: int
    limit: float | None = None
    stage: str = ""
    calls: int = 1
    apart: bool = False


def _stage(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Calls of a stage in two processes that take turns; one after the other where memory is too small for both.

    A step is one of an image's many: what is compared is how long it takes once the first few have settled MindSpore's
    kernels. The ratio of those is told beside it.
    """
    times: dict[str, list[float]] = {}
    first: dict[str, list[float]] = {}
    groups = [[side] for side in SIDES] if row.apart else [list(SIDES)]
    for sides in groups:
        workers = [Worker(side, folder, row.pixels, row.pixels) for side in sides]
        if row.stage == "step":
            first.update(turns(workers, row.stage, 2, 1, SETTLING, warm=1))
        times.update(turns(workers, row.stage, 2, options.rounds, row.calls))
        for worker in workers:
            worker.close()
    told = compared(times) | ({"first steps": compared(first)} if first else {})
    return checked_ratio(told, row.limit)


def _batch(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds a row of the best batch, beside a row of two-row calls of mdiff and of diffusers."""
    ours, theirs = (Worker(side, folder, row.pixels, row.pixels) for side in SIDES)
    counts = (2, 4, 8, 16, 32)
    times: dict[str, list[float]] = {name: [] for name in (*map(str, counts), "diffusers 2")}
    for count in counts:
        ours.seconds("step", count, 2)
    theirs.seconds("step", 2, 2)
    for _ in range(options.rounds):
        for count in counts:
            times[str(count)].append(ours.seconds("step", count, row.calls) / count)
        times["diffusers 2"].append(theirs.seconds("step", 2, row.calls) / 2)
    for worker in (ours, theirs):
        worker.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(map(str, counts), key=medians.__getitem__)
    to_own, ratio = medians[best] / medians["2"], medians[best] / medians["diffusers 2"]
    return {
        "mdiff": medians[best],
        "diffusers": medians["diffusers 2"],
        "ratio": ratio,
        "limit": 0.75,
        "ratio to own 2 rows": to_own,
        "limit to own 2 rows": 0.6,
        "kept": to_own <= 0.6 and ratio <= 0.75,
        "rows": int(best),
        "seconds a row": medians,
    }


def _load(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """`from_pretrained`, each time in a new process, the files in the system's cache."""
    return checked_ratio(compared(_once(folder, options.rounds, "load", "load")), row.limit)


def _peak(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Largest resident memory of a process that loads the model and makes one image of one step, in MB.

    Once, since it repeats; its seconds are told too, which do not repeat as well.
    """
    told = {side: _run_once(side, folder, ["image", "--size", str(row.pixels), "--steps", "1"]) for side in SIDES}
    seconds = {side: json.loads(run["stdout"].splitlines()[-1]) for side, run in told.items()}
    peaks = compared({side: [run["peak_mb"]] for side, run in told.items()})
    return checked_ratio(peaks | {"unit": "MB", "seconds": seconds}, row.limit)


def _start(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """From MindSpore's import to the UNet's first result, in the second process of a shape and in the first."""
    with tempfile.TemporaryDirectory() as cache:
        words = ["start", "--size", str(row.pixels)]
        told = [
            json.loads(_run_once("mdiff", folder, words, MDIFF_COMPILE_CACHE=cache)["stdout"])["start"]
            for _ in range(1 + options.rounds)
        ]
    seconds = statistics.median(told[1:])
    return {
        "mdiff": seconds,
        "first process": told[0],
        "limit": row.limit,
        "kept": row.limit is not None and seconds <= row.limit,
    }


def _once(folder: Path, rounds: int, key: str, *words: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            times[side].append(json.loads(_run_once(side, folder, words)["stdout"].splitlines()[-1])[key])
    return times


def _run_once(side: str, folder: Path, words: Any, **more: str) -> dict[str, Any]:
    action, *options = words
    return measured([sys.executable, "-m", "mdiff.bench.once", action, side, str(folder), *options], **more)


def _process(row: Row, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One image as a process, from start to exit: `python -m mdiff` beside a script that uses diffusers."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    cpu: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) / "warm"
        ours = [sys.executable, "-m", "mdiff", f"output.dir={scratch}/out", "prompt.text=red apple", "steps=20"]
        ours += ["guidance=5", "seed=0"]
        theirs = [sys.executable, "-m", "mdiff.bench.diffusers_image", str(folder), f"{scratch}/theirs.png"]
        if row.stage == "warm":
            measured(ours, MDIFF_COMPILE_CACHE=str(kept))
        for number in range(options.rounds):
            cache = kept if row.stage == "warm" else Path(scratch) / f"cold{number}"
            mine = measured(ours, MDIFF_COMPILE_CACHE=str(cache))
            other = measured(theirs)
            for side, told in zip(SIDES, (mine, other), strict=True):
                times[side].append(told["seconds"])
                cpu[side].append(told["cpu_s"])
        apart = _difference(Path(mine["stdout"].splitlines()[-1]), Path(scratch) / "theirs.png")
    told = compared(times) | {"cpu_s": {side: statistics.median(values) for side, values in cpu.items()}}
    return checked_ratio(told | {"largest pixel difference": apart}, row.limit)


def _difference(ours: Path, theirs: Path) -> int:
    import numpy as np
    from PIL import Image

    pixels = [np.asarray(Image.open(path).convert("RGB"), np.int16) for path in (ours, theirs)]
    return int(np.abs(pixels[0] - pixels[1]).max())


ROWS: Mapping[str, Row] = {
    "step_sd15_64": Row(_stage, "sd15", 512, 1.10, "step"),
    "step_sd15_32": Row(_stage, "sd15", 256, 1.00, "step"),
    "step_220m_32": Row(_stage, "220m", 256, 1.05, "step"),
    "step_sdxl_64": Row(_stage, "sdxl", 512, None, "step", apart=True),
    "step_bundled": Row(_stage, "bundled", 64, 1.25, "step", calls=20),
    "batch_bundled": Row(_batch, "bundled", 64, calls=10),
    "decode_sd15": Row(_stage, "sd15", 512, 1.20, "decode"),
    "encode_sd15": Row(_stage, "sd15", 512, 1.10, "encode", calls=5),
    "load_sd15": Row(_load, "sd15", 512, 1.00),
    "peak_sd15": Row(_peak, "sd15", 512, 1.25),
    "peak_sdxl": Row(_peak, "sdxl", 512, None),
    "start_bundled": Row(_start, "bundled", 64, 2.0),
    "image_warm": Row(_process, "bundled", 64, 0.60, "warm"),
    "image_cold": Row(_process, "bundled", 64, None, "cold"),
    "step_tiny": Row(_stage, "tiny", 64, None, "step"),  # these are here for the tests of the benchmark itself
    "decode_tiny": Row(_stage, "tiny", 64, None, "decode"),
    "encode_tiny": Row(_stage, "tiny", 64, None, "encode"),
    "batch_tiny": Row(_batch, "tiny", 64),
    "load_tiny": Row(_load, "tiny", 64, None),
    "peak_tiny": Row(_peak, "tiny", 64, None),
}
DEFAULT = [name for name in ROWS if not name.endswith("_tiny")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of: {', '.join(DEFAULT)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side, of which the median counts")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mdiff-bench", help="for weights")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")


def run(options: argparse.Namespace) -> int:
    """Measure the rows and print each as it is done; a row that falls short of its limit says so."""
    names = options.rows if options.rows else DEFAULT
    for name in names:
        if name not in ROWS:
            raise MdiffError(f"the suite has no row {name!r}{nearest(name, ROWS)}")
    if any(ROWS[name].measure is not _start for name in names):
        require_diffusers("choose start_bundled alone")
    print(f"{'row':<16}{'mdiff':>12}{'diffusers':>12}{'ratio':>8}{'limit':>7}", flush=True)
    results = {}
    for name in names:
        row = ROWS[name]
        results[name] = row.measure(row, options, weights(row.size, options.work))
        print(_line(name, results[name]), flush=True)
        if options.json is not None:
            told = {"machine": platform.platform(), "rounds": options.rounds, "results": results}
            options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def weights(size: str, work: Path) -> Path:
    """The folder of a size's weights, made in a process of its own where it is not there yet."""
    if size not in SIZES:
        return BUNDLED
    folder = work / size
    if not (folder / "made.json").is_file():
        subprocess.run(
            [sys.executable, "-m", "mdiff.bench.size", size, str(folder)],
            check=True,
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
    return folder


def _line(name: str, told: Mapping[str, Any]) -> str:
    def number(key: str, width: int, digits: int) -> str:
        value = told.get(key)
        return f"{value:>{width}.{digits}f}" if isinstance(value, int | float) else " " * width

    words = "" if "kept" not in told else ("  kept" if told["kept"] else "  falls short")
    if "first steps" in told:
        words += f"; {told['first steps']['ratio']:.2f} in the first {SETTLING} steps of a process"
    if "ratio to own 2 rows" in told:
        words += f"; {told['rows']} rows, {told['ratio to own 2 rows']:.2f} of its own 2 rows (limit 0.60)"
    for action in ("load", "image") if "seconds" in told else ():
        words += f"; {action} " + " and ".join(f"{told['seconds'][side][action]:.1f}" for side in SIDES) + " s"
    if "largest pixel difference" in told:
        words += f"; pixels at most {told['largest pixel difference']}/255 apart"
    figures = number("mdiff", 12, 4) + number("diffusers", 12, 4) + number("ratio", 8, 2) + number("limit", 7, 2)
    return f"{name:<16}{figures}{words}"
