"""The table of what was measured, for a README or a chat."""

import json
import shutil
import subprocess
import sys

import pytest

from mdiff.report import build
from mdiff.report.fidelity import psnr
from mdiff.report.markdown import markdown
from tests.report.example import write_cell, write_sweep


def rows(text):
    lines = [[part.strip() for part in line.strip("|").split(" | ")] for line in text.splitlines()]
    assert [part.strip(":") for part in lines[1]] == ["---"] * 6
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_a_row_is_the_mean_of_a_settings_images(tmp_path):
    write_sweep(tmp_path, steps=(5, 10), seeds=(0, 1))
    write_cell(tmp_path / "failed", "heun", 7, error="NaN")
    found = rows(markdown(tmp_path))
    build(tmp_path)
    cells = json.loads((tmp_path / "index.json").read_text())["cells"]
    assert len(found) == 6
    for row in found:
        scheduler, steps = (word.partition("=")[2].strip("`") for word in row["setting"].split())
        own = [cell for cell in cells if cell["varies"]["scheduler"] == scheduler and cell["varies"]["steps"] == steps]
        assert len(own) == 2 and row["run"] == tmp_path.name
        assert float(row["evaluations"]) == own[0]["evaluations"]
        assert float(row["seconds an image"]) == pytest.approx(own[0]["seconds_per_image"], abs=0.005)
        error = sum(cell["mse"] for cell in own) / 2
        if (scheduler, steps) == ("heun", "10"):
            assert (row["PSNR, dB"], row["SSIM"], error) == ("reference", "", 0)
        else:
            assert float(row["PSNR, dB"]) == pytest.approx(psnr(error), abs=0.05)
            assert float(row["SSIM"]) == pytest.approx(sum(cell["ssim"] for cell in own) / 2, abs=0.00005)


def test_each_run_of_a_folder_is_measured_for_itself(tmp_path):
    write_sweep(tmp_path / "few", ("lms",), steps=(5, 10), seeds=(0,))
    write_sweep(tmp_path / "many", ("lms",), steps=(10, 50), seeds=(0,))
    write_cell(tmp_path / "twice" / "a", "lms", 5, "fp32")
    write_cell(tmp_path / "twice" / "b", "lms", 5, "bf16")
    write_cell(tmp_path / "twice" / "c", "lms", 10, "bf16")
    for name in "bc":  # of another setting, with the pixels of the first
        shutil.copy(tmp_path / "twice" / "a" / "image_000.png", tmp_path / "twice" / name / "image_000.png")
    write_cell(tmp_path / "prompts" / "a", prompt="one | two\n`three`")
    write_cell(tmp_path / "prompts" / "b", prompt="")
    found = {(row["run"], row["setting"]): row["PSNR, dB"] for row in rows(markdown(tmp_path))}
    assert found[("few", "`steps=10`")] == found[("many", "`steps=50`")] == "reference"
    assert float(found[("many", "`steps=10`")]) > float(found[("few", "`steps=5`")])
    assert found[("twice", "`precision=bf16` `steps=5`")] == "identical"
    assert found[("prompts", "`prompt=one \\| two 'three'`")] == found[("prompts", "`prompt=''`")] == ""


def test_the_command_prints_it_and_makes_no_page(tmp_path):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    command = [sys.executable, "-m", "mdiff.report", str(tmp_path), "--markdown"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == markdown(tmp_path) + "\n"
    assert not (tmp_path / "report.html").exists()
