"""The two sides of a comparison as processes, and the statistics over their turns."""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError

SIDES = ("mdiff", "diffusers")
# Most of MindSpore's kernels on a CPU make their first five calls on one thread, five on two and so on, and keep what
# was fastest; each kernel of a compiled network does so for itself. An image of 20 steps goes through it once.
SETTLING = 5


def environment(**more: str) -> dict[str, str]:
    """The environment of a side: nothing is looked up on the Hub, and libraries keep their remarks to themselves."""
    return os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", **more}


def require_diffusers(otherwise: str) -> None:
    """Raise MdiffError, which says what to do, where diffusers is not installed."""
    if importlib.util.find_spec("diffusers") is None:
        raise MdiffError(f"diffusers is not installed; pip install '.[parity]', or {otherwise}")


class Worker:
    """One side, in its own process (`mdiff.bench.worker`)."""

    def __init__(self, side: str, folder: str | Path, width: int, height: int):
        words = [side, str(folder), str(width), str(height)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mdiff.bench.worker", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.side = side
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MdiffError(f"the {self.side} side ended with status {self._process.wait()}; its own words are above")
        return json.loads(line)

    def seconds(self, stage: str, rows: int, calls: int) -> float:
        """Median seconds of `calls` calls of a stage."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"stage": stage, "rows": rows, "calls": calls}) + "\n")
        self._process.stdin.flush()
        return self._answer()["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def take_turns(
    workers: Sequence[Worker], stage: str, rows: int, rounds: int, calls: int, warm: int | None = None
) -> dict[str, list[float]]:
    """Seconds of each side's `rounds` alternating turns, each the median of `calls` calls, after `warm` others."""
    times: dict[str, list[float]] = {worker.side: [] for worker in workers}
    for worker in workers:
        worker.seconds(stage, rows, warm if warm is not None else min(calls, 2))  # loads, compiles, warms up
    for _ in range(rounds):
        for worker in workers:
            times[worker.side].append(worker.seconds(stage, rows, calls))
    return times


def compared(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of each side and, where there are two, the median of the ratios of the turns, mdiff over the other."""
    row: dict[str, Any] = {side: statistics.median(values) for side, values in times.items()}
    if len(times) == 2:
        ours, theirs = times.values()
        row["ratio"] = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return row


def measured(command: Sequence[str], **more: str) -> dict[str, Any]:
    """Run a command to its end: {"seconds", "cpu_s", "peak_mb", "stdout"}, the process's own and its children's.

    Raises MdiffError with its last words where it fails.
    """
    program = [sys.executable, "-m", "mdiff.bench.child", *command]
    done = subprocess.run(program, capture_output=True, text=True, env=environment(**more))
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise MdiffError(f"{' '.join(command)} ended with status {done.returncode}: {last}")
    return json.loads(lines[-1]) | {"stdout": "\n".join(lines[:-1])}


def checked_ratio(row: dict[str, Any], limit: float | None) -> dict[str, Any]:
    """The row with its limit and whether it is kept."""
    if limit is None:
        return row
    return row | {"limit": limit, "kept": row["ratio"] <= limit}
