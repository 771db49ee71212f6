"""Every file under conf/ composes, says what it is for, and makes a job."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mdiff.config.cell import plain
from mdiff.config.job import job_from
from mdiff.config.location import conf_folder
from mdiff.config.start import start_hydra
from mdiff.device.choice import probe_ascend
from mdiff.errors import MdiffError
from mdiff.model import ModelSource

FILES = sorted(conf_folder().rglob("*.yaml"))
PRIMARY = conf_folder() / "config.yaml"
BUNDLED = "bundled:emoji"


def group_and_name(path: Path) -> tuple[str, str]:
    inside = path.relative_to(conf_folder()).with_suffix("")
    if inside.parts[0] == "experiment":  # experiment=guide/half_precision
        return "experiment", inside.relative_to("experiment").as_posix()
    return inside.parent.as_posix(), inside.name


def compose(*overrides: str, mode: RunMode = RunMode.RUN):
    config = start_hydra().config_loader.load_configuration("config", list(overrides), mode)
    HydraConfig.instance().set_config(config)
    return config


def test_there_is_something_to_test():
    groups = {group_and_name(path)[0] for path in FILES}
    assert {"model", "scheduler", "precision", "prompt", "device", "output", "experiment", "hydra"} <= groups


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(group_and_name(path)))
def test_a_file_begins_with_what_it_is_for(path):
    lines = [line for line in path.read_text().splitlines() if line.strip() and "@package" not in line]
    assert re.match(r"# \S", lines[0]), f"{path} begins without a comment"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != PRIMARY and "hydra" not in path.parts], ids=lambda path: path.stem
)
def test_a_file_makes_a_job(path):
    group, name = group_and_name(path)
    config = compose(f"{group}={name}", mode=RunMode.MULTIRUN)
    values = plain(config)
    if path.stem == "ascend" and probe_ascend()[0] == 0:
        with pytest.raises(MdiffError, match="Ascend"):
            job_from(values)
    elif values["model"]["path"] == BUNDLED:
        job = job_from(values)
        assert job.steps >= 1 and job.prompts and job.requested["steps"] == job.steps
    else:  # the checkpoint is not on this machine; what the file says of it still has to be right
        options = {key: value for key, value in values["model"].items() if key not in ("_target_", "preset", "keep")}
        ModelSource(**options)
        job_from({**values, "model": {**compose_model("emoji"), "preset": values["model"].get("preset")}})


def compose_model(name: str) -> dict:
    return plain(compose(f"model={name}"))["model"]


@pytest.mark.parametrize(
    "path", [path for path in FILES if group_and_name(path)[0].startswith("hydra/")], ids=lambda path: path.stem
)
def test_a_hydra_file_is_one_that_the_guard_lets_pass(path):
    group, name = group_and_name(path)
    content = yaml.safe_load(path.read_text())
    for plugin in content.get("defaults", []):
        pytest.importorskip(f"hydra_plugins.hydra_{str(plugin).partition('_')[0]}_{group.rpartition('/')[2]}")
    compose(f"{group}={name}", mode=RunMode.MULTIRUN)


def test_the_resolved_config_makes_the_same_job_again():
    job = job_from(plain(compose("scheduler=heun", "precision=bf16", "steps=7", "prompt.text='a, b'")))
    again = job_from(job.requested)
    assert again == job


def test_a_users_folder_adds_to_the_groups(tmp_path):
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "mine.yaml").write_text("defaults: [heun]\nsigmas: karras\n")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "ours.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /scheduler: mine\nname: ours\nsteps: 9\n"
    )
    loader = start_hydra(str(tmp_path)).config_loader
    config = loader.load_configuration("config", ["experiment=ours", "seed=3"], RunMode.RUN)
    job = job_from(plain(config))
    assert (job.scheduler_target, job.scheduler_options["sigmas"]) == ("HeunDiscreteScheduler", "karras")
    assert (job.steps, job.seed, job.requested["name"]) == (9, 3, "ours")
