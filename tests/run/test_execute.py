"""Jobs through a real model to real files: complete, failed, stopped, resumed, out of room."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdiff.errors import MdiffError
from mdiff.model import ModelSource
from mdiff.run import PromptPair, run_jobs
from mdiff.run.png import pixel_digest, read_back
from tests.checkpoint import make_checkpoint
from tests.run.tiny import tiny_job

CELL_KEYS = {
    "schema", "status", "fingerprint", "error", "requested", "effective", "images", "timing", "memory", "weights",
    "versions", "git",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), "sd15-tiny")


@pytest.fixture
def job(checkpoint, tmp_path):
    return tiny_job(checkpoint, tmp_path / "sweep" / "cell", requested={"steps": 2, "guidance": 3.0})


def cell(job, name, **changes):
    return replace(job, folder=job.folder.with_name(name), **changes)


def names(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_cell_has_the_files_of_the_contract(job):
    job = replace(job, num_images=2, prompts=(PromptPair("the cat", ""), PromptPair("a dog", "cat")), seed=5)
    (outcome,) = run_jobs([job])
    assert outcome.status == "complete"
    images = [f"image_{i:03d}.png" for i in range(4)]
    assert names(job.folder.parent) == sorted(f"cell/{name}" for name in [*images, "config.yaml", "record.json"])
    record = json.loads((job.folder / "record.json").read_text())
    assert record.keys() >= CELL_KEYS
    assert record["status"] == "complete"
    assert record["error"] is None
    assert [entry["seed"] for entry in record["images"]] == [5, 6, 5, 6]
    assert [entry["prompt"] for entry in record["images"]] == ["the cat", "the cat", "a dog", "a dog"]
    assert record["effective"]["evaluations"] == 2
    assert record["effective"]["precision"] == {"weights": "float32", "compute": "float32", "vae": "float32"}
    assert record["timing"].keys() == {
        "load_s", "compile_s", "encode_s", "denoise_s", "decode_s", "save_s", "total_s",
    }  # fmt: skip
    for entry in record["images"]:
        recipe, pixels = read_back(job.folder / entry["file"])
        assert pixels.shape == (16, 16, 3)
        assert pixel_digest(pixels) == entry["sha256"] == recipe["image"]["sha256"]
        assert recipe["fingerprint"] == record["fingerprint"]
    digests = [entry["sha256"] for entry in record["images"]]
    assert len(set(digests)) == 4


def test_a_complete_cell_is_kept_and_a_changed_one_is_made(job, checkpoint, tmp_path):
    assert run_jobs([job])[0].status == "complete"
    written = (job.folder / "record.json").stat().st_mtime_ns
    assert run_jobs([job])[0].status == "kept"
    assert (job.folder / "record.json").stat().st_mtime_ns == written
    (again,) = run_jobs([replace(job, resume=False)])
    assert again.status == "complete"
    other = make_checkpoint(tmp_path / "other", "sd15-tiny", seed=1)
    (outcome,) = run_jobs([replace(job, model=ModelSource(path=str(other)))])
    assert outcome.status == "complete"
    assert outcome.folder != job.folder, "other weights: the earlier result is left alone"
    assert run_jobs([job])[0].status == "kept"


@pytest.mark.slow
def test_batching_changes_pixels_by_rounding_at_most(job):
    alone = [cell(job, f"alone{i}", seed=i, steps=2 + i) for i in range(3)]
    packed = [replace(each, folder=each.folder.with_name(f"packed{i}"), batch=3) for i, each in enumerate(alone)]
    run_jobs([*alone, *packed])
    for one, other in zip(alone, packed, strict=True):
        _, a = read_back(one.folder / "image_000.png")
        _, b = read_back(other.folder / "image_000.png")
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


@pytest.mark.slow
def test_values_that_are_not_finite_fail_their_cell_only(job, tmp_path):
    broken = make_checkpoint(tmp_path / "broken", "sd15-tiny")
    path = broken / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["decoder.conv_out.bias"][:] = np.nan
    save_file(tensors, path, metadata={"format": "pt"})
    bad, good = cell(job, "bad", model=ModelSource(path=str(broken))), cell(job, "good")
    outcomes = run_jobs([bad, good])
    assert [outcome.status for outcome in outcomes] == ["failed", "complete"]
    assert "not finite" in outcomes[0].error
    assert names(bad.folder) == ["config.yaml", "record.json"], "no black image"
    record = json.loads((bad.folder / "record.json").read_text())
    assert record["status"] == "failed"
    assert "not finite" in record["error"]["message"]
    assert run_jobs([bad])[0].status == "failed", "tried again"


def test_latents_that_are_not_finite_are_told_apart(job, tmp_path):
    broken = make_checkpoint(tmp_path / "broken", "sd15-tiny")
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_out.bias"][:] = np.inf
    save_file(tensors, path, metadata={"format": "pt"})
    (outcome,) = run_jobs([replace(job, model=ModelSource(path=str(broken)))])
    assert outcome.status == "failed"
    assert "latents are not finite after evaluation 1 of 2" in outcome.error


def test_on_error_stop_leaves_the_rest(job, tmp_path):
    broken = make_checkpoint(tmp_path / "broken", "sd15-tiny")
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MdiffError, match=r"unet/diffusion_pytorch_model\.safetensors"):
        run_jobs([replace(job, model=ModelSource(path=str(broken)))])
    assert not job.folder.exists()


class StopAfter:
    """A stop signal that is set when it was asked for the n-th time."""

    def __init__(self, asked: int):
        self.left = asked

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stopped_run_keeps_what_was_in_flight_and_goes_on(job):
    job = replace(job, num_images=4)
    (outcome,) = run_jobs([job], stop=StopAfter(6))
    assert outcome.status == "pending"
    assert not job.folder.exists()
    staged = sorted(path.name for path in job.folder.parent.rglob("*.png"))
    assert 0 < len(staged) < 4
    made = {path.name: path.stat().st_mtime_ns for path in job.folder.parent.rglob("*.png")}
    (outcome,) = run_jobs([job])
    assert outcome.status == "complete"
    for name, when in made.items():
        assert (job.folder / name).stat().st_mtime_ns == when, "not made twice"
    assert not (job.folder.parent / ".mdiff").exists()


def test_a_damaged_result_is_named_and_not_touched(job):
    first, second = cell(job, "first"), cell(job, "second")
    run_jobs([first])
    (first.folder / "record.json").write_text("{")
    outcomes = run_jobs([first, second])
    assert [outcome.status for outcome in outcomes] == ["failed", "complete"]
    assert "record.json is not a record" in outcomes[0].error
    assert (first.folder / "record.json").read_text() == "{"


def test_a_folder_that_cannot_be_written_is_named_before_loading(job, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MdiffError, match="cannot write to"):
        run_jobs([replace(job, folder=tmp_path / "file" / "cell")])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_the_run_goes_on_after(job, small_disk):
    job = replace(job, folder=small_disk / "cell", num_images=3)
    ballast = small_disk / "ballast"
    room = os.statvfs(small_disk)
    ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - 2 * 4096))
    with pytest.raises(MdiffError, match="No space left on device"):
        run_jobs([job])
    assert not job.folder.exists()
    assert not list(small_disk.rglob("*.part"))
    ballast.unlink()
    assert run_jobs([job])[0].status == "complete"
    assert names(small_disk) == [
        "cell/config.yaml", "cell/image_000.png", "cell/image_001.png", "cell/image_002.png", "cell/record.json",
    ]  # fmt: skip


def test_a_cell_that_another_process_finished_meanwhile_is_kept(job, monkeypatch):
    from mdiff.run import execute

    planned_before = execute.plan([job])
    assert run_jobs([job])[0].status == "complete"
    written = (job.folder / "record.json").stat().st_mtime_ns
    monkeypatch.setattr(execute, "plan", lambda jobs: planned_before)
    assert run_jobs([job])[0].status == "kept"
    assert (job.folder / "record.json").stat().st_mtime_ns == written
