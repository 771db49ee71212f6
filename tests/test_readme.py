"""Every command of the README runs, in the order in which it stands there, and its claims about groups are true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("pip install")]


def test_the_two_set_up_commands_stand_there():
    assert "pip install . && python -m mdiff" in README
    assert "pip install '.[test]' && pytest" in README


def test_the_table_lists_each_file_of_each_group():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", README, re.MULTILINE))
    for group in ("model", "scheduler", "precision", "prompt", "device", "output"):
        files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", rows[group])) == files, group


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    """One after the other in one folder: later ones use what earlier ones made."""
    assert len(commands()) >= 8
    for command in commands():
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert len(list((tmp_path / "outputs" / "solvers").glob("*/image_000.png"))) == 12
    assert (tmp_path / "outputs" / "solvers" / "report.html").is_file()


@pytest.mark.slow
def test_the_experiment_of_your_own(tmp_path):
    (text,) = blocks("yaml")
    path = tmp_path / "my_conf" / "experiment" / "apples.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (command,) = re.findall(r"^\$ (python -m mdiff --config-dir .*)$", README, re.MULTILINE)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs" / "apples").glob("*/image_*.png"))) == 2


def test_the_mistake_is_told_as_it_stands_there(tmp_path):
    (shown,) = [block for block in blocks("console") if "scheduler=heu" in block]
    command, said = shown.strip().splitlines()
    done = run(command.removeprefix("$ "), tmp_path)
    assert done.returncode != 0
    assert done.stderr.strip() == said
    assert not list(tmp_path.iterdir())
