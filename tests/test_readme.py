"""Every command of the README runs, in the order in which it stands there, and its claims about groups are true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.checkpoint import make_checkpoint
from tests.guide import TABLE, TIPS

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
    for group in ("model", "scheduler", "precision", "memory", "prompt", "device", "output"):
        files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert set(re.findall(r"`(\w+)`", rows[group])) == files, group


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
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
    ran = [shown for shown in console() if "--config-dir" in shown[0]]
    assert [command.rpartition(" ")[2] for command, _ in ran] == ["experiment=apples", "check=record", "check=true"]
    for command, said in ran:
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stderr
        assert not said or done.stdout.splitlines()[-len(said) :] == said
    assert len(list((tmp_path / "outputs" / "apples").glob("*/image_*.png"))) == 2 * len(ran)


def console() -> list[tuple[str, list[str]]]:
    """Every command that is shown with its answer or without, and the lines of the answer."""
    shown: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            shown.append((line.removeprefix("$ "), []))
        else:
            shown[-1][1].append(line)
    return shown


def test_commands_for_real_checkpoints_would_run(tmp_path):
    """With a little checkpoint in the place of the real one, as far as a plan shows."""
    others = [shown for shown in console() if " model=" in shown[0]]
    assert len(others) >= 2 and not any(said for _, said in others)
    for command, _ in others:
        kind = "sdxl-tiny" if "model=sdxl" in command else "sd15-tiny"
        folder = make_checkpoint(tmp_path / kind, kind)
        words = [word for word in command.split(" ") if not word.startswith("model.path=")]
        done = run(" ".join([*words, f"model.path={folder}", "dry_run=true"]), tmp_path)
        assert done.returncode == 0 and "1 image of" in done.stdout, f"{command}\n{done.stderr}"


def test_every_command_that_is_shown_is_tested():
    tested = [command for command, _ in console() if "--config-dir" in command or " model=" in command]
    assert len(tested) + 1 == len(console()), "the one besides is the mistake"


@pytest.mark.slow
def test_the_python_code_runs(tmp_path):
    (code,) = blocks("python")
    folder = make_checkpoint(tmp_path / "sdxl", "sdxl-tiny")
    code, count = re.subn(r'"stabilityai/[^"]*"', repr(str(folder)), code)
    assert count == 1
    (tmp_path / "code.py").write_text(code + "\nimage.save('image.png')\n")
    done = run("python code.py", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    with Image.open(tmp_path / "image.png") as image:
        assert image.width == image.height > 0


def test_the_guide_is_measured_as_a_whole():
    """The table has a row for each tip, and one command measures it anew."""
    (table,) = TABLE.findall(README)
    assert sorted({line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]}) == TIPS
    assert all(f" {tip}" in next(line for line in commands() if line.startswith("for tip in")) for tip in TIPS)
    assert (ROOT / "mdiff" / "report" / "example.png").stat().st_size < 400_000


def test_the_mistake_is_told_as_it_stands_there(tmp_path):
    ((command, said),) = [shown for shown in console() if "scheduler=heu" in shown[0]]
    done = run(command, tmp_path)
    assert done.returncode != 0
    assert done.stderr.splitlines() == said
    assert not list(tmp_path.iterdir())
