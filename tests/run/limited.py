"""Runs one job in a process that may take so many MB more than it has, and prints the record.

    python -m tests.run.limited CHECKPOINT FOLDER MEGABYTES '{"width": 512, "on_oom": ["attention_slicing"]}'

A first small job loads MindSpore, its threads and the networks, so that the limit meets the second alone.
"""

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

from mdiff.run import run_jobs
from tests.run.tiny import tiny_job


def _virtual_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmSize")).split()[1]) * 1024


def main() -> None:
    """Read the command line."""
    checkpoint, folder, room, changes = sys.argv[1:]
    job = tiny_job(checkpoint, Path(folder) / "first", steps=1)
    told = [run_jobs([job])[0].record]
    resource.setrlimit(resource.RLIMIT_AS, (_virtual_bytes() + int(room) * 10**6, resource.RLIM_INFINITY))
    # one after the other: what comes after a failure has to work as well
    for number, each in enumerate(json.loads(changes)):
        each = {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}
        told.append(run_jobs([replace(job, folder=Path(folder) / f"cell{number}", **each)])[0].record)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
