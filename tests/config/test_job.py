"""From plain containers to a job, without Hydra."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdiff.config.job import job_from
from mdiff.config.problem import ConfigError
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
