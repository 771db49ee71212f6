"""What is done in place of failing: only what the config allows, in its order, and stamped into the record."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdiff import device as devices
from mdiff.model import Memory
from mdiff.run import run_jobs
from mdiff.run.fallback import Fallbacks
from mdiff.run.png import read_back
from tests.checkpoint import make_checkpoint
from tests.run.tiny import tiny_job

ALL = ("vae_tiling", "attention_slicing", "halve_batch")


def test_the_order_given_is_the_order_tried():
    fallbacks = Fallbacks(("halve_batch", "vae_tiling"), Memory(), 5)
    assert fallbacks.next() and (fallbacks.batch, fallbacks.memory) == (2, Memory())
    assert fallbacks.next() and fallbacks.batch == 1, "halved for as long as there is something to halve"
    assert fallbacks.next() and fallbacks.memory == Memory(vae_tiling=True)
    assert not fallbacks.next()
    assert [stamp.partition(":")[0] for stamp in fallbacks.stamps] == [
        "on_oom halve_batch", "on_oom halve_batch", "on_oom vae_tiling",
    ]  # fmt: skip
    assert "2 images at most, not 5" in fallbacks.stamps[0]


def test_what_is_in_effect_already_is_no_fallback():
    fallbacks = Fallbacks(ALL, Memory(vae_tiling=True, attention_slicing=True), 1)
    assert not fallbacks.next() and fallbacks.stamps == []
    assert "nothing left to change" in fallbacks.hint()
    assert "on_oom=[vae_tiling,attention_slicing,halve_batch]" in Fallbacks((), Memory(), 1).hint()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("fallback"), "sd15-tiny")


def limited(checkpoint, folder, room, *changes):
    """Records of jobs in a process that may take `room` MB more than it has."""
    command = [sys.executable, "-m", "tests.run.limited", str(checkpoint), str(folder), str(room), json.dumps(changes)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])[1:]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory with RLIMIT_AS")
def test_memory_that_is_really_not_enough(checkpoint, tmp_path):
    """The attention of 64×64 latents takes two times 0.5 GB unless it is sliced."""
    large = {"width": 512, "height": 512}
    plain, small, sliced = limited(
        checkpoint, tmp_path, 800, large, {"width": 24}, large | {"on_oom": ["attention_slicing"]}
    )
    assert plain["status"] == "failed" and plain["images"] == []
    assert plain["error"]["message"].startswith("not enough memory on the cpu; ")
    assert "on_oom=[vae_tiling,attention_slicing,halve_batch]" in plain["error"]["message"], "the key is named"
    assert small["status"] == "complete", "the session works after a failure"
    assert sliced["status"] == "complete" and len(sliced["images"]) == 1
    assert [stamp.partition(":")[0] for stamp in sliced["effective"]["substitutions"]] == ["on_oom attention_slicing"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory with RLIMIT_AS")
def test_a_batch_that_is_really_too_large(checkpoint, tmp_path):
    sixteen = {"width": 256, "height": 256, "num_images": 16, "batch": 16, "on_oom": ["vae_tiling", "halve_batch"]}
    (made,) = limited(checkpoint, tmp_path, 800, sixteen)
    assert made["status"] == "complete" and len(made["images"]) == 16
    stamps = [stamp.partition(":")[0] for stamp in made["effective"]["substitutions"]]
    assert stamps[:2] == ["on_oom vae_tiling", "on_oom halve_batch"], "in the order given"
    assert made["effective"]["batch"] == 16 // 2 ** stamps.count("on_oom halve_batch")


@pytest.fixture
def overflowing(tmp_path, monkeypatch):
    """A job whose VAE overflows in float16, which is what it is to compute in."""
    folder = make_checkpoint(tmp_path / "overflowing", "sd15-tiny")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    # 70,000 is beyond float16; the normalisation that follows takes it away again
    tensors["decoder.conv_in.weight"] *= 5e4
    save_file(tensors, path, metadata={"format": "pt"})
    half = devices.Precision("fp16", "float16", "float32", "float16")
    monkeypatch.setattr(devices, "resolve_precision", lambda *given, **options: half)
    return tiny_job(folder, tmp_path / "sweep" / "cell", precision="fp16", num_images=2)


def test_a_vae_that_overflows_decodes_in_float32_where_that_is_allowed(overflowing):
    plain = overflowing
    allowed = replace(plain, folder=plain.folder.with_name("allowed"), on_nan=("vae_fp32",))
    failed, made = run_jobs([plain, allowed])
    assert failed.status == "failed"
    assert "not finite in float16" in failed.error and "on_nan=[vae_fp32]" in failed.error, "the key is named"
    assert made.status == "complete"
    in_effect = made.record["effective"]
    assert in_effect["precision"] == {"weights": "float16", "compute": "float32", "vae": "float32"}
    assert in_effect["substitutions"] == ["on_nan vae_fp32: the VAE overflowed in float16, so it decoded in float32"]
    recipe, pixels = read_back(made.folder / "image_001.png")
    assert recipe["effective"]["substitutions"] == in_effect["substitutions"], "a replay is compared with it"
    assert np.ptp(pixels) > 20, "a picture"
