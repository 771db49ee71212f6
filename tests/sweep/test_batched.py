"""What sharing network calls does to the pixels: the grid of the benchmark, batched and in the strict mode."""

import numpy as np
import pytest

from tests.sweep.process import ended, mdiff, pixels, records

pytestmark = pytest.mark.slow

GRID = ["-m", "scheduler=heun,dpmpp_2m,lms", "steps=10,20", "seed=0,1,2,3"]


def test_batching_rounds_and_nothing_else(tmp_path, capsys):
    for name, batch in (("batched", "auto"), ("strict", "1")):
        status, out, err = ended(mdiff(tmp_path, *GRID, f"name={name}", f"engine.batch={batch}"), timeout=900)
        assert status == 0 and "24 of 24 cells complete" in out, err
    outputs = tmp_path / "outputs"
    assert {record["effective"]["batch"] for record in records(outputs / "batched").values()} == {8}
    assert {record["effective"]["batch"] for record in records(outputs / "strict").values()} == {1}
    batched, strict = pixels(outputs / "batched"), pixels(outputs / "strict")
    assert batched.keys() == strict.keys() and len(strict) == 24
    apart = np.concatenate([np.abs(batched[name].astype(int) - strict[name]).ravel() for name in strict])
    with capsys.disabled():
        print(f"\nbatched beside engine.batch=1: {apart.max()}/255 apart at most, {np.mean(apart == 0):.4%} identical")
    assert apart.max() <= 1
