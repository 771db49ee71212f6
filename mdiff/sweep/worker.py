"""What runs in processes of Hydra's other launchers: a cell by itself, or a worker's share of a sweep."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mdiff.config.cell import given, plain
from mdiff.config.job import job_from
from mdiff.config.start import register_resolvers
from mdiff.device.choice import probe_ascend
from mdiff.run import CellOutcome, Job, run_jobs
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.store import read_record
from mdiff.sweep.interrupt import interruptible
from mdiff.sweep.others import is_free, pause

register_resolvers()  # a worker unpickles what follows, and Hydra asks for the cell's folder before it is called


def run_task(config: DictConfig) -> CellOutcome | int:
    """Make a cell, or a share of cells where `worker` says which; Hydra's other launchers call this."""
    if "worker" in config:
        return run_share(Path(config.worker.plan), int(config.worker.number), int(config.worker.count))
    hydra = HydraConfig.get()
    varies = given(OverridesParser.create().parse_overrides(list(hydra.overrides.task)))
    folder = Path(hydra.sweep.dir) / Path(hydra.runtime.output_dir).name
    return run_jobs([replace(job_from(plain(config), folder), varies=varies)], progress=False, alone=False)[0]


def run_share(path: Path, number: int, count: int) -> int:
    """Make this worker's cells of the plan at `path`, then what other workers leave undone; return how many."""
    told = json.loads(path.read_bytes())
    os.chdir(told["cwd"])
    jobs = [_job(entry, number) for entry in told["jobs"]]
    began = time.time()
    with interruptible() as interrupt:
        made = _complete(run_jobs(jobs[number::count], stop=interrupt, progress=False, alone=False))
        while not interrupt.is_set():
            left = [cell for cell in plan(jobs) if cell.done is None and not _failed_since(cell, began)]
            free = [cell.job for cell in left if is_free(cell)]
            if free:
                made += _complete(run_jobs(free, stop=interrupt, progress=False, alone=False))
            elif left:
                pause(interrupt)  # others are making them; should one of them die, its cells become free
            else:
                break
    return made


def _job(entry: Mapping[str, Any], number: int) -> Job:
    job = replace(job_from(entry["requested"], Path(entry["folder"])), varies=entry["varies"], number=entry["number"])
    if job.device_id != "auto":
        return job
    there = probe_ascend()[0] if job.device != "cpu" else 0
    return replace(job, device_id=number % there if there else 0)


def _complete(outcomes: Sequence[CellOutcome]) -> int:
    return sum(outcome.status == "complete" for outcome in outcomes)


def _failed_since(cell: PlannedCell, began: float) -> bool:
    if cell.problem is not None:
        return True
    record = read_record(cell.folder)
    if record is None or record["status"] != "failed":
        return False
    return (cell.folder / "record.json").stat().st_mtime > began
