"""``python -m mdiff.bench``: seconds for mdiff and for diffusers on PyTorch, same weights, taking turns in one run.

Needs the extra `parity` beside mdiff, or ``--only mdiff``. Alone on the machine, or the figures mean nothing.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError

STAGES = ("step", "encode", "decode")
SIDES = ("mdiff", "diffusers")


class Worker:
    """One side, in its own process."""

    def __init__(self, side: str, words: list[str]):
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mdiff.bench.worker", side, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.side = side
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MdiffError(f"the {self.side} side ended with status {self._process.wait()}; its own words are above")
        return json.loads(line)

    def seconds(self, stage: str, calls: int) -> float:
        """Median seconds of `calls` calls of a stage."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"stage": stage, "calls": calls}) + "\n")
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def compare(workers: list[Worker], stage: str, rounds: int, calls: int) -> dict[str, Any]:
    """Medians over `rounds` alternating rounds, and the ratio of the two sides."""
    times: dict[str, list[float]] = {worker.side: [] for worker in workers}
    for worker in workers:
        worker.seconds(stage, 2)  # compiles, warms up
    for _ in range(rounds):
        for worker in workers:
            times[worker.side].append(worker.seconds(stage, calls))
    row: dict[str, Any] = {side: statistics.median(values) for side, values in times.items()}
    if len(row) == 2:
        row["ratio"] = statistics.median(a / b for a, b in zip(times["mdiff"], times["diffusers"], strict=True))
    return row


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.bench", description=__doc__)
    bundled = Path(__file__).parent.parent / "model" / "emoji"
    parser.add_argument("--model", default=str(bundled), help="a folder in the Hugging Face layout (default: bundled)")
    parser.add_argument("--rows", type=int, default=2, help="rows of a UNet call (default 2: one guided image)")
    parser.add_argument("--width", type=int, default=64, help="pixels")
    parser.add_argument("--height", type=int, default=64, help="pixels")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds, of which the median counts")
    parser.add_argument("--calls", type=int, default=5, help="calls a round, of which the median counts")
    parser.add_argument("--only", choices=SIDES, help="one side alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    sides = [options.only] if options.only else list(SIDES)
    if "diffusers" in sides and importlib.util.find_spec("diffusers") is None:
        print("mdiff.bench: diffusers is not installed; pip install '.[parity]', or --only mdiff", file=sys.stderr)
        return 1
    words = [options.model, str(options.rows), str(options.width), str(options.height)]
    try:
        workers = [Worker(side, words) for side in sides]
        results = {stage: compare(workers, stage, options.rounds, options.calls) for stage in options.stages}
        for worker in workers:
            worker.close()
    except MdiffError as error:
        print(f"mdiff.bench: {error}", file=sys.stderr)
        return 1
    print(f"{'stage':<8}" + "".join(f"{side + ' s':>14}" for side in sides) + ("" if options.only else f"{'ratio':>9}"))
    for stage, row in results.items():
        ratio = f"{row['ratio']:>9.2f}" if "ratio" in row else ""
        print(f"{stage:<8}" + "".join(f"{row[side]:>14.4f}" for side in sides) + ratio)
    if options.json is not None:
        options.json.write_text(json.dumps({"arguments": vars(options) | {"json": None}, "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
