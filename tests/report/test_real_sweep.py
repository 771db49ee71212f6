"""What a sweep that `python -m mdiff -m` made looks like: its page in a real Chromium, its tables and sheets, its
images made again, and the same sweep beside one of another precision."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file, save_file

from mdiff.report import build
from tests.checkpoint import make_checkpoint
from tests.report.chromium import PROGRAM, Chromium

pytestmark = pytest.mark.slow
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")

PROMPT = "<script>window.hit = 1</script> \"double\" 'single'\n\tnew line & &amp; שלום עולם 🍎👩‍🎨"
GRID = ("scheduler=heun,dpmpp_2m,dpmpp_2m_sde,lms", "steps=2,4,8", "seed=0,1")


def run(place: Path, module: str, *words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=1200)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two sweeps of 24 cells, `sweep` with two cells more that failed, and `rounded` in bf16."""
    place = tmp_path_factory.mktemp("real")
    make_checkpoint(place / "model")
    experiment = {"prompt": {"text": PROMPT}, "model": {"path": "model"}, "engine": {"batch": 1}}
    text = "# @package _global_\ndefaults:\n  - override /model: local\n" + yaml.safe_dump(experiment)
    (place / "mine" / "experiment").mkdir(parents=True)
    (place / "mine" / "experiment" / "hostile.yaml").write_text(text)
    common = ("-m", "--config-dir", "mine", "experiment=hostile")
    for name, precision in (("sweep", "fp32"), ("rounded", "bf16")):
        done = run(place, "mdiff", *common, f"precision={precision}", f"name={name}", *GRID)
        assert done.returncode == 0, done.stderr[-2000:]
    lacking = shutil.copytree(place / "model", place / "lacking") / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(lacking)
    del tensors["conv_out.weight"]
    save_file(tensors, lacking)
    done = run(place, "mdiff", *common, "precision=fp32", "name=sweep", "model.path=lacking", "seed=0,1", "steps=2")
    assert done.returncode == 1 and "2 of 2 cells failed" in done.stderr
    return place


@pytest.fixture(scope="module")
def folder(place):
    return place / "outputs" / "sweep"


def cells_of(folder: Path, status: str = "complete") -> list[dict]:
    return [cell for cell in json.loads((folder / "index.json").read_text())["cells"] if cell["status"] == status]


@needs_chromium
def test_a_real_sweep_is_shown_as_it_was_made(folder):
    page = build(folder)
    cells = cells_of(folder)
    assert len(cells) == 24
    browser = Chromium()
    try:
        browser.view()
        browser.open(page)
        assert "26 cells (24 complete, 2 failed) · 24 images" in browser.text("#summary")
        assert "conv_out.weight" in browser.text("#notices")
        assert browser.texts("#sheet thead th") == ["2", "4", "8"]
        assert {"dpmpp_2m", "dpmpp_2m_sde", "heun", "lms"} <= set(browser.texts("#sheet tbody th"))
        row = browser.texts("#sheet tbody th").index("heun")
        browser.click(f"#sheet tbody tr:nth-child({row + 1}) td:nth-child(4) .tile")
        browser.wait("document.querySelector('#detail figure img').naturalWidth === 64")
        recipe = browser.text("#detail details pre").splitlines()
        assert "scheduler._target_: mdiff.scheduler.HeunDiscreteScheduler" in recipe
        assert {"steps: 8", "seed: 0", "model.path: model"} <= set(recipe)
        assert browser.texts("#detail dd")[0] == PROMPT
        assert browser.evaluate("window.hit") is None
        command = browser.text("#command")
        browser.press("Escape")
        browser.click(".tile.fault")
        assert "conv_out.weight" in browser.text("#detail-body .reason")
        browser.press("Escape")
        browser.choose("#row", "seed")
        assert browser.texts("#sheet tbody th") == ["0", "1"]
        browser.click("#tab-table")
        browser.click("[data-column='denoise']")
        at = browser.evaluate("tableColumns.findIndex(column => column.name === 'denoise') + 1")
        shown = [float(text) for text in browser.texts(f"#cells tbody tr > :nth-child({at})")]
        everything = json.loads((folder / "index.json").read_text())["cells"]
        assert shown == pytest.approx(sorted(cell["denoise_s"] for cell in everything), rel=1e-3)
        browser.click("#tab-plot")
        browser.choose("#x", "evaluations")
        names = browser.texts("#numbers tbody th")
        plotted = browser.evaluate("[...document.querySelectorAll('#figure .point')].map(n => ({...n.dataset}))")
        assert len(names) == 12
        for name, point in zip(names, plotted, strict=True):
            settings = dict(part.split("=") for part in name.split())
            own = [cell for cell in cells if settings.items() <= cell["varies"].items()]
            assert {cell["evaluations"] for cell in own} == {float(point["x"])}
            error = sum(cell["mse"] for cell in own) / len(own)
            if error == 0:
                assert settings["scheduler"] == "heun" and settings["steps"] == "8" and point["y"] == "Infinity"
            else:
                assert 255**2 * 10 ** (-float(point["y"]) / 10) == pytest.approx(error)
        assert browser.problems == []
    finally:
        browser.close()
    assert command.startswith("python -m mdiff.replay ") and command.endswith("/image_000.png")


