"""What a set of jobs would do, and what is done already; loads no weights and imports no MindSpore."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdiff import device as devices
from mdiff.errors import MdiffError
from mdiff.model import describe
from mdiff.run.job import Job
from mdiff.run.solver import build
from mdiff.run.store import missing_images, read_record
from mdiff.scheduler import Table

# Raised when a change to mdiff's arithmetic moves pixels, so that older cells are not taken for today's.
NUMERICS = 2


@dataclass(frozen=True)
class PlannedCell:
    """A job with all that is known before anything is loaded; `done` holds the record of a complete cell, `problem` why
    what lies in its folder cannot be used."""

    job: Job
    description: Any
    device: Any
    precision: Any
    scheduler: Any
    table: Table
    fingerprint: str
    folder: Path
    done: Mapping[str, Any] | None
    problem: str | None = None

    @property
    def images(self) -> int:
        """Images that the cell consists of."""
        return len(self.job.prompts) * self.job.num_images

    @property
    def evaluations(self) -> int:
        """Network evaluations (of one image each) that the cell costs."""
        return self.images * len(self.table)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance has an effect: a scale above 1, as in diffusers."""
        return self.job.guidance > 1 and not self.description.guidance_embedded

    @property
    def partly(self) -> bool:
        """Whether images are guided at some of their steps only."""
        return self.guided and self.job.guidance_interval is not None


def plan(jobs: Sequence[Job]) -> list[PlannedCell]:
    """Return the plan of every job, in order; shared parts are computed once."""
    described = functools.cache(describe)
    chosen = functools.cache(devices.choose)
    schedules: dict[str, tuple[Any, Table]] = {}

    def scheduled(job: Job, description: Any) -> tuple[Any, Table]:
        key = _canonical([job.scheduler_target, job.scheduler_options, job.steps, str(description.folder)])
        if key not in schedules:
            target = job.scheduler_target if job.scheduler_target is not None else description.scheduler_class
            scheduler = build(target, dict(job.scheduler_options), description.scheduler_config)
            schedules[key] = scheduler, scheduler.table(job.steps, **scheduler.step_options)
        return schedules[key]

    def planned(job: Job) -> PlannedCell:
        description = described(job.model)
        device = chosen(job.device, job.device_id)
        precision = devices.resolve_precision(job.precision, device, force_upcast_vae=description.force_upcast_vae)
        scheduler, table = scheduled(job, description)
        fingerprint = cell_fingerprint(job, description, device, precision, scheduler)
        try:
            (folder, done), problem = _place(job, fingerprint), None
        except MdiffError as error:
            folder, done, problem = job.folder, None, str(error)
        return PlannedCell(job, description, device, precision, scheduler, table, fingerprint, folder, done, problem)

    return [planned(job) for job in jobs]


def cell_fingerprint(job: Job, description: Any, device: Any, precision: Any, scheduler: Any) -> str:
    """SHA-256 over everything that affects the cell's pixels, and nothing else."""
    return hashlib.sha256(
        _canonical(
            {
                "numerics": NUMERICS,
                "weights": description.digests(),
                "components": {name: part.config for name, part in description.components.items()},
                "model": description.pixel_options,
                "scheduler": [type(scheduler).__name__, dict(scheduler.config), scheduler.step_options],
                "device": device.kind,
                "precision": [precision.weights, precision.compute, precision.vae],
                "prompts": [[pair.text, pair.negative] for pair in job.prompts],
                "reading": [job.weighting, job.long],
                "settings": [job.steps, job.guidance, job.seed, job.num_images, job.width, job.height],
                "strict": job.batch == 1,
                **_unusual(job, description),
            }
        ).encode()
    ).hexdigest()


def _unusual(job: Job, description: Any) -> dict[str, Any]:
    """What else affects pixels where it is not as it was before there was a choice, if only their last bits."""
    found: dict[str, Any] = {}
    if job.guidance_rescale != 0:
        found["guidance_rescale"] = job.guidance_rescale
    if job.guidance_interval is not None:
        found["guidance_interval"] = job.guidance_interval
    if job.memory.tiles(description, job.width, job.height):
        found["vae_tiling"] = True
    if job.memory.attention_slicing:
        found["attention_slicing"] = True
    return found


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a fingerprint")


def _place(job: Job, fingerprint: str) -> tuple[Path, Mapping[str, Any] | None]:
    """The cell's folder and, where it is complete, its record.

    A folder that holds another complete result (other weights, an older arithmetic) is left alone: the cell then
    takes the same name with its fingerprint behind it.
    """
    apart = job.folder.with_name(f"{job.folder.name}-{fingerprint[:8]}")
    for folder in (job.folder, apart):
        record = read_record(folder)
        if record is None or record["status"] != "complete":
            return folder, None
        if record.get("fingerprint") == fingerprint:
            if not job.resume:
                return folder, None
            missing = missing_images(folder, record)
            if missing:
                raise MdiffError(
                    f"{folder} is recorded as complete, but {missing[0]} is missing or damaged; "
                    "remove the folder to make the cell again"
                )
            return folder, record
    return apart, None
