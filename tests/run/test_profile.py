"""`profile=true` says where the time went, adds up, and leaves pixels and fingerprints as they are."""

import json
from dataclasses import replace

import pytest

from mdiff.engine import Engine, Evaluation, Stopwatch
from mdiff.engine.profile import STOPPED
from mdiff.run import run_jobs
from mdiff.run.profile import CellProfile
from mdiff.scheduler import HeunDiscreteScheduler
from tests.checkpoint import make_checkpoint
from tests.engine.test_engine import PointDenoiser, trajectory
from tests.run.tiny import tiny_job

TIMING = {"load_s": 1.0, "compile_s": 2.0, "encode_s": 0.5, "denoise_s": 0.0, "decode_s": 0.25, "save_s": 0.125}
PARTS = {"time_embedding", "context_projection", "denoise", "guidance", "executor", "other"}


def test_a_cell_tells_components_and_steps_in_order():
    profile = CellProfile()
    profile.add(1, [Evaluation(0, 900.0, 0.3, 4, {"denoise": 0.2, "guidance": 0.05})])
    profile.add(0, [Evaluation(0, 900.0, 0.1, 4, {"denoise": 0.1}), Evaluation(1, 500.0, 0.2, 2, {"denoise": 0.1})])
    told = profile.told(TIMING)
    assert told["components"] == pytest.approx(
        {
            "load": 1, "compile": 2, "encode": 0.5, "denoise": 0.4, "guidance": 0.05, "other": 0.15,
            "decode": 0.25, "png": 0.125,
        }
    )  # fmt: skip
    assert [(step["image"], step["row"], step["timestep"], step["rows"]) for step in told["steps"]] == [
        (0, 0, 900.0, 4), (0, 1, 500.0, 2), (1, 0, 900.0, 4),
    ]  # fmt: skip


def test_a_stopwatch_leaves_out_compilation_and_begins_anew():
    compiled, settled = [0.0], []
    watch = Stopwatch(lambda: settled.append(True))
    with pytest.raises(KeyError), watch.part("denoise", lambda: compiled[0]):
        compiled[0] += 1000.0
        raise KeyError
    assert watch.take()["denoise"] < -900, "what was compiled in the block is subtracted"
    assert settled == [True]
    assert watch.take() == {}
    with STOPPED.part("denoise"):
        pass
    assert STOPPED.take() == {}


def test_the_engine_shares_a_call_among_its_images_by_rows():
    scheduler = HeunDiscreteScheduler()
    guided, plain = (trajectory(key, scheduler, 3, seed=3, guidance=scale) for key, scale in (("a", 2.0), ("b", None)))
    guided.profile = []
    list(Engine(PointDenoiser(3, scheduler), 2, Stopwatch()).run([guided, plain]))
    assert plain.profile is None
    assert [each.row for each in guided.profile] == list(range(5))
    assert [each.timestep for each in guided.profile] == [float(t) for t in guided.table.t]
    assert {each.rows for each in guided.profile} == {3}
    assert sum(each.seconds for each in guided.profile) == pytest.approx(guided.seconds)
    for each in guided.profile:
        assert each.parts.keys() == {"executor", "guidance"}
        assert 0 < sum(each.parts.values()) < each.seconds


@pytest.mark.slow
def test_a_profiled_cell_has_the_pixels_and_the_fingerprint_of_any_other(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "sd15-tiny")
    plain = tiny_job(
        checkpoint,
        tmp_path / "sweep" / "plain",
        requested={"steps": 3},
        scheduler_target="HeunDiscreteScheduler",
        steps=3,
        num_images=2,
        batch=2,
    )
    profiled = replace(plain, folder=plain.folder.with_name("profiled"), profile=True)
    run_jobs([plain])
    run_jobs([profiled])
    records = [json.loads((job.folder / "record.json").read_text()) for job in (plain, profiled)]
    assert "profile" not in records[0]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    hashes = [[image["sha256"] for image in record["images"]] for record in records]
    assert hashes[0] == hashes[1]
    told, timing = records[1]["profile"], records[1]["timing"]
    assert told["components"].keys() == {"load", "compile", "encode", "decode", "png"} | PARTS
    assert sum(told["components"][name] for name in PARTS) == pytest.approx(timing["denoise_s"], abs=1e-4)
    assert sum(step["seconds"] for step in told["steps"]) == pytest.approx(timing["denoise_s"], abs=1e-4)
    assert told["components"]["denoise"] > told["components"]["guidance"] > 0
    assert [(step["image"], step["row"]) for step in told["steps"]] == [(i, row) for i in (0, 1) for row in range(5)]
    assert [step["timestep"] for step in told["steps"][:5]] == records[1]["effective"]["timesteps"]
    assert {step["rows"] for step in told["steps"]} == {4}
