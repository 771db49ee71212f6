"""``python -m mdiff.bench stages`` (or without a word): a UNet step, text encoding and decoding of one model."""

import argparse
import json
from pathlib import Path
from typing import Any

from mdiff.bench.process import SIDES, Worker, compared, require_diffusers, take_turns
from mdiff.bench.size import BUNDLED

STAGES = ("step", "encode", "decode")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("--model", default=str(BUNDLED), help="a folder in the Hugging Face layout (default: bundled)")
    parser.add_argument("--rows", type=int, default=2, help="rows of a UNet call (default 2: one guided image)")
    parser.add_argument("--width", type=int, default=64, help="pixels")
    parser.add_argument("--height", type=int, default=64, help="pixels")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds, of which the median counts")
    parser.add_argument("--calls", type=int, default=5, help="calls a round, of which the median counts")
    parser.add_argument("--only", choices=SIDES, help="one side alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")


def run(options: argparse.Namespace) -> int:
    """Run the comparison and print it."""
    sides = [options.only] if options.only else list(SIDES)
    if "diffusers" in sides:
        require_diffusers("--only mdiff")
    workers = [Worker(side, options.model, options.width, options.height) for side in sides]
    results: dict[str, dict[str, Any]] = {}
    for stage in options.stages:
        results[stage] = compared(take_turns(workers, stage, options.rows, options.rounds, options.calls))
    for worker in workers:
        worker.close()
    print(f"{'stage':<8}" + "".join(f"{side + ' s':>14}" for side in sides) + ("" if options.only else f"{'ratio':>9}"))
    for stage, row in results.items():
        ratio = f"{row['ratio']:>9.2f}" if "ratio" in row else ""
        print(f"{stage:<8}" + "".join(f"{row[side]:>14.4f}" for side in sides) + ratio)
    if options.json is not None:
        given = {name: value for name, value in vars(options).items() if name not in ("json", "run")}
        options.json.write_text(json.dumps({"arguments": given, "results": results}, indent=1))
    return 0
