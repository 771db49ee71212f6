"""Every mistake is one clear sentence on stderr, a non-zero status, and nothing written."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# the words after `python -m mdiff`, and what the sentence has to say
MISTAKES = {
    "unknown scheduler": (["scheduler=huen"], ["scheduler", "'huen'", "'heun'"]),
    "unknown precision": (["precision=bf61"], ["precision", "'bf61'", "'bf16'"]),
    "unknown key": (["stesp=20"], ["'stesp'", "'steps'"]),
    "unknown key of a group": (["engine.bach=2"], ["'engine.bach'", "'batch'"]),
    "unknown key that is added": (["+typo=1"], ["'typo'"]),
    "unknown key added to a group": (["+prompt.texts=1"], ["'prompt.texts'", "'text'"]),
    "unknown option of a scheduler": (["+scheduler.sigma=karras"], ["sigma"]),
    "unknown value of a scheduler's option": (["scheduler.sigmas=karas"], ["karas", "karras"]),
    "unknown group": (["sampler/x=heun"], ["sampler"]),
    "unknown group added": (["+sampler=heun"], ["'sampler'"]),
    "unknown experiment": (["experiment=compare_solver"], ["experiment", "'compare_solvers'"]),
    "unknown model": (["model=emojii"], ["model", "'emoji'"]),
    "group without a file": (["scheduler=null"], ["group"]),
    "group replaced by a value": (["precision={name: bf16, x: 1}"], ["'precision.x'"]),
    "steps zero": (["steps=0"], ["steps", "1 or more", "0"]),
    "steps negative": (["steps=-3"], ["steps", "1 or more", "-3"]),
    "steps beyond training": (["steps=1001"], ["steps", "1000", "1001"]),
    "steps a fraction": (["steps=2.5"], ["steps", "whole number", "2.5"]),
    "steps a word": (["steps=many"], ["steps", "whole number", "'many'"]),
    "steps a flag": (["steps=true"], ["steps", "whole number", "True"]),
    "steps a list": (["steps=[1,2]"], ["steps", "whole number"]),
    "width not a multiple": (["width=65"], ["width", "multiple", "65"]),
    "height zero": (["height=0"], ["height", "0"]),
    "guidance NaN": (["guidance=nan"], ["guidance", "finite", "nan"]),
    "guidance infinite": (["guidance=inf"], ["guidance", "finite", "inf"]),
    "guidance negative": (["guidance=-1"], ["guidance", "-1"]),
    "guidance a word": (["guidance=high"], ["guidance", "'high'"]),
    "guidance rescaled too far": (["guidance_rescale=2"], ["guidance_rescale", "at most 1", "2"]),
    "guidance rescaled by a word": (["guidance_rescale=half"], ["guidance_rescale", "'half'"]),
    "guidance interval backwards": (["guidance_interval=[0.8,0.2]"], ["guidance_interval", "[0.8, 0.2]"]),
    "guidance interval beyond the end": (["guidance_interval=[0,2]"], ["guidance_interval[1]", "at most 1"]),
    "guidance interval of one number": (["guidance_interval=0.5"], ["guidance_interval", "[from, to]", "0.5"]),
    "unknown memory": (["memory=lo"], ["memory", "'low'"]),
    "unknown key of memory": (["+memory.vae_tile=1"], ["'memory.vae_tile'", "'vae_tiling'"]),
    "tiling a word": (["memory.vae_tiling=maybe"], ["memory.vae_tiling", "auto", "'maybe'"]),
    "slicing that cannot be": (["memory.vae_slicing=false"], ["memory.vae_slicing", "one by one"]),
    "attention slicing a number": (["memory.attention_slicing=4"], ["memory.attention_slicing", "true or false"]),
    "what is kept": (["model.keep=[unets]"], ["model.keep", "'unets'", "'unet'"]),
    "fallback unknown": (["on_oom=[vae_tilling]"], ["on_oom", "'vae_tilling'", "'vae_tiling'"]),
    "fallback of another kind": (["on_nan=[halve_batch]"], ["on_nan", "'halve_batch'", "vae_fp32"]),
    "fallback twice": (["on_oom=[halve_batch,halve_batch]"], ["on_oom", "'halve_batch'", "twice"]),
    "fallback a flag": (["on_nan=true"], ["on_nan", "list", "True"]),
    "seed negative": (["seed=-1"], ["seed", "-1"]),
    "seed too large": ([f"seed={2**63}"], ["seed", str(2**63 - 1)]),
    "seed a fraction": (["seed=0.5"], ["seed", "0.5"]),
    "no images": (["num_images=0"], ["num_images", "0"]),
    "batch zero": (["engine.batch=0"], ["engine.batch", "0"]),
    "batch a word": (["engine.batch=big"], ["engine.batch", "'big'"]),
    "no prompt": (["prompt.text=[]"], ["prompt"]),
    "prompt file missing": (["prompt.file=nowhere.txt"], ["nowhere.txt"]),
    "resume not a flag": (["resume=maybe"], ["resume", "true or false", "'maybe'"]),
    "on_error unknown": (["on_error=ignore"], ["on_error", "'ignore'", "continue", "stop"]),
    "dry_run not a flag": (["dry_run=yess"], ["dry_run", "'yess'"]),
    "name outside": (["name=../../etc"], ["name", "output folder"]),
    "name absolute": (["name=/etc/x"], ["name", "output folder"]),
    "name empty": (["name="], ["name"]),
    "name hidden in the middle": (["name=a/../../b"], ["name", "output folder"]),
    "run folder outside": (["hydra.run.dir=/tmp/elsewhere"], ["hydra.run.dir", "outside"]),
    "run folder above": (["hydra.run.dir=outputs/../../x"], ["hydra.run.dir", "outside"]),
    "output folder is a file": (["output.dir=/dev/null"], ["/dev/null", "not a folder"]),
    "model folder missing": (["model.path=./nowhere"], ["nowhere"]),
    "missing value": (["name=???"], ["name has to be given"]),
    "reference to nothing": (["name=${nope}"], ["name", "nope"]),
    "reference to itself": (["name=${name}"], ["name"]),
    "the environment": (["name=${oc.env:HOME}"], ["oc.env", "HOME"]),
    "the environment by another name": (["name=${oc.${x}:HOME}", "+x=env"], ["oc"]),
    "a target of Python": (["scheduler._target_=os.system"], ["scheduler._target_", "'os.system'"]),
    "a target behind mdiff": (["scheduler._target_=mdiff.engine.os.system"], ["mdiff.engine.os.system"]),
    "a target of another group": (["prompt._target_=mdiff.model.ModelSource"], ["prompt._target_"]),
    "a target that is no class": (
        ["scheduler._target_=mdiff.scheduler.solver_class"],
        ["mdiff.scheduler.solver_class"],
    ),
    "a target in an odd place": (["+engine.x={_target_: os.system}"], ["engine.x._target_"]),
    "several values without -m": (["steps=10,20"], ["steps=10,20", "-m"]),
    "unreadable value": (["device.id=[1"], ["device.id=[1"]),
    "no key": (["=3"], ["=3"]),
    "no value": (["steps"], ["key=value"]),
    "Ascend where there is none": (["device=ascend"], ["scend"]),
    "device number": (["device.id=one"], ["device.id", "'one'"]),
    "config folder missing": (["--config-dir", "nowhere"], ["nowhere", "not a folder"]),
    "config name missing": (["--config-name", "nope"], ["'nope'"]),
    "rerun": (["--experimental-rerun", "x.pickle"], ["--experimental-rerun", "unpickles"]),
    "unknown flag": (["--multrun", "seed=1"], ["--multrun", "--multirun"]),
    "two flags": (["--multirun", "--cfg", "job"], ["only one of"]),
    "sweep: the last value": (["-m", "steps=10,20,0"], ["steps", "1 or more", "steps=0"]),
    "sweep: an option that is not there": (["-m", "scheduler=heun,lms,huen"], ["'huen'", "'heun'"]),
    "sweep: the name": (["-m", "name=a,b"], ["name", "cannot vary"]),
    "sweep: folder outside": (["-m", "hydra.sweep.dir=../x", "seed=1,2"], ["hydra.sweep.dir", "outside"]),
    "sweep: the launcher's settings": (["-m", "hydra.launcher.x=1,2"], ["hydra"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(mdiff, name):
    words, expected = MISTAKES[name]
    said = mdiff(*words)
    assert said.status in (1, 2)
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("mdiff: "), said.err
    for part in expected:
        assert part in said.err
    assert said.written == ()


def test_all_mistakes_of_a_sweep_are_told_at_once(mdiff):
    said = mdiff("-m", "steps=10,0", "guidance=1,nan", "width=64,65")
    assert said.status == 1 and said.written == ()
    assert len(said.err.splitlines()) == 3
    for key in ("steps", "guidance", "width"):
        assert any(line.startswith(f"mdiff: {key} must") for line in said.err.splitlines())


def test_all_mistakes_of_a_run_are_told_at_once(mdiff):
    said = mdiff("steps=0", "seed=-1", "name=..")
    assert [line.split()[1].partition("=")[0] for line in said.err.splitlines()] == ["name", "steps", "seed"]


def test_prompt_file_that_is_not_utf8(mdiff, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(b"a caf\xe9\n")
    said = mdiff("prompt.file=prompts.txt")
    assert said.status == 1 and "prompts.txt" in said.err and "UTF-8" in said.err
    assert len(said.err.splitlines()) == 1


def test_output_folder_that_is_not_writable(mdiff, tmp_path, monkeypatch):
    import os

    (tmp_path / "outputs").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "outputs" and allowed(path, mode))
    said = mdiff()
    assert said.status == 1 and "not writable" in said.err and said.written == ()


def test_a_config_file_that_is_no_yaml(mdiff, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "broken.yaml").write_text("steps: [1, 2\nseed: 3\n")
    said = mdiff("--config-dir", "mine", "experiment=broken")
    assert said.status == 1 and len(said.err.splitlines()) == 1 and "broken.yaml" in said.err


# MindSpore must not even be looked for when the configuration is wrong.
WITHOUT_MINDSPORE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mindspore":
            raise SystemExit("mindspore was imported")
sys.meta_path.insert(0, Refuse())
from mdiff.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words",
    [["steps=0"], ["--help"], ["--cfg", "job"], ["-m", "steps=10,0"], ["dry_run=true"], ["--info"]],
    ids=" ".join,
)
def test_no_mindspore_before_the_config_is_right(tmp_path, words):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MINDSPORE, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert "mindspore was imported" not in done.stderr
    right = words[0].startswith("--") or "dry_run=true" in words
    assert done.returncode == (0 if right else 1), done.stderr


# What a mistake waits for: beyond Hydra's own imports some 0.2 s, which each package more would lengthen.
LIGHT = {"hydra", "omegaconf", "antlr4", "yaml", "packaging", "numpy", "tokenizers", "mdiff"}
LIGHT |= {"attr", "attrs"}  # omegaconf imports them where they are installed
IMPORTED = """
import sys
before = set(sys.modules)
from mdiff.__main__ import main
status = main(["steps=0"])
names = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
print(*sorted(name for name in names if getattr(sys.modules.get(name), "__file__", None)))
sys.exit(status)
"""


def test_a_mistake_waits_for_light_imports_alone(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "steps" in done.stderr
    assert {"hydra", "mdiff"} <= set(done.stdout.split()) <= LIGHT
