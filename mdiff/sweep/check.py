"""`check=true`: the images of a run against what their experiment expects; `check=record` writes what to expect."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from mdiff.config.expect import Expectation
from mdiff.config.folder import stable_name
from mdiff.config.problem import Problems
from mdiff.config.value import check_check
from mdiff.errors import MdiffError, nearest
from mdiff.report.fidelity import mse, psnr
from mdiff.report.raster import digest, pixels, read_rgb
from mdiff.run import CellOutcome
from mdiff.sweep.cells import keys_that_vary
from mdiff.sweep.recorded import record
from mdiff.sweep.summary import counted

TOLD = 20


@dataclass(frozen=True)
class Check:
    """What is to be done with a run's images once they are there, and what they are expected to be."""

    expected: Expectation
    recording: bool
    references: Mapping[str, Image.Image]

    def conclude(self, outcomes: Sequence[CellOutcome], status: int) -> int:
        """Check or record the images of a run that ended with `status`; print the last lines, return the exit status.

        A run that is not complete keeps its status: nothing is concluded from a part of it.
        """
        if status != 0:
            print("mdiff: nothing was checked, since not everything was made", file=sys.stderr)
            return status
        images = labelled(outcomes)
        if self.recording:
            print(record(self.expected, images), flush=True)
            return 0
        return self._compare(images)

    def _compare(self, images: Mapping[str, Path]) -> int:
        found = {label: self._verdict(label, path) for label, path in images.items()}
        faults = [f"{label}: {verdict}" for label, (good, verdict) in found.items() if not good]
        faults += [
            f"{label}: expected, but not an image of this run" for label in self.expected.images if label not in images
        ]
        if not faults:
            moved = [f"{label}: {verdict}" for label, (_, verdict) in found.items() if verdict]
            same = len(found) - len(moved)
            within = f", {len(moved)} within the tolerance of {self.expected.tolerance}" if moved else ""
            print(*moved[:TOLD], sep="\n", end="\n" if moved else "")
            print(f"check: {same} of {counted(len(found), 'image')} identical to what is expected{within}", flush=True)
            return 0
        all_labels = images.keys() | self.expected.images.keys()
        print(f"mdiff: check: {len(faults)} of {counted(len(all_labels), 'image')} not as expected:", file=sys.stderr)
        for fault in faults[:TOLD]:
            print(f"mdiff:   {fault}", file=sys.stderr)
        if len(faults) > TOLD:
            print(f"mdiff:   and {len(faults) - TOLD} more", file=sys.stderr)
        print(
            "mdiff: if that is meant, the same command with check=record expects these images from now on",
            file=sys.stderr,
        )
        return 1

    def _verdict(self, label: str, path: Path) -> tuple[bool, str]:
        """Whether an image is as expected, and in words how far it is where it is not identical."""
        expected = self.expected.images.get(label)
        if expected is None:
            return False, f"nothing is expected of it{nearest(label, self.expected.images)}"
        image = _read(path)
        found = digest(image)
        if found == expected:
            return True, ""
        reference = self.references.get(label)
        if reference is None:
            return False, (
                f"its pixels have sha256 {found[:12]}…, expected is {expected[:12]}…; "
                "how far that is, only pictures in expect.reference could tell"
            )
        if image.size != reference.size:
            return False, f"it has {_size(image)} pixels, expected are {_size(reference)}"
        ours, theirs = pixels(image), pixels(reference)
        largest = int(np.abs(ours.astype(np.int16) - theirs).max())
        words = f"largest difference {largest} of 255, PSNR {psnr(mse(ours, theirs)):.2f} dB"
        if largest <= self.expected.tolerance:
            return True, words
        return False, f"moved beyond the tolerance of {self.expected.tolerance}: {words}"


def check_from(config: DictConfig, expected: Expectation) -> Check:
    """Return the check that a composed config asks for with `check=true` or `check=record`.

    Everything that is expected is read here, before anything runs; raises `MdiffError` where it cannot be used.
    """
    check_check(config.check)
    if "optuna" in str(config.hydra.sweeper.get("_target_")) and config.hydra.mode.name == "MULTIRUN":
        raise MdiffError("a check needs a grid: a search does not make the same images every time")
    if config.check == "record":
        by_user = any(line.lstrip("+").startswith("check=") for line in config.hydra.overrides.task)
        if not by_user:
            raise MdiffError("check=record rewrites what is expected: it is given on the command line, not in a file")
        return Check(expected, True, {})
    if not expected.images:
        raise MdiffError(
            "check=true: nothing is expected of these images; the same command with check=record writes what they are"
        )
    return Check(expected, False, _references(expected))


def labelled(outcomes: Sequence[CellOutcome]) -> dict[str, Path]:
    """Return the image files of complete cells by label: what varies among the cells, and the file's name.

    A label holds no hash of the whole config, so it stays what it is when weights, defaults or other settings change.
    """
    keys = sorted(keys_that_vary([outcome.job.varies for outcome in outcomes]))
    if "experiment" in keys:
        raise MdiffError("check is for one experiment at a time")
    found: dict[str, Path] = {}
    for outcome in outcomes:
        folder = stable_name({key: outcome.job.varies.get(key) for key in keys})
        for image in (outcome.record or {}).get("images", []):
            label = f"{folder}/{image['file']}" if folder else image["file"]
            found[label] = outcome.folder / image["file"]
    return found


def _references(expected: Expectation) -> dict[str, Image.Image]:
    """The pictures that differences are measured from, each one the picture whose digest is expected."""
    if expected.reference is None:
        return {}
    problems, found = Problems(), {}
    for label, wanted in expected.images.items():
        path = expected.reference / label
        with problems.gather():
            if not path.resolve().is_relative_to(expected.reference):
                raise MdiffError(f"{path} leads out of expect.reference")
            image = _read(path)
            if digest(image) != wanted:
                raise MdiffError(f"{path} is not the picture that expect.images has the sha256 of; see check=record")
            found[label] = image
    problems.raise_any()
    return found


def _read(path: Path) -> Image.Image:
    try:
        return read_rgb(path)
    except ValueError as error:
        raise MdiffError(f"cannot read {path}: {error}") from error


def _size(image: Image.Image) -> str:
    return f"{image.width} × {image.height}"
