"""Images made, then made again from what they carry: the real pipeline with a little model of random weights."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdiff.config.job import job_from
from mdiff.errors import MdiffError
from mdiff.replay import replay, replay_all
from mdiff.report import build
from mdiff.run import run_jobs
from tests.checkpoint import make_checkpoint
from tests.replay.picture import international, png, recipe, text, write

HOSTILE = "<script>alert(1)</script> \"double\" 'single'\n\tnew line \\ % $HOME `x` ${seed} {a, b} שלום עולם 🍎👩‍🎨"
SOLVERS = (
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "LMSDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, with the model in it."""
    folder, before = tmp_path_factory.mktemp("replay"), Path.cwd()
    os.chdir(folder)
    make_checkpoint("model")
    yield folder
    os.chdir(before)


def config(**changes):
    base = recipe()["config"]
    base["model"]["path"] = "model"
    return base | changes


@pytest.fixture(scope="module")
def sweep(place):
    """24 cells: four solvers, step counts and seeds, prompts of every kind of text, in strict mode."""
    jobs = []
    for solver in SOLVERS:
        for steps in (1, 3):
            for number, prompt in enumerate(("a cat", HOSTILE, ["the dog", "a cat"])):
                values = config(steps=steps, seed=number + 7, num_images=number // 2 + 1)
                values["scheduler"] = {"_target_": f"mdiff.scheduler.{solver}"}
                values["prompt"] = {**values["prompt"], "text": prompt, "negative": "blurry" if number else ""}
                jobs.append(job_from(values, Path("sweep") / f"solver={solver},steps={steps},prompt={number}"))
    assert len(jobs) == 24
    assert {outcome.status for outcome in run_jobs(jobs, progress=False)} == {"complete"}
    return Path("sweep")


def rewritten(image, target, **changes):
    """Copy an image with parts of its recipe replaced."""
    with Image.open(image) as opened:
        content = json.loads(opened.info["mdiff"]) | changes
        chunk = text("mdiff", json.dumps(content))
        data = image.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        start = data.index(b"tEXtmdiff") - 4
        length = int.from_bytes(data[start : start + 4], "big") + 12
        target.write_bytes(data[:start] + chunk + data[start + length :])
    return target


@pytest.mark.slow
def test_every_image_of_a_sweep_is_identical_and_what_differs_is_named(sweep):
    images = sorted(sweep.glob("*/image_*.png"))
    assert len(images) == 4 * 2 * (1 + 1 + 4)
    versions = json.loads(Image.open(images[0]).info["mdiff"])["versions"] | {"mindspore": "2.7.1"}
    aged = rewritten(images[0], Path("aged/image_000.png"), versions=versions)
    edited = Path("edited/image_000.png")
    rewritten(images[1], edited)
    with Image.open(edited) as opened:
        changed = np.asarray(opened.convert("RGB")).copy()
        carried = opened.info["mdiff"]
    changed[:8] = 0
    edited.write_bytes(b"")
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("mdiff", carried)
    Image.fromarray(changed).save(edited, pnginfo=info)
    done = replay_all([*images, aged, edited], "again")
    for each in done:
        assert each.comparison.identical, (each.image, str(each.comparison), each.differences)
    assert [each.differences for each in done[: len(images)]] == [()] * len(images)
    assert done[-2].differences[-1].startswith("version: mindspore was 2.7.1, is 2.")
    assert "was changed after it was made" in done[-1].notes[0]
    # The text of a prompt survives: record, PNG, replay, PNG again, page.
    prompts = {json.loads(Image.open(each.made).info["mdiff"])["image"]["prompt"] for each in done}
    assert prompts == {"a cat", HOSTILE, "the dog"}
    page = build("again").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert HOSTILE in {item["prompt"] for item in data["items"]}


@pytest.mark.slow
def test_one_byte_of_a_weight_file_is_named_with_its_file(sweep):
    file = Path("model/unet/diffusion_pytorch_model.safetensors")
    before = file.read_bytes()
    after = bytearray(before)
    after[-2] ^= 0x40
    try:
        file.write_bytes(after)
        done = replay(next(sweep.glob("*prompt=0/image_000.png")), "other")
    finally:
        file.write_bytes(before)
    named = [line for line in done.differences if line.startswith("weights:")]
    assert len(named) == 1
    assert "unet is not the same" in named[0] and str(file) in named[0]
    assert not done.comparison.identical and not done.variation
    assert done.comparison.psnr > 0


@pytest.mark.slow
def test_a_variation_and_a_web_uis_text_in_one_command(sweep):
    image = next(sweep.glob("*steps=3,prompt=0/image_000.png"))
    said = "a cat\nNegative prompt: blurry\nSteps: 2, Sampler: Heun, CFG scale: 3, Seed: 5, Size: 64x64, Model: tiny"
    Path("web.png").write_bytes(png(international("parameters", said), side=64))
    command = [
        sys.executable,
        "-m",
        "mdiff.replay",
        str(image),
        "web.png",
        "--out",
        "varied",
        "guidance=2",
        "model=local",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*command, "model.path=model"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "setting: guidance was 5, is 2" in done.stdout
    assert "where the model is: Model tiny" in done.stdout
    records = [json.loads(path.read_text()) for path in sorted(Path("varied").glob("*/record.json"))]
    web = next(record for record in records if record["requested"]["prompt"]["negative"] == "blurry")
    assert (web["requested"]["steps"], web["requested"]["seed"], web["requested"]["guidance"]) == (2, 5, 2)
    assert web["effective"]["scheduler"] == "HeunDiscreteScheduler"
    assert done.stdout.count("PSNR") == 2


def changed_config(**parts):
    values = config()
    for name, value in parts.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return recipe(config=values)


REFUSED = {
    "no recipe": (None, "carries no recipe"),
    "broken": ("{", "not valid JSON"),
    "code": (changed_config(model={"_target_": "os.system"}), "_target_"),
    "code below mdiff": (changed_config(scheduler={"_target_": "mdiff.engine.engine.time.sleep"}), "_target_"),
    "code elsewhere": (changed_config(engine={"_target_": "os.system", "batch": 1}), "_target_"),
    "a logging class": (changed_config(device={"class": "os.system"}), "class"),
    "a path outside": (changed_config(model={"path": "/etc"}), "outside the current folder"),
    "a path upwards": (changed_config(model={"path": "../../x"}), "outside the current folder"),
    "a VAE outside": (changed_config(model={"vae": "/etc"}), "outside the current folder"),
    "a UNet upwards": (changed_config(model={"unet": {"path": "../../x"}}), "outside the current folder"),
    "a file upwards": (changed_config(model={"vae": {"path": "x", "file": "../../y"}}), "outside the current folder"),
    "a LoRA at home": (changed_config(model={"loras": [{"path": "~/x"}]}), "outside the current folder"),
    "a file of a LoRA": (changed_config(model={"loras": [{"path": "x", "file": "/y"}]}), "outside the current folder"),
    "a variant that is a path": (changed_config(model={"variant": "../../x"}), "outside the current folder"),
    "an unknown key": (changed_config(shell="x"), "shell"),
    "a wrong type": (changed_config(steps="many"), "steps"),
    "a huge picture": (recipe(config=config(), image=recipe()["image"] | {"width": 10**9 * 8}), "pixels"),
    "no such model": (changed_config(model={"path": "./nowhere"}), "nowhere"),
    "half a surrogate": (recipe(config=config(), image=recipe()["image"] | {"prompt": "\ud800"}), "Unicode"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_runs_nothing(place, content, reason, capsys):
    from mdiff.replay.__main__ import main

    image = Path("bad") / "image.png"
    image.parent.mkdir(exist_ok=True)
    if content is None:
        image.write_bytes(png())
    else:
        write(image, content)
    assert main([str(image), "--out", "never"]) == 1
    told = capsys.readouterr()
    assert reason in told.err
    assert "Traceback" not in told.err and told.out == ""
    assert not Path("never").exists()


def test_nothing_that_is_refused_gets_as_far_as_mindspore(place, tmp_path):
    images = [write(tmp_path / f"{at}.png", content) for at, (content, _) in enumerate(REFUSED.values()) if content]
    code = """
import sys
from mdiff.replay.__main__ import main
assert all(main([image]) == 1 for image in sys.argv[1:])
print("mindspore" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "False", done.stderr
    assert len(done.stderr.splitlines()) >= len(images) == len(REFUSED) - 1


def test_a_hundred_megabytes_of_text_are_refused_quickly(place, capsys):
    from mdiff.replay.__main__ import main

    Path("huge.png").write_bytes(png(text("mdiff", "x" * 100_000_000)))
    assert main(["huge.png"]) == 1
    assert "bytes of text" in capsys.readouterr().err
    Path("huge.png").unlink()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("steps=1,2", "one image"),
        ("name=x", "--out"),
        ("output.dir=/", "--out"),
        ("stesp=3", "steps"),
        ("scheduler=huen", "heun"),
        ("steps.x=1", "no key"),
        ("guidance=", "guidance"),
    ],
)
def test_words_that_a_replay_does_not_take(place, word, reason):
    image = write(Path("words.png"), recipe(config=config()))
    with pytest.raises(MdiffError, match=reason):
        replay(image, words=[word])


def test_the_folder_of_the_image_is_not_replaced(place):
    image = write(Path("words.png"), recipe(config=config()))
    with pytest.raises(MdiffError, match="would be replaced"):
        replay(image, ".")


def test_the_recipe_chooses_no_folder(place):
    shutil.rmtree("outputs", ignore_errors=True)
    image = write(Path("words.png"), changed_config(output={"dir": "/"}, name="../x"))
    with pytest.raises(MdiffError, match="steps"):
        replay(image, words=["steps=0"])
    assert not Path("outputs").exists()


def test_a_model_outside_is_taken_from_the_command_line_and_is_no_variation(place, tmp_path):
    outside = str(make_checkpoint(tmp_path / "it's a, model"))
    image = write(Path("words.png"), changed_config(model={"path": outside}, steps=0))
    with pytest.raises(MdiffError, match="outside the current folder"):
        replay(image)
    escaped = outside.replace("'", "\\'")
    with pytest.raises(MdiffError, match="steps"):  # past the check of paths, at the next mistake
        replay(image, words=[f"model.path='{escaped}'"])


@pytest.mark.slow
def test_what_saves_memory_and_shapes_guidance_is_made_again(place):
    """Tiles, slices, a guidance interval and rescaled guidance are in the recipe; an interval of all steps is none."""
    usual = job_from(config(steps=4), Path("unusual") / "usual")
    changes = {
        "memory": {"vae_tiling": True, "attention_slicing": True, "free_text_encoders": True},
        "guidance_rescale": 0.7,
        "guidance_interval": [0.25, 0.75],
    }
    changes["model"] = config()["model"] | {"keep": ["vae"]}
    unusual = job_from(config(steps=4, **changes), Path("unusual") / "changed")
    whole = job_from(config(steps=4, guidance_interval=[0, 1]), Path("unusual") / "whole")
    outcomes = run_jobs([usual, unusual, whole], progress=False)
    assert {outcome.status for outcome in outcomes} == {"complete"}
    first, changed, same = (outcome.record["images"][0]["sha256"] for outcome in outcomes)
    assert first == same and first != changed
    again = replay(Path("unusual") / "changed" / "image_000.png", Path("again"))
    assert again.comparison.identical and not again.differences
