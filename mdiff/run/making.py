"""A cell while it is being made: its images one by one, then its record."""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import yaml

from mdiff.noise import Generator
from mdiff.pipeline.request import WHOLE, ImageRequest, Text
from mdiff.run.plan import PlannedCell
from mdiff.run.png import pixel_digest, to_pixels, write_png
from mdiff.run.profile import CellProfile
from mdiff.run.record import effective, recipe, record
from mdiff.run.store import Staging, image_name, write_text

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is ten times faster
STAGES = ("load_s", "compile_s", "encode_s", "denoise_s", "decode_s", "save_s")


class MakingCell:
    """One claimed cell. Images arrive in any order; those that an interrupted run left are taken over."""

    def __init__(self, planned: PlannedCell, staging: Staging, batch: int, substitutions: Sequence[str] = ()):
        self.planned, self.staging, self.batch = planned, staging, batch
        self.timing = dict.fromkeys(STAGES, 0.0)
        self.substitutions = list(substitutions)
        self.vae: str | None = None  # the VAE's number format, where it is not the one that was planned
        self.error: Exception | None = None
        self.profile = CellProfile() if planned.job.profile else None
        self.lost: set[int] = set()
        self.images: dict[int, dict[str, Any]] = {}
        for index, (found, _) in staging.adopted(planned.fingerprint, planned.images).items():
            self.images[index] = self._entry(found["image"], index)

    @property
    def complete(self) -> bool:
        """Whether every image is there, or known not to come."""
        return len(self.images) + len(self.lost) == self.planned.images

    def requests(self) -> Iterator[tuple[int, ImageRequest]]:
        """Yield (index, request) of each image that is still to make: prompts in order, seeds counting up."""
        for index in range(self.planned.images):
            if index not in self.images:
                yield index, image_request(self.planned, index)

    def save(self, index: int, image: np.ndarray) -> None:
        """Write image `index`, (3, H, W) in −1 … 1, with its recipe."""
        job = self.planned.job
        pair, pixels = job.prompts[index // job.num_images], to_pixels(image)
        facts = {
            "index": index,
            "prompt": pair.text,
            "negative_prompt": pair.negative,
            "seed": job.seed + index % job.num_images,
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "sha256": pixel_digest(pixels),
        }
        path = self.staging.path / image_name(index)
        write_png(path, pixels, recipe(self.planned, facts, self._effective()))
        self.images[index] = self._entry(facts, index)

    def lose(self, index: int, error: Exception) -> None:
        """Count image `index` as not to be had; the first error is the cell's."""
        self.lost.add(index)
        self.error = self.error if self.error is not None else error

    def substitute_vae(self, number: str, sentence: str) -> None:
        """Note that an image was decoded in another number format than planned."""
        self.vae = number
        if sentence not in self.substitutions:
            self.substitutions.append(sentence)

    def publish(self, device_peak_mb: float | None) -> dict[str, Any]:
        """Write config and record, let the cell appear under its name, and return the record."""
        timing = self.timing | {"total_s": sum(self.timing.values())}
        images = [self.images[index] for index in sorted(self.images)]
        profile = None if self.profile is None else self.profile.told(timing)
        told = record(self.planned, self._effective(), images, timing, device_peak_mb, self.error, profile)
        config = [_yaml(key, json.dumps(value)) for key, value in self.planned.job.requested.items()]
        write_text(self.staging.path / "config.yaml", "".join(config))
        self.staging.publish(told)
        return told

    def _effective(self) -> dict[str, Any]:
        return effective(self.planned, self.batch, self.substitutions, self.vae)

    def _entry(self, facts: dict[str, Any], index: int) -> dict[str, Any]:
        name = image_name(index)
        return {"file": name, **facts, "bytes": (self.staging.path / name).stat().st_size}


@functools.lru_cache(maxsize=1024)
def _yaml(key: str, value: str) -> str:
    """An entry of a config, its value given as JSON; most cells of a sweep have most of them in common."""
    return yaml.dump({key: json.loads(value)}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def image_request(planned: PlannedCell, index: int) -> ImageRequest:
    """Return what is asked of the pipeline for image `index` of the cell."""
    job = planned.job
    pair, seed = job.prompts[index // job.num_images], job.seed + index % job.num_images
    reading = {"weighting": job.weighting == "on", "long": job.long == "chunk"}
    positive = Text(pair.text, **reading)
    negative = Text(pair.negative, absent=not pair.negative, **reading)
    noise = Generator(seed).randn
    return ImageRequest(
        positive,
        negative,
        planned.table,
        job.guidance,
        job.width,
        job.height,
        noise,
        guidance_rescale=job.guidance_rescale,
        guidance_interval=WHOLE if job.guidance_interval is None else job.guidance_interval,
    )
