"""What a search makes small, from records and pictures."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mdiff.errors import MdiffError
from mdiff.sweep.objective import distance, objective

RECORD = {
    "images": [{"file": "image_000.png"}, {"file": "image_001.png"}],
    "timing": {"denoise_s": 3.0, "decode_s": 1.0},
    "effective": {"evaluations": 39},
}


def outcome(asked, folder=Path(), status="complete", record=RECORD, **requested):
    job = SimpleNamespace(requested={"objective": asked, **requested})
    return SimpleNamespace(job=job, status=status, folder=folder, record=record)


def cell(folder: Path, *values: int, size=(4, 4)) -> Path:
    folder.mkdir()
    for index, value in enumerate(values):
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(folder / f"image_{index:03d}.png")
    return folder


def test_numbers_of_the_record():
    assert objective(outcome("seconds")) == 2.0
    assert objective(outcome("evaluations")) == 39.0
    assert objective(outcome(["evaluations", "seconds"])) == [39.0, 2.0]
    assert objective(outcome(None)) is None


@pytest.mark.parametrize("status", ["failed", "pending", "busy"])
def test_a_cell_that_was_not_made_is_not_a_number(status):
    assert math.isnan(objective(outcome("seconds", status=status)))
    assert math.isnan(objective(outcome("distance", status=status, record=None)))


def test_distance_is_the_root_mean_square(tmp_path):
    ours, theirs = cell(tmp_path / "a", 10, 20), cell(tmp_path / "b", 13, 24)
    assert distance(ours, theirs, RECORD) == pytest.approx(math.sqrt((9 + 16) / 2))
    assert distance(ours, ours, RECORD) == 0
    assert distance(ours, theirs / "image_000.png", RECORD) == pytest.approx(math.sqrt((9 + 49) / 2))
    assert objective(outcome("distance", folder=ours, reference=str(theirs))) > 0


def test_a_reference_that_does_not_fit(tmp_path):
    ours = cell(tmp_path / "a", 10, 20)
    with pytest.raises(MdiffError, match="5×4"):
        distance(ours, cell(tmp_path / "b", 1, 2, size=(4, 5)), RECORD)
    with pytest.raises(MdiffError, match="nowhere"):
        distance(ours, tmp_path / "nowhere.png", RECORD)
