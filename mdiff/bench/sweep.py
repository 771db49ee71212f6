"""``python -m mdiff.bench sweep``: a grid of 24 cells (3 solvers × 2 step counts × 4 seeds) with the bundled model.

Whole processes, imports and compilation included: `python -m mdiff -m` as it is (resident, batched across cells), with
everything cached and with empty caches; the same grid with Hydra's basic launcher and engine.batch=1; a hand-written
loop on diffusers (mdiff/bench/diffusers_loop.py). Then the batched images beside those of engine.batch=1.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdiff.bench.process import measured, require_diffusers
from mdiff.bench.size import BUNDLED
from mdiff.errors import MdiffError

SOLVERS = {
    "DPMSolverMultistepScheduler": "dpmpp_2m",
    "HeunDiscreteScheduler": "heun",
    "LMSDiscreteScheduler": "lms",
}
LIMITS = {("warm", "basic"): 0.6, ("warm", "diffusers"): 0.7, ("cold", "diffusers"): 0.9}
WAYS = ("warm", "cold", "basic", "diffusers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", default="10,20", help="step counts")
    parser.add_argument("--seeds", default="0,1,2,3")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way, of which the median counts")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")


def run(options: argparse.Namespace) -> int:
    """Run every way in turn and print seconds, ratios and how far the images are apart."""
    if "diffusers" in options.ways:
        require_diffusers("--ways warm cold basic")
    seconds: dict[str, list[float]] = {way: [] for way in options.ways}
    images: dict[str, dict[tuple, Path]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for way in {"warm", "basic"} & set(options.ways):  # fills the caches
            _run(way, Path(scratch), "before", options)
        for number in range(options.rounds):
            for way in options.ways:
                seconds[way].append(_run(way, Path(scratch), str(number), options))
        for way in options.ways:
            images[way] = dict(_images(way, Path(scratch), str(options.rounds - 1), options))
        results: dict[str, Any] = {"seconds": {way: statistics.median(each) for way, each in seconds.items()}}
        for way, value in results["seconds"].items():
            print(f"{way:<10}{value:>9.2f} s   {len(images[way])} images")
        results["ratios"] = _ratios(seconds)
        if {"warm", "basic"} <= images.keys():
            results["batched beside engine.batch=1"] = _apart("warm", "basic", images)
        if {"basic", "diffusers"} <= images.keys():
            results["engine.batch=1 beside diffusers"] = _apart("basic", "diffusers", images)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _run(way: str, scratch: Path, number: str, options: argparse.Namespace) -> float:
    """Run the grid one way and return the seconds of the whole process."""
    output = scratch / f"{way}-{number}"
    if way == "diffusers":
        words = ["-m", "mdiff.bench.diffusers_loop", str(BUNDLED), str(output), options.steps, options.seeds]
        return measured([sys.executable, *words])["seconds"]
    words = ["-m", "mdiff", "-m", f"output.dir={output}", "name=grid", f"scheduler={','.join(SOLVERS.values())}"]
    words += ["prompt.text=red apple", "guidance=5", f"steps={options.steps}", f"seed={options.seeds}"]
    if way == "basic":
        words += ["hydra/launcher=basic", "engine.batch=1"]
    caches = scratch / (f"caches-{way}" if way != "cold" else f"caches-{way}-{number}")
    more = {"XDG_CACHE_HOME": str(caches), "MDIFF_CACHE": str(caches), "MDIFF_COMPILE_CACHE": str(caches / "compile")}
    return measured([sys.executable, *words], **more)["seconds"]


def _images(way: str, scratch: Path, number: str, options: argparse.Namespace) -> Iterator[tuple[tuple, Path]]:
    """Yield ((solver, steps, seed), file) of every image that a run left."""
    folder = scratch / f"{way}-{number}"
    if way == "diffusers":
        for path in folder.glob("*.png"):
            solver, steps, seed = path.stem.rsplit("_", 2)
            yield (solver, int(steps), int(seed)), path
        return
    expected = len(SOLVERS) * len(options.steps.split(",")) * len(options.seeds.split(","))
    records = list((folder / "grid").glob("*/record.json"))
    if len(records) != expected:
        raise MdiffError(f"the sweep ({way}) left {len(records)} of {expected} cells")
    for path in records:
        record = json.loads(path.read_text())
        asked = record["requested"]
        key = SOLVERS[record["effective"]["scheduler"]], asked["steps"], asked["seed"]
        yield key, path.parent / record["images"][0]["file"]


def _ratios(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    found = []
    for (one, other), limit in LIMITS.items():
        if one in seconds and other in seconds:
            ratio = statistics.median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))
            found.append({"of": one, "to": other, "ratio": ratio, "limit": limit, "kept": ratio <= limit})
            word = "kept" if ratio <= limit else "falls short"
            print(f"{one} / {other}: {ratio:.2f} (limit {limit:.2f}, {word})")
    return found


def _apart(one: str, other: str, images: dict[str, dict[tuple, Path]]) -> dict[str, float]:
    """The largest difference of two ways' pixels, and the share of pixels that are identical."""
    from PIL import Image

    most, same, count = 0, 0, 0
    for key, path in images[one].items():
        ours, theirs = (np.asarray(Image.open(each).convert("RGB"), np.int16) for each in (path, images[other][key]))
        differs = np.abs(ours - theirs).max(axis=-1)
        most, same, count = max(most, int(differs.max())), same + int((differs == 0).sum()), count + differs.size
    print(f"images of {one} beside {other}: at most {most}/255 apart, {same / count:.4%} of the pixels identical")
    return {"largest difference": most, "identical pixels": same / count}
