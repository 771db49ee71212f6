"""What a search makes small: a number from the record of a cell, or its distance to a reference."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mdiff.errors import MdiffError
from mdiff.run import CellOutcome


def objective(outcome: CellOutcome) -> float | list[float] | None:
    """Return what `objective` in the cell's config stands for, NaN for a cell that was not made."""
    asked = outcome.job.requested.get("objective")
    if asked is None:
        return None
    if isinstance(asked, list):
        return [_value(each, outcome) for each in asked]
    return _value(asked, outcome)


def _value(name: str, outcome: CellOutcome) -> float:
    record = outcome.record
    if record is None or outcome.status not in ("complete", "kept"):
        return math.nan
    if name == "distance":
        return distance(outcome.folder, Path(outcome.job.requested["reference"]), record)
    if name == "evaluations":
        return float(record["effective"]["evaluations"])
    timing = record["timing"]
    return (timing["denoise_s"] + timing["decode_s"]) / len(record["images"])


def distance(folder: Path, reference: Path, record: dict[str, Any]) -> float:
    """Root mean square difference of the cell's pixels (0 … 255) from the reference's, over all images."""
    squares = []
    for image in record["images"]:
        other = reference / image["file"] if reference.is_dir() else reference
        ours, theirs = _pixels(folder / image["file"]), _pixels(other)
        if ours.shape != theirs.shape:
            size = f"{theirs.shape[1]}×{theirs.shape[0]}"
            raise MdiffError(f"the reference {other} has {size} pixels, the cell {ours.shape[1]}×{ours.shape[0]}")
        squares.append(np.mean((ours - theirs) ** 2))
    return float(np.sqrt(np.mean(squares)))


def _pixels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.float64)
    except (OSError, SyntaxError, ValueError) as error:
        raise MdiffError(f"cannot read the image {path}: {error}") from error
