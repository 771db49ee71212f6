"""``python -m mdiff.bench cells``: what a cell of a sweep costs beyond its network calls, and long sweeps' memory.

Every sweep is the real command, in a process of its own, with cells of one step. From the CPU time of the process are
taken: loading (MindSpore's import and the weights), every call of a compiled network (compiling, encoding prompts,
evaluations, decoding) and Pillow's PNG encoder. What is left is composing, checking, planning, the solver, records,
files and the report page; a sweep of two cells has the same for once-only work and is subtracted:
    cost of a cell = (left of N cells - left of 2 cells) / (N - 2)
Short sweeps are run --rounds times, and the one with the median of what is left counts.
"few" sweeps vary seed and scheduler (two combinations of groups); in "different" ones every cell has a prompt file of
its own, so that no two have the same groups.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mdiff.bench.process import measured
from mdiff.bench.suite import weights
from mdiff.errors import MdiffError

BASE, SHORT = 2, 24
LIMITS = {("few", 24): 20.0, ("few", 1000): 10.0, ("different", 1000): 15.0}  # milliseconds
GROWTH = 1.10  # of the memory after a tenth of the cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--few", type=int, nargs="*", default=[24, 100, 1000], help="cells of the first kind of sweep")
    parser.add_argument("--different", type=int, nargs="*", default=[24, 1000], help="cells of the other kind")
    parser.add_argument("--rounds", type=int, default=3, help=f"of sweeps of up to {SHORT} cells")
    parser.add_argument("--model", choices=("bundled", "tiny"), default="bundled")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mdiff-bench", help="for weights")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")


def run(options: argparse.Namespace) -> int:
    """Run the sweeps and print a line each."""
    print(f"CPU seconds of a process; cost of a cell = (left - left of {BASE} cells) / (cells - {BASE})")
    columns = ("cells", "total", "load", "network", "png", "left", "ms a cell", "limit", "peak MB")
    print(f"{'groups':<10}" + "".join(f"{name:>10}" for name in columns), flush=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind, sizes in (("few", options.few), ("different", options.different)):
            base = 0.0
            for count in [BASE, *sizes] if sizes else []:
                turns = range(options.rounds if count <= SHORT else 1)
                tries = [_sweep(kind, count, Path(scratch) / str(turn), options) for turn in turns]
                told = sorted(tries, key=lambda each: each["left_s"])[len(tries) // 2]
                if count == BASE:
                    base = told["left_s"]
                else:
                    told["ms_a_cell"] = (told["left_s"] - base) / (count - BASE) * 1000
                    told["limit_ms"] = LIMITS.get((kind, count))
                results.append(told)
                print(_line(told), flush=True)
    peaks = {told["cells"]: told["peak_mb"] for told in results if told["groups"] == "few"}
    growth = peaks[1000] / peaks[100] if {100, 1000} <= peaks.keys() else None
    if growth is not None:
        print(f"peak memory of 1000 cells is {growth:.3f} of that of 100 (limit {GROWTH:.2f})")
    if options.json is not None:
        options.json.write_text(json.dumps({"sweeps": results, "memory_growth": growth}, indent=1) + "\n")
    return 0


def _sweep(kind: str, count: int, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one sweep and return its figures."""
    words = ["steps=1", f"output.dir={scratch}", f"name={kind}-{count}", "-m"]
    if options.model == "tiny":
        words += ["model=local", f"model.path={weights('tiny', options.work)}", "width=64", "height=64"]
    if kind == "few":
        words += ["scheduler=euler,ddim", f"seed=range({count // 2})"]
    else:
        prompts = scratch / "conf" / "prompt"
        prompts.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            text = f"defaults: [default]\ntext: a red apple, number {number}\n"
            (prompts / f"apple{number}.yaml").write_text(text)
        words += [f"--config-dir={scratch / 'conf'}", "prompt=" + ",".join(f"apple{n}" for n in range(count))]
    done = measured([sys.executable, "-m", "mdiff.bench.cell_cost", *words])
    records = list((scratch / f"{kind}-{count}").glob("*/record.json"))
    if len(records) != count:
        raise MdiffError(f"the sweep of {count} cells left {len(records)} records")
    told = json.loads(done["stdout"].splitlines()[-1])
    left = told["cpu_s"] - sum(told[name] for name in ("load_s", "network_s", "png_s"))
    return {"groups": kind, "cells": count, **told, "left_s": left}


def _line(told: dict[str, Any]) -> str:
    figures = [f"{told['cells']:>10}"]
    figures += [f"{told[name]:>10.2f}" for name in ("cpu_s", "load_s", "network_s", "png_s", "left_s")]
    cost, limit = told.get("ms_a_cell"), told.get("limit_ms")
    figures.append(" " * 10 if cost is None else f"{cost:>10.1f}")
    figures.append(" " * 10 if limit is None else f"{limit:>10.0f}")
    return f"{told['groups']:<10}" + "".join(figures) + f"{told['peak_mb']:>10.0f}"
