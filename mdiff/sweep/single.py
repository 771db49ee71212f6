"""One run: its folder, its images, its last line."""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from mdiff.run import CellOutcome, run_jobs
from mdiff.run.job import Job
from mdiff.sweep.check import Check
from mdiff.sweep.interrupt import INTERRUPTED, interruptible
from mdiff.sweep.summary import first_line


def run_single(job: Job, check: Check | None = None) -> int:
    """Make the job's images in a folder of its own, check them where that is asked for, and return the exit status."""
    before = [each for each in (job.folder, *job.folder.parents) if not each.exists()]
    with interruptible() as interrupt:
        job = replace(job, folder=reserve(job.folder))
        try:
            outcome = run_jobs([job], stop=interrupt)[0]
        finally:
            for made in (job.folder, *before):  # nothing came of it, or they hold the images by now
                with contextlib.suppress(OSError):
                    made.rmdir()
        status = tell_single(outcome)
        return status if check is None else check.conclude([outcome], status)


def reserve(folder: Path) -> Path:
    """Make and return the run's folder; one started in the same second takes the next name."""
    candidate, number = folder, 1
    while True:
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")


def tell_single(outcome: CellOutcome) -> int:
    """Print the last line, where the images are or why there are none, and return the exit status."""
    if outcome.status in ("complete", "kept"):
        files = [image["file"] for image in (outcome.record or {}).get("images", [])]
        print(outcome.folder / files[0] if len(files) == 1 else f"{len(files)} images in {outcome.folder}", flush=True)
        return 0
    if outcome.status == "failed":
        print(f"mdiff: {first_line(outcome.error)}", file=sys.stderr)
        if (outcome.folder / "record.json").is_file():
            print(f"mdiff: {outcome.folder / 'record.json'} has the reason in full", file=sys.stderr)
        return 1
    if outcome.status == "busy":
        print("mdiff: another process is making these very images", file=sys.stderr)
        return 1
    print("mdiff: stopped; the same command again goes on with what is finished", file=sys.stderr)
    return INTERRUPTED
