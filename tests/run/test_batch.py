"""`engine.batch=auto` with a real model: measured once, remembered, recorded."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mdiff.pipeline import batch, session
from mdiff.run import run_jobs
from mdiff.run.png import read_back
from tests.run.test_execute import cell, checkpoint, job  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    session._resident.clear()  # other tests' sizes are compiled there
    return tmp_path / "cache" / "mdiff" / "batch.json"


def sweep(job, name):  # noqa: F811
    return [cell(job, f"{name}{seed}", seed=seed, batch="auto") for seed in range(10)]


def sizes(outcomes):
    return {outcome.record["effective"]["batch"] for outcome in outcomes}


def test_a_small_sweep_measures_nothing(job, cache):  # noqa: F811
    assert sizes(run_jobs(sweep(job, "small"))) == {5}, "two rounds of five"
    assert not cache.exists()


def test_a_large_sweep_measures_once(job, cache, monkeypatch):  # noqa: F811
    usual = run_jobs(sweep(job, "usual"))
    monkeypatch.setattr(batch, "SHARE", 1e6)  # as if the job were a thousand times as long
    measured = run_jobs(sweep(job, "measured"))
    (known,) = json.loads(cache.read_text()).values()
    assert "8" in known and len(known) >= 2
    (size,) = sizes(measured)
    timed = {int(each): seconds for each, seconds in known.items()}
    assert size == batch.best_batch([2] * 10, 8, timed, sizes(usual))
    for one, other in zip(usual, measured, strict=True):
        a, b = (read_back(outcome.folder / "image_000.png")[1].astype(int) for outcome in (one, other))
        assert np.abs(a - b).max() <= 1
    assert sum(outcome.record["timing"]["compile_s"] for outcome in measured) > 0, "trials count as getting ready"

    written = cache.read_bytes()
    monkeypatch.setattr(batch, "SHARE", 0.03)
    assert sizes(run_jobs(sweep(job, "again"))) == {size}
    assert cache.read_bytes() == written
    for one, other in zip(measured, sweep(job, "again"), strict=True):
        a, b = (read_back(folder / "image_000.png")[1] for folder in (one.folder, other.folder))
        assert np.array_equal(a, b), "the same size, the same pixels"


def test_beside_other_processes_nothing_is_measured(job, cache, monkeypatch):  # noqa: F811
    monkeypatch.setattr(batch, "SHARE", 1e6)
    assert sizes(run_jobs(sweep(job, "beside"), alone=False)) == {5}
    assert not cache.exists()


def test_a_size_that_was_asked_for_is_kept(job, cache, monkeypatch):  # noqa: F811
    monkeypatch.setattr(batch, "SHARE", 1e6)
    asked = [replace(each, batch=3) for each in sweep(job, "asked")]
    assert sizes(run_jobs(asked)) == {3} and not cache.exists()


def test_the_next_job_of_a_process_takes_a_size_that_is_compiled(job):  # noqa: F811
    assert sizes(run_jobs(sweep(job, "first"))) == {5}
    assert sizes(run_jobs(sweep(job, "first")[:6])) == {5}, "kept"
    others = [cell(job, f"other{seed}", seed=seed, batch="auto") for seed in range(100, 107)]
    assert sizes(run_jobs(others)) == {7}, "five would take two rounds"
    assert sizes(
        run_jobs([replace(each, folder=each.folder.with_name(f"x{i}")) for i, each in enumerate(others[:6])])
    ) == {7}
