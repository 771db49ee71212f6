"""What an experiment says of its own pictures: `expect`, the digests of their pixels and how far they may move."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mdiff.config.problem import Problems
from mdiff.config.value import check_keys, check_whole
from mdiff.errors import MdiffError

KEYS = ("tolerance", "reference", "images")

_LABEL = re.compile(r"(?:[^/\\\0]{1,120}/)?image_[0-9]{3,6}\.png")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Expectation:
    """Images by label, `<what varies>/image_000.png` in a sweep and `image_000.png` in a single run, with their sha256.

    `tolerance` is the largest difference that a channel may have, of 255; `reference` the folder of the pictures that
    it is measured from, labels being paths below it. `file` is the experiment that says all this, None where no
    experiment was chosen.
    """

    images: Mapping[str, str]
    tolerance: int
    reference: Path | None
    file: Path | None


def expectation(config: DictConfig) -> Expectation:
    """Return what a composed config expects of its images; every mistake is told at once, in a `ConfigError`."""
    file, said = experiment_file(config), config.get("expect")
    if said is None:
        return Expectation({}, 0, None, file)
    content = OmegaConf.to_container(said, resolve=True) if OmegaConf.is_config(said) else None
    if not isinstance(content, dict):
        raise MdiffError(f"expect must hold {', '.join(KEYS)}, got {said!r}")
    problems = Problems()
    with problems.gather():
        check_keys("expect", content, KEYS)
    tolerance, reference = 0, None
    with problems.gather():
        tolerance = check_whole("expect.tolerance", content.get("tolerance", 0), least=0, most=255)
    with problems.gather():
        reference = _reference(content.get("reference"), file)
    with problems.gather():
        if tolerance > 0 and content.get("reference") is None:
            raise MdiffError(
                f"expect.tolerance={tolerance} needs pictures to measure from: name their folder in expect.reference"
            )
    with problems.gather():
        _check_images(content.get("images", {}))
    problems.raise_any()
    return Expectation(content.get("images", {}), tolerance, reference, file)


def experiment_file(config: DictConfig) -> Path | None:
    """Return the file of the chosen experiment, None where there is none or more than one."""
    name = config.hydra.runtime.choices.get("experiment")
    if not isinstance(name, str):
        return None
    for source in config.hydra.runtime.config_sources:
        path = Path(source.path) / "experiment" / f"{name}.yaml"
        if source.schema == "file" and path.is_file():
            return path
    return None


def _reference(value: Any, file: Path | None) -> Path | None:
    """The folder of pictures: beside the experiment's file or below, whatever a link there says."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise MdiffError(f"expect.reference must be a folder beside the experiment's file, got {value!r}")
    if file is None:
        raise MdiffError("expect.reference is a folder beside an experiment's file: choose one with experiment=…")
    folder = (file.parent / value).resolve()
    if PurePath(value).is_absolute() or not folder.is_relative_to(file.parent.resolve()):
        raise MdiffError(f"expect.reference={value!r} leads out of the experiment's folder {file.parent}")
    return folder


def _check_images(images: Any) -> None:
    if not isinstance(images, Mapping):
        raise MdiffError(f"expect.images must map image files to their sha256, got {images!r}")
    for label, digest in images.items():
        if not isinstance(label, str) or not _LABEL.fullmatch(label) or label.split("/")[0] in (".", ".."):
            raise MdiffError(f"expect.images: {label!r} is no image of a run; they are called image_000.png and so on")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise MdiffError(f"expect.images: {label} has no sha256 (64 hexadecimal digits), got {digest!r}")
