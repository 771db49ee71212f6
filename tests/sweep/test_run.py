"""Sweeps and runs for real, on a little checkpoint of random weights."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.checkpoint import make_checkpoint

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    make_checkpoint(folder / "tiny")
    return folder


def mdiff(place: Path, *words: str, python: str = sys.executable, **options):
    command = [python, "-m", "mdiff", "model=local", "model.path=tiny", *words]
    return subprocess.Popen(
        command, cwd=place, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def ended(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def digests(folder: Path) -> dict[str, str]:
    """Every file of the cells of a sweep, with its digest and its time."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(folder.glob("*=*/*"))
    }


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/record.json"))]


def test_a_sweep_is_interrupted_resumed_kept_extended_and_damaged(place):
    grid = ["-m", "name=grid", "scheduler=heun,euler", "steps=8", "seed=range(0,6)", "engine.batch=2"]
    folder = place / "outputs" / "grid"
    process = mdiff(place, *grid)
    deadline = time.monotonic() + 240
    while not list(folder.glob("*/record.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    status, out, err = ended(process)
    made = len(records(folder))
    assert status == 130, err
    assert 0 < made < 12
    assert f"{made} of 12 cells complete" in out.splitlines()[-1]
    assert "the same command again" in err.splitlines()[-1]
    assert not (folder / ".mdiff").exists(), "work in flight was finished, so nothing is staged"
    first = digests(folder)

    status, out, err = ended(mdiff(place, *grid))
    assert status == 0, err
    assert f"12 of 12 cells complete, {made} of them kept from before: 12 images" in out.splitlines()[-1]
    second = digests(folder)
    assert {name: second[name] for name in first} == first, "what was complete is left alone"
    assert {record["status"] for record in records(folder)} == {"complete"} and len(records(folder)) == 12

    began = time.monotonic()
    status, out, err = ended(mdiff(place, *grid))
    assert status == 0 and "12 of them kept" in out, err
    assert time.monotonic() - began < 10 and digests(folder) == second

    status, out, err = ended(mdiff(place, *grid, "scheduler=heun,euler,ddim", "dry_run=true"))
    assert status == 0 and out.startswith("18 cells in outputs/grid: 12 done, 6 to do"), err
    assert digests(folder) == second

    victim = sorted(folder.glob("*/record.json"))[3]
    victim.write_text("{")
    status, out, err = ended(mdiff(place, *grid))
    assert status == 1, "a damaged record fails its cell alone"
    assert "11 of 12 cells complete" in out and "1 of 12 cells failed" in err and str(victim.relative_to(place)) in err


def test_a_run_has_a_folder_of_its_own(place):
    status, out, err = ended(mdiff(place, "steps=2", "name=single", "prompt.text=a cat, sitting", "-r"))
    assert status == 0, err
    image = place / out.splitlines()[-1]
    assert image.name == "image_000.png" and image.parent.parent == place / "outputs" / "single"
    record = json.loads((image.parent / "record.json").read_text())
    assert record["images"][0]["prompt"] == "a cat, sitting" and record["requested"]["steps"] == 2
    assert (image.parent / "config.yaml").is_file()


def test_a_mistake_in_one_cell_of_many_stops_the_sweep_before_it_begins(place):
    status, out, err = ended(mdiff(place, "-m", "name=wrong", "scheduler=heun,huen", "seed=range(0,50)"))
    assert (status, out) == (1, "")
    assert "'huen'" in err and len(err.splitlines()) == 1
    assert not (place / "outputs" / "wrong").exists()
