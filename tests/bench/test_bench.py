"""The benchmark command runs and prints what it says; its figures are nobody's assertion."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mdiff.bench", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)


@pytest.mark.slow
def test_one_side_alone(tmp_path):
    done = bench("--only", "mdiff", "--rounds", "1", "--calls", "1", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert figures.keys() == {"step", "encode", "decode"}
    assert all(row["mdiff"] > 0 and "ratio" not in row for row in figures.values())


@pytest.mark.slow
@pytest.mark.parity
def test_both_sides_on_the_bundled_model():
    pytest.importorskip("diffusers")
    done = bench("--rounds", "1", "--calls", "1", "--stages", "step")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.strip().splitlines()
    assert header.split() == ["stage", "mdiff", "s", "diffusers", "s", "ratio"]
    name, ours, theirs, ratio = row.split()
    assert name == "step"
    assert float(ours) > 0
    assert float(theirs) > 0
    assert float(ratio) > 0


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is not None, reason="diffusers is installed")
def test_without_the_reference_it_says_what_to_install():
    done = bench()
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "mdiff.bench: diffusers is not installed; pip install '.[parity]', or --only mdiff"
    ]


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told(tmp_path):
    done = bench("--only", "mdiff", "--model", str(tmp_path))
    assert done.returncode == 1
    assert "model_index.json" in done.stderr
    assert "the mdiff side ended with status" in done.stderr
    assert "Traceback" not in done.stderr
