"""mdiff's command line in real processes, and what they leave in a sweep's folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}


def mdiff(place: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m mdiff` with these words in `place`."""
    return subprocess.Popen(
        [sys.executable, "-m", "mdiff", *words],
        cwd=place,
        env=ENVIRONMENT | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[str], timeout: float = 300) -> tuple[int, str, str]:
    """Wait for the process and return its exit status, stdout and stderr."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], timeout: float = 240) -> None:
    """Wait for the condition, or for the process to end."""
    deadline = time.monotonic() + timeout
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.003)


def records(folder: Path) -> dict[str, dict]:
    """Record of every cell, by its folder's name."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/record.json"))}


def pictures(folder: Path) -> dict[str, tuple[int, int]]:
    """Every picture of a sweep that nothing is at work on, staged or in its place: which file it is, and of when.

    The name is made of the cell's fingerprint, so that it stays when the cell appears; so do both numbers.
    """
    homes = {record["fingerprint"][:32]: folder / name for name, record in records(folder).items()}
    homes |= {each.name: each for each in (folder / ".mdiff").glob("*") if each.is_dir()}
    found = {f"{key}/{path.name}": path.stat() for key, home in homes.items() for path in home.glob("*.png")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def count(folder: Path) -> int:
    """Pictures there are, those of cells being made too; folders may come and go meanwhile."""
    return sum(name.endswith(".png") for _, _, names in os.walk(folder) for name in names)


def pixels(folder: Path) -> dict[str, np.ndarray]:
    """Pixels of every picture in its place, by cell and picture."""
    found = {}
    for path in sorted(folder.glob("*/*.png")):
        with Image.open(path) as image:
            found[f"{path.parent.name}/{path.name}"] = np.asarray(image.convert("RGB"))
    return found


def names(folder: Path) -> list[str]:
    """Every file and folder below a sweep's folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
