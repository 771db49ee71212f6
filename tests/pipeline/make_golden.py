"""Writes golden.npz, what diffusers makes of the cases: ``python -m tests.pipeline.make_golden``."""

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.checkpoint import make_checkpoint
from tests.pipeline.cases import CASES, SOLVERS, reference

PINNED = {"diffusers": "0.42.1", "torch": "2.13.0"}


def main() -> None:
    """Make every case; refuse other versions."""
    for name, pinned in PINNED.items():
        if version(name).split("+")[0] != pinned:
            sys.exit(f"golden files are made with {name} {pinned}, this is {version(name)}")
    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, case in CASES.items():
            checkpoint = make_checkpoint(Path(folder) / kind, kind)
            for solver in SOLVERS:
                made = reference(checkpoint, case, solver)
                golden[f"{kind}/{solver}/latents"] = made["latents"]
            golden[f"{kind}/image"], golden[f"{kind}/text"] = made["image"], made["text"]
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **golden)


if __name__ == "__main__":
    main()
