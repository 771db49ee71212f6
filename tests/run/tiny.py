"""The job that tests of a run begin with: a tiny checkpoint, 16×16 pixels, two steps."""

from pathlib import Path
from typing import Any

from mdiff.model import ModelSource
from mdiff.run import Job, PromptPair


def tiny_job(checkpoint: Path | str, folder: Path, **changes: Any) -> Job:
    """Return one guided image of `checkpoint` into `folder`, strict mode, with `changes` of the job's fields."""
    settings: dict[str, Any] = {
        "folder": folder,
        "requested": {"guidance": 3.0},
        "model": ModelSource(path=str(checkpoint)),
        "scheduler_target": "EulerDiscreteScheduler",
        "scheduler_options": {},
        "precision": "fp32",
        "device": "cpu",
        "device_id": 0,
        "prompts": (PromptPair("the cat", "dog"),),
        "steps": 2,
        "guidance": 3.0,
        "seed": 0,
        "num_images": 1,
        "width": 16,
        "height": 16,
        "batch": 1,
    }
    return Job(**settings | changes)
