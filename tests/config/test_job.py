"""From plain containers to a job, without Hydra."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdiff.config.job import job_from
from mdiff.config.problem import ConfigError
from mdiff.model import Memory
from mdiff.run.job import PromptPair

CONFIG = {
    "model": {"_target_": "mdiff.model.ModelSource", "path": "bundled:emoji", "preset": {"steps": 12, "guidance": 3}},
    "scheduler": {"_target_": "mdiff.scheduler.HeunDiscreteScheduler", "sigmas": "karras"},
    "precision": {"name": "fp32"},
    "prompt": {"_target_": "mdiff.prompt.Prompts", "text": ["red apple", "dog face"], "negative": "blurry"},
    "device": {"kind": "cpu", "id": 0},
    "output": {"dir": "outputs"},
    "engine": {"batch": "auto"},
    "steps": None,
    "guidance": None,
    "seed": 0,
    "num_images": 2,
    "width": None,
    "height": None,
    "name": "default",
    "resume": True,
    "on_error": "continue",
    "dry_run": False,
}


def config(**changes):
    return {**copy.deepcopy(CONFIG), **changes}


def test_what_is_left_open_comes_from_the_model():
    job = job_from(config(), Path("outputs/x"))
    assert (job.steps, job.guidance, job.seed, job.num_images) == (12, 3.0, 0, 2)
    assert job.width > 0 and job.height > 0
    assert job.requested["steps"] == 12 and "preset" not in job.requested["model"]
    assert job.folder == Path("outputs/x")


def test_what_is_said_counts_zero_too():
    job = job_from(config(guidance=0, seed=0, steps=1))
    assert (job.guidance, job.seed, job.steps) == (0.0, 0, 1)


def test_prompts_are_pairs_and_a_file_is_written_out(tmp_path):
    assert job_from(config()).prompts == (PromptPair("red apple", "blurry"), PromptPair("dog face", "blurry"))
    path = tmp_path / "prompts.txt"
    path.write_text("cat\n\nzebra, running\n", encoding="utf-8")
    job = job_from(config(prompt={"_target_": "mdiff.prompt.Prompts", "file": str(path)}))
    assert [pair.text for pair in job.prompts] == ["cat", "zebra, running"]
    assert job.requested["prompt"]["file"] is None and job.requested["prompt"]["text"] == ["cat", "zebra, running"]


def test_the_request_is_json_and_makes_the_same_job():
    job = job_from(config())
    assert job_from(json.loads(json.dumps(job.requested))) == job


def test_the_scheduler_of_the_checkpoint_is_none():
    job = job_from(config(scheduler={"_target_": None, "sigmas": None}))
    assert job.scheduler_target is None and job.scheduler_options == {}


def test_the_config_is_left_as_it_was():
    given = config()
    job_from(given)
    assert given == CONFIG


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": None}, ["model", "None"]),
        ({"model": "sd15"}, ["model", "'sd15'"]),
        ({"typo": 1}, ["'typo'"]),
        ({"precision": {"name": "fp8"}}, ["precision.name", "'fp8'"]),
        ({"device": {"kind": "gpu", "id": 0}}, ["device.kind", "'gpu'"]),
        ({"engine": {"batch": True}}, ["engine.batch", "True"]),
        ({"seed": 2**63 - 1, "num_images": 2}, ["seed + num_images"]),
        ({"prompt": {"_target_": "mdiff.prompt.Prompts", "text": None}}, ["prompt"]),
        ({"model": {"_target_": "builtins.eval", "path": "x"}}, ["model._target_", "'builtins.eval'"]),
        ({"model": {"_target_": "mdiff.model.ModelSource", "path": "bundled:emoji", "class": "os.system"}}, ["class"]),
        ({"steps": {"()": "os.system"}}, ["steps.()"]),
        ({"prompt": {"_target_": "mdiff.prompt.Prompts", "text": [{"_target_": "os.system"}]}}, ["prompt.text[0]"]),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(ConfigError) as told:
        job_from(config(**changes))
    assert len(told.value.problems) == 1
    for word in words:
        assert word in str(told.value)


def test_every_mistake_is_told():
    with pytest.raises(ConfigError) as told:
        job_from(config(steps=0, guidance=float("nan"), seed=-1, width=7, precision={"name": 3}, name=""))
    assert len(told.value.problems) == 6


def test_no_hydra_is_needed():
    code = "import sys, mdiff.config.job; print(sorted({'hydra', 'omegaconf', 'mindspore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_and_fallbacks_are_off_where_nothing_is_said():
    """A recipe of an image that was made before there were these keys is still a config."""
    job = job_from(config())
    assert job.memory == Memory() and job.keep == ("text_encoders", "unet", "vae") and job.on_oom == job.on_nan == ()
    assert (job.guidance_rescale, job.guidance_interval) == (0, None)


def test_memory_and_fallbacks_as_given():
    given = {
        "memory": {"vae_tiling": "auto", "attention_slicing": True},
        "on_oom": ["halve_batch", "vae_tiling"],
        "on_nan": ["vae_fp32"],
        "guidance_rescale": 0.7,
        "guidance_interval": [0.25, 1],
    }
    given["model"] = CONFIG["model"] | {"keep": ["unet"]}
    job = job_from(config(**given))
    assert job.memory == Memory(vae_tiling="auto", attention_slicing=True) and job.keep == ("unet",)
    assert job.on_oom == ("halve_batch", "vae_tiling") and job.on_nan == ("vae_fp32",)
    assert (job.guidance_rescale, job.guidance_interval) == (0.7, (0.25, 1.0))
    assert job.requested["memory"]["free_text_encoders"] is False, "nothing is left open"
    assert job_from(json.loads(json.dumps(job.requested))) == job


def test_a_model_may_have_its_own_guidance_rescale():
    job = job_from(config(model=CONFIG["model"] | {"preset": {"guidance_rescale": 0.7}}))
    assert job.guidance_rescale == 0.7 and job.requested["guidance_rescale"] == 0.7


def test_the_whole_interval_is_none():
    assert job_from(config(guidance_interval=[0, 1])).guidance_interval is None


def fingerprint(**changes):
    from mdiff.run.plan import plan

    return plan([job_from(config(**changes), Path("outputs/cell"))])[0].fingerprint


def test_fingerprints_know_what_affects_pixels_and_nothing_else():
    usual = fingerprint()
    assert usual == fingerprint(
        memory={"free_text_encoders": True, "vae_tiling": False},
        model=CONFIG["model"] | {"keep": "none"},
        on_oom=["halve_batch"],
        on_nan=["vae_fp32"],
        guidance_rescale=0,
        guidance_interval=[0, 1],
    )
    others = [
        fingerprint(memory={"vae_tiling": True}),
        fingerprint(memory={"attention_slicing": True}),
        fingerprint(guidance_rescale=0.5),
        fingerprint(guidance_interval=[0, 0.5]),
    ]
    assert len({usual, *others}) == 5
    assert fingerprint(memory={"vae_tiling": "auto"}) == usual, "not at the model's own size"
    large = {"width": 128, "height": 128}
    assert fingerprint(memory={"vae_tiling": "auto"}, **large) == fingerprint(memory={"vae_tiling": True}, **large)
