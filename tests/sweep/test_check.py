"""Experiments as tests: what is expected is recorded, checked, and a pixel that moves is told."""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mdiff.__main__ import main
from mdiff.config.location import conf_folder
from tests.checkpoint import make_checkpoint

SWEEP = """# @package _global_
# What this is for.
name: tested
steps: 2
engine:
  batch: 1
{expect}
hydra:  # the grid
  mode: MULTIRUN
  sweeper:
    params:
      scheduler: heun,euler
      prompt.text: "'a cat','a dog, / sitting'"
"""
TWO_SCHEDULERS_TWO_PROMPTS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model; its sweep is made once, and what later commands make are the same cells."""
    folder = tmp_path_factory.mktemp("check")
    make_checkpoint(folder / "tiny")
    (folder / "mine" / "experiment").mkdir(parents=True)
    return folder


@pytest.fixture
def call(made, monkeypatch, capfd):
    """Call `call("check=true", ...)` with the experiment `name`; returns status, stdout and stderr."""
    monkeypatch.chdir(made)

    def run(*words: str, name: str | None = "swept") -> tuple[int, str, str]:
        capfd.readouterr()
        model = ["--config-dir", "mine", "model=local", "model.path=tiny", "width=32", "height=32"]
        chosen = [] if name is None else [f"experiment={name}"]
        status = main([*model, *chosen, *words])
        return status, *capfd.readouterr()

    return run


def experiment(made: Path, expect: str = "", name: str = "swept") -> Path:
    path = made / "mine" / "experiment" / f"{name}.yaml"
    path.write_text(SWEEP.format(expect=expect))
    return path


def one_cell(made: Path, scheduler: str) -> Path:
    records = (made / "outputs" / "tested").glob("*/record.json")
    return next(path.parent for path in records if json.loads(path.read_text())["varies"]["scheduler"] == scheduler)


def move_pixel(image: Path, by: int) -> None:
    """Move one channel of one pixel, and leave the file as large as the record says it is."""
    size = image.stat().st_size
    with Image.open(image) as opened:
        pixels = np.asarray(opened.convert("RGB")).copy()
    pixels[3, 5, 1] += by if pixels[3, 5, 1] < 128 else -by
    Image.fromarray(pixels).save(image)
    data = image.read_bytes()
    room = size - len(data) - 12
    assert room >= 0, "the recipe that is gone leaves room"
    body = b"tEXt" + b"x" * room
    filler = room.to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    image.write_bytes(data[:-12] + filler + data[-12:])


@pytest.mark.slow
def test_a_sweep_is_recorded_checked_and_a_moved_pixel_is_told(made, call):
    file = experiment(made, "expect: {reference: pictures, tolerance: 2}")
    status, out, err = call("check=true")
    assert status == 1 and "nothing is expected" in err and "check=record" in err and out == ""
    assert not (made / "outputs").exists()

    status, out, err = call("check=record")
    assert status == 0, err
    pictures = file.parent / "pictures"
    assert out.splitlines()[-1] == f"check: 4 images expected from now on by {file}, pictures in {pictures}"
    content = yaml.safe_load(file.read_text())
    assert len(content["expect"]["images"]) == TWO_SCHEDULERS_TWO_PROMPTS
    assert {"reference": "pictures", "tolerance": 2}.items() <= content["expect"].items()
    assert "# What this is for." in file.read_text() and "hydra:  # the grid" in file.read_text()
    for label, digest in content["expect"]["images"].items():
        with Image.open(pictures / label) as picture:
            assert picture.text == {} and hashlib.sha256(picture.tobytes()).hexdigest() == digest

    before = {path: path.stat().st_mtime_ns for path in (made / "outputs").glob("*/*/*.png")}
    status, out, err = call("check=true")
    assert status == 0, err
    assert "4 of them kept from before" in out
    assert out.splitlines()[-1] == "check: 4 of 4 images identical to what is expected"
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing was made again"

    image = one_cell(made, "heun") / "image_000.png"
    whole = image.read_bytes()
    move_pixel(image, 2)
    status, out, err = call("check=true")
    assert status == 0, err
    assert out.splitlines()[-1] == ("check: 3 of 4 images identical to what is expected, 1 within the tolerance of 2")
    assert "largest difference 2 of 255, PSNR" in out
    image.write_bytes(whole)
    move_pixel(image, 3)
    status, out, err = call("check=true")
    assert status == 1
    told = err.splitlines()
    assert "check: 1 of 4 images not as expected:" in told[-3]
    error = 10 * np.log10(255**2 / (9 / (32 * 32 * 3)))
    assert f"moved beyond the tolerance of 2: largest difference 3 of 255, PSNR {error:.2f} dB" in told[-2]
    assert "scheduler=heun" in told[-2]
    image.write_bytes(whole)

    status, out, err = call("check=true", "scheduler=heun,lms")
    assert status == 1
    assert "scheduler=lms" in err and "nothing is expected of it" in err
    assert "scheduler=euler" in err and "not an image of this run" in err

    status, out, err = call("check=true", "seed=5")
    assert status == 1 and "4 of 4 images not as expected" in err, "other settings are other pictures"

    victim = sorted(pictures.rglob("*.png"))[0]
    Image.new("RGB", (32, 32)).save(victim)
    status, out, err = call("check=true")
    assert status == 1 and out == "" and f"{victim} is not the picture" in err
    victim.unlink()
    status, out, err = call("check=true")
    assert status == 1 and out == "" and "cannot read" in err and victim.name in err


def test_a_digest_alone_is_equality_and_a_run_has_files_as_labels(made, call):
    path = made / "mine" / "experiment" / "single.yaml"
    path.write_text("# @package _global_\nname: single\nsteps: 2\nengine:\n  batch: 1\nnum_images: 2\n")
    status, out, err = call("check=record", name="single")
    assert status == 0, err
    expected = yaml.safe_load(path.read_text())["expect"]
    assert list(expected) == ["images"] and list(expected["images"]) == ["image_000.png", "image_001.png"]
    status, out, err = call("check=true", name="single")
    assert status == 0 and out.splitlines()[-1] == "check: 2 of 2 images identical to what is expected"
    path.write_text(path.read_text().replace(expected["images"]["image_001.png"], "0" * 64))
    status, out, err = call("check=true", name="single")
    assert status == 1 and "image_001.png: its pixels have sha256" in err and "image_000.png" not in err


def test_what_is_expected_is_no_part_of_a_cell(made, call):
    """Neither its fingerprint nor its folder nor what it carries depends on being checked."""
    experiment(made, "expect: {images: {image_000.png: " + "f" * 64 + "}}", name="other")
    status, out, err = call("steps=1", name="other")
    assert status == 0, err
    status, out, err = call("steps=1", "check=true", "expect.tolerance=0", name="other")
    assert status == 1 and "4 of them kept from before" in out
    record = json.loads(next((made / "outputs" / "tested").glob("*/record.json")).read_text())
    assert not {"check", "expect"} & set(record["requested"])


@pytest.mark.slow
def test_a_failed_cell_is_never_recorded(made, call, monkeypatch):
    file = experiment(made, "expect: {tolerance: 0}", name="failing")
    before = file.read_text()
    from mdiff.pipeline.session import Session

    monkeypatch.setattr(Session, "decode", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
    status, _, err = call("check=record", "name=failing", name="failing")
    assert status == 1 and "nothing was checked" in err
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["check=maybe"], "check must be true, false or record"),
        (["check=true"], "nothing is expected"),
        (["expect.tolerance=3"], "needs pictures"),
        (["expect.tolerance=-1"], "expect.tolerance must be 0 or more"),
        (["expect.tolerance=many"], "expect.tolerance must be a whole number"),
        (["expect.reference=/etc"], "leads out"),
        (["expect.reference=../.."], "leads out"),
        (["+expect.digests=1"], "there is no key 'expect.digests'"),
        (["+expect.images={x.png: 1}"], "'x.png' is no image"),
        (["+expect.images={../image_000.png: 1}"], "is no image"),
        (["+expect.images={image_000.png: abc}"], "no sha256"),
        (["-m", "check=true,false"], "check cannot vary"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_before_anything_runs(made, call, words, reason):
    experiment(made, "", name="wrong")
    there = sorted((made / "outputs").rglob("*")) if (made / "outputs").exists() else []
    status, out, err = call(*words, name="wrong")
    assert status == 1 and out == "" and reason in err, err
    assert len(err.splitlines()) == 1
    assert (sorted((made / "outputs").rglob("*")) if (made / "outputs").exists() else []) == there


def test_a_config_that_knows_nothing_of_checks_runs(made, call):
    lines = (conf_folder() / "config.yaml").read_text().splitlines(keepends=True)
    start = next(at for at, line in enumerate(lines) if line.startswith("check:"))
    assert [line.partition(":")[0].strip() for line in lines[start : start + 5]] == [
        "check", "expect", "tolerance", "reference", "images",
    ]  # fmt: skip
    (made / "mine" / "old.yaml").write_text("".join(lines[:start] + lines[start + 5 :]))
    status, out, err = call("--config-name", "old", "dry_run=true", name=None)
    assert status == 0 and "1 image of" in out, err


def test_a_search_is_not_checked(made, call):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    status, out, err = call(
        "-m", "hydra/sweeper=search", "objective=seconds", "steps=range(1,3)", "check=record", name=None
    )
    assert status == 1 and out == "" and "a check needs a grid" in err


def test_a_file_cannot_have_itself_rewritten(made, call):
    file = experiment(made, "check: record", name="hostile")
    before = file.read_text()
    status, _, err = call(name="hostile")
    assert status == 1 and "given on the command line" in err and file.read_text() == before


def test_a_link_out_of_the_experiments_folder_is_refused(made, call, tmp_path):
    link = made / "mine" / "experiment" / "away"
    link.symlink_to(tmp_path)
    experiment(made, "expect: {reference: away}", name="linked")
    status, _, err = call("check=record", name="linked")
    link.unlink()
    assert status == 1 and "leads out" in err
    assert not list(tmp_path.iterdir())


COMMITTED = sorted((conf_folder() / "experiment" / "check").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_experiments_that_come_with_mdiff_are_as_expected(path, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = [f"experiment=check/{path.stem}", "check=true"]
    before = {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()}
    assert main(words) == 0, capfd.readouterr().err
    assert "identical to what is expected" in capfd.readouterr().out
    image = sorted((tmp_path / "outputs").rglob("image_000.png"))[0]
    move_pixel(image, 1 + yaml.safe_load(path.read_text())["expect"]["tolerance"])
    assert main(words) == 1
    err = capfd.readouterr().err
    assert "check: 1 of 4 images not as expected" in err and "PSNR" in err
    assert {each: each.read_bytes() for each in before} == before


def test_something_is_committed_that_this_checks():
    assert COMMITTED