def test_the_tables_and_the_sheets_show_every_cell(folder):
    build(folder)
    rows = list(csv.DictReader((folder / "index.csv").open()))
    assert len(rows) == 26 and [row["status"] for row in rows].count("failed") == 2
    for cell in cells_of(folder):
        record = json.loads((folder / cell["cell"] / "record.json").read_text())
        row = next(row for row in rows if row["cell"] == cell["cell"])
        assert float(row["total_s"]) == cell["total_s"] == record["timing"]["total_s"]
        assert float(row["evaluations"]) == record["effective"]["evaluations"]
        assert float(row["peak_rss_mb"]) == record["memory"]["peak_rss_mb"]
    for cell in cells_of(folder, "failed"):
        assert "conv_out.weight" in cell["error"]
    sheets = sorted(folder.glob("contact_*.png"))
    assert sheets
    shown = []
    for sheet in sheets:
        with Image.open(sheet) as opened:
            page = np.asarray(opened.convert("RGB"))
        assert page.shape[0] * page.shape[1] <= 16_000_000
        shown.append(page)
    for cell in cells_of(folder):  # every image is on some page, each pixel of so small a one as 2 x 2
        with Image.open(folder / cell["cell"] / "image_000.png") as opened:
            tile = np.asarray(opened.convert("RGB")).repeat(2, axis=0).repeat(2, axis=1)
        assert any(_holds(page, tile) for page in shown), cell["cell"]


def _holds(page: np.ndarray, tile: np.ndarray) -> bool:
    side = tile.shape[0]
    found = np.argwhere((page[: 1 - side, : 1 - side] == tile[0, 0]).all(axis=-1))
    return any(np.array_equal(page[y : y + side, x : x + side], tile) for y, x in found)


def test_every_image_of_the_sweep_is_identical_when_made_again(place, folder):
    images = sorted(str(path.relative_to(place)) for path in folder.glob("*/image_000.png"))
    assert len(images) == 24
    done = run(place, "mdiff.replay", *images, "--out", "again")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 24
    assert all(": identical: sha256 " in line for line in done.stdout.splitlines()), done.stdout
    carried = {json.loads(Image.open(path).text["mdiff"])["image"]["prompt"] for path in place.glob("again/*/*.png")}
    assert carried == {PROMPT}


def test_two_sweeps_side_by_side_say_what_differs(place, folder):
    rounded = folder.with_name("rounded")
    done = run(place, "mdiff.report", "outputs/sweep", "outputs/rounded", "--out", "compared")
    assert done.returncode == 0, done.stderr
    assert "24 cells in both, 2 only in A, 0 only in B" in done.stdout
    assert "config: precision.name: fp32 -> bf16 (24 cells)" in done.stdout
    assert "pixels: 0 of 24 images identical" in done.stdout and "PSNR" in done.stdout
    plain = json.loads((place / "compared" / "compare.json").read_text())
    assert len(plain["images"]) == 24 and all(image["psnr_db"] > 20 for image in plain["images"])
    assert "denoise_s" in plain["times"]
    build(rounded)
    for cell in cells_of(rounded):
        assert any("bfloat16" in sentence for sentence in cell["substitutions"]), "no substitution is silent"
