"""The page of a sweep that `python -m mdiff -m` made, in a real Chromium."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdiff.report import build
from tests.checkpoint import make_checkpoint
from tests.report.chromium import PROGRAM, Chromium

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]

SWEEP = ("scheduler=heun,dpmpp_2m,dpmpp_2m_sde,lms", "steps=2,4,8", "seed=0,1", "name=sweep", "engine.batch=1")


def test_a_real_sweep_is_shown_as_it_was_made(tmp_path):
    make_checkpoint(tmp_path / "model")
    command = [sys.executable, "-m", "mdiff", "-m", "model=local", "model.path=model", "precision=fp32", *SWEEP]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "outputs" / "sweep"
    assert {"report.html", "index.csv", "index.json"} <= {path.name for path in folder.iterdir()}
    page = build(folder)
    assert len(list(folder.glob("contact_*.png"))) == 2
    cells = json.loads((folder / "index.json").read_text())["cells"]
    assert [cell["status"] for cell in cells] == ["complete"] * 24
    browser = Chromium()
    try:
        browser.view()
        browser.open(page)
        assert browser.texts("#sheet tbody th") == ["dpmpp_2m", "dpmpp_2m_sde", "heun", "lms"]
        assert browser.texts("#sheet thead th") == ["2", "4", "8"]
        browser.click("#sheet tbody tr:nth-child(3) .tile", 2)
        browser.wait("document.querySelector('#detail figure img').naturalWidth === 64")
        recipe = browser.text("#detail details pre").splitlines()
        assert "scheduler._target_: mdiff.scheduler.HeunDiscreteScheduler" in recipe
        assert {"steps: 8", "seed: 0", "model.path: model"} <= set(recipe)
        browser.press("Escape")
        browser.click("#tab-table")
        browser.click("[data-column='denoise']")
        at = browser.evaluate("tableColumns.findIndex(column => column.name === 'denoise') + 1")
        shown = [float(text) for text in browser.texts(f"#cells tbody tr > :nth-child({at})")]
        assert shown == pytest.approx(sorted(cell["denoise_s"] for cell in cells), rel=1e-3)
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
                assert (name, point["y"]) == ("scheduler=heun steps=8", "Infinity")
            else:
                assert 255**2 * 10 ** (-float(point["y"]) / 10) == pytest.approx(error)
        assert browser.problems == []
    finally:
        browser.close()
