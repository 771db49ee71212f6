"""Looking without running: --help, --cfg, --info, --version, dry_run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent


def test_help_lists_groups_and_config(mdiff):
    said = mdiff("--help")
    assert said.status == 0 and said.err == "" and said.written == ()
    assert re.search(r"^precision: auto, bf16, fp16, fp32$", said.out, re.MULTILINE)
    assert "python -m mdiff -m scheduler=heun,lms" in said.out and "num_images: 1" in said.out


def test_cfg_prints_the_composed_config(mdiff):
    said = mdiff("--cfg", "job", "scheduler=heun", "steps=7", "prompt.text=a cat, a dog")
    config = yaml.safe_load(said.out)
    assert said.status == 0 and said.written == ()
    assert config["steps"] == 7 and config["scheduler"]["_target_"] == "mdiff.scheduler.HeunDiscreteScheduler"
    assert config["prompt"]["text"] == "a cat, a dog" and "hydra" not in config


def test_cfg_of_a_package(mdiff):
    assert yaml.safe_load(mdiff("--cfg", "job", "--package", "engine", "engine.batch=3").out) == {"batch": 3}


def test_info_says_where_things_come_from(mdiff):
    said = mdiff("--info", "searchpath")
    assert said.status == 0 and "conf" in said.out and said.written == ()


def test_version(mdiff):
    said = mdiff("--version")
    assert said.status == 0 and re.fullmatch(r"mdiff \d+\.\d+\.\d+\n", said.out)


def test_dry_run_shows_the_table_and_writes_nothing(mdiff):
    said = mdiff("dry_run=true", "scheduler=heun", "steps=5")
    assert said.status == 0 and said.err == "" and said.written == ()
    assert "HeunDiscreteScheduler, 5 steps" in said.out and "9 network evaluations" in said.out


def test_dry_run_of_a_sweep(mdiff):
    said = mdiff("-m", "dry_run=true", "scheduler=heun,euler", "steps=5,10", "num_images=2", "name=plan")
    assert said.status == 0 and said.err == "" and said.written == ()
    assert said.out.startswith("4 cells in outputs/plan: 0 done, 4 to do")
    assert "scheduler: heun, euler" in said.out and "steps: 5, 10" in said.out
    assert f"8 images, {2 * (9 + 19 + 5 + 10)} network evaluations" in said.out


def test_an_experiment_may_be_a_sweep(mdiff):
    said = mdiff("experiment=guidance_ladder", "dry_run=true", "seed=0,1")
    assert said.status == 0 and said.out.startswith("12 cells in outputs/guidance_ladder")
    assert mdiff("experiment=guidance_ladder", "dry_run=true", "guidance=3").out.startswith("1 cell in")


def test_a_users_file_that_is_hidden_by_mdiffs_own_is_told(mdiff, tmp_path):
    (tmp_path / "mine" / "scheduler").mkdir(parents=True)
    (tmp_path / "mine" / "scheduler" / "heun.yaml").write_text("sigmas: karras\n")
    said = mdiff("scheduler=heun", "--config-dir", "mine", "dry_run=true")
    assert said.status == 0 and "mine/scheduler/heun.yaml is not used" in said.err
    assert mdiff("scheduler=euler", "--config-dir", "mine", "dry_run=true").err == ""


def test_a_users_folder(mdiff, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "ours.yaml").write_text("# @package _global_\nname: ours\nsteps: 3\n")
    said = mdiff("experiment=ours", "--config-dir", "mine", "dry_run=true")
    assert said.status == 0 and "outputs/ours/" in said.out and "3 steps" in said.out


def test_an_installed_package_brings_its_configs(tmp_path):
    """The wheel has `conf` inside the package; weights and drawings are left out here."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "mdiff", site / "mdiff", ignore=shutil.ignore_patterns("emoji", "__pycache__", "asset"))
    shutil.copytree(ROOT / "conf", site / "mdiff" / "conf")
    done = subprocess.run(
        [sys.executable, "-m", "mdiff", "--info", "searchpath", "hydra/launcher=resident"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"file://{site}/mdiff/conf" in done.stdout


def test_other_hydra_apps_do_not_meet_mdiffs_plugins(tmp_path):
    code = "from hydra.core.plugins import Plugins; print([p.__name__ for p in Plugins.instance().discover()])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "BasicLauncher" in done.stdout and "ResidentLauncher" not in done.stdout
