"""Sweeps over several processes, with Hydra's launchers for joblib, submitit and Ray, for real."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.checkpoint import make_checkpoint

ROOT = Path(__file__).parent.parent.parent
GRID = ["scheduler=heun,euler", "steps=3,6", "seed=range(0,4)", "engine.batch=2"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    make_checkpoint(folder / "tiny")
    return folder


def mdiff(place: Path, *words: str) -> subprocess.Popen:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OMP_NUM_THREADS": "1",
        "HOME": str(place),  # Ray leaves a token there
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "mdiff", "-m", "model=local", "model.path=tiny", *words],
        cwd=place,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


class Watch:
    """Looks at the cells again and again until the process ends: a picture that is made twice is another file."""

    def __init__(self, process: subprocess.Popen, folder: Path):
        self._process, self._folder = process, folder
        self.seen: dict[str, set[int]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._process.poll() is None:
            self._look()
            time.sleep(0.05)

    def _look(self) -> None:
        for path in self._folder.glob("*=*/*.png"):
            with contextlib.suppress(FileNotFoundError):
                self.seen.setdefault(f"{path.parent.name}/{path.name}", set()).add(path.stat().st_ino)

    def check_once(self, pictures: int) -> None:
        self._thread.join()
        self._look()
        assert len(self.seen) == pictures
        assert all(len(files) == 1 for files in self.seen.values()), "nothing is made twice"


def check_whole(folder: Path, cells: int) -> None:
    """Every cell is complete, once, and nothing is left over."""
    records = [json.loads(path.read_text()) for path in folder.glob("*/record.json")]
    assert len(records) == cells and {record["status"] for record in records} == {"complete"}
    assert len({record["fingerprint"] for record in records}) == cells
    assert not (folder / ".mdiff").exists()
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("joblib", ["hydra/launcher=processes", "hydra.launcher.n_jobs=2"]),
        ("submitit", ["hydra/launcher=submitit", "hydra.sweeper.workers=2"]),
        ("ray", ["hydra/launcher=ray_cluster", "hydra.sweeper.workers=4", "hydra.launcher.ray.remote.num_cpus=0.5"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_workers_share_a_grid(place, plugin, words):
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    process = mdiff(place, f"name={plugin}", *GRID, *words)
    watch = Watch(process, place / "outputs" / plugin)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "16 of 16 cells complete: 16 images" in out.splitlines()[-1]
    check_whole(place / "outputs" / plugin, 16)
    watch.check_once(16)


def test_a_killed_worker_costs_no_cell(place):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    words = ["hydra/launcher=ray_cluster", "hydra.sweeper.workers=4", "hydra.launcher.ray.remote.num_cpus=0.5"]
    grid = ["name=killed", "scheduler=heun,euler", "steps=12", "seed=range(0,12)", "engine.batch=2"]
    process = mdiff(place, *grid, *words)
    folder = place / "outputs" / "killed"
    watch = Watch(process, folder)
    deadline = time.monotonic() + 400
    while not (victims := ray_workers_at_work(folder)) or not list(folder.glob("*/record.json")):
        assert process.poll() is None and time.monotonic() < deadline, "no worker was ever at work"
        time.sleep(0.05)
    os.kill(victims[0], signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    watch.check_once(len(list(folder.glob("*=*/*.png"))))
    if process.returncode != 0:  # Ray gave the worker up; the others have finished its cells or the same command does
        process = mdiff(place, *grid, *words)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "24 of 24 cells complete" in out
    check_whole(folder, 24)
    watch.check_once(24)


def ray_workers_at_work(folder: Path) -> list[int]:
    """Processes of Ray that hold a cell of this sweep."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::"):
                held = [each.readlink() for each in (entry / "fd").iterdir()]
                if any(each.parent == folder.resolve() / ".mdiff" and each.suffix == ".lock" for each in held):
                    found.append(int(entry.name))
    return sorted(found)


def test_a_search_makes_its_objective_small(place):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    process = mdiff(
        place,
        "name=search",
        "hydra/sweeper=search",
        "objective=evaluations",
        "steps=range(1,9)",
        "scheduler=heun,euler",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.n_jobs=6",
        "hydra.sweeper.sampler.seed=0",
    )
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    records = [json.loads(path.read_text()) for path in (place / "outputs" / "search").glob("*/record.json")]
    import yaml

    results = yaml.safe_load((place / "outputs" / "search" / "optimization_results.yaml").read_text())
    assert results["best_value"] == min(record["effective"]["evaluations"] for record in records)


def test_a_search_finds_its_reference(place):
    """The distance to an image that is among those that can be found."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    made = mdiff(place, "name=reference", "scheduler=euler", "steps=4,5", "engine.batch=1")
    assert made.wait(300) == 0, made.stderr.read()
    (reference,) = (place / "outputs" / "reference").glob("steps=5-*/image_000.png")
    words = [
        "name=found",
        "hydra/sweeper=search",
        "objective=distance",
        f"reference='{reference.relative_to(place)}'",
        "scheduler=euler",
        "steps=choice(2,5,8)",
        "engine.batch=1",
        "hydra.sweeper.n_trials=9",
        "hydra.sweeper.n_jobs=3",
        "hydra.sweeper.sampler.seed=0",
    ]
    process = mdiff(place, *words)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    import yaml

    results = yaml.safe_load((place / "outputs" / "found" / "optimization_results.yaml").read_text())
    assert results["best_value"] == 0 and results["best_params"] == {"steps": 5}
    assert len(list((place / "outputs" / "found").glob("*/record.json"))) <= 3, "a trial that was made before is kept"
