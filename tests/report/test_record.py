"""Records from anywhere: what cannot be used is a cell that says why, never a crash."""

import json
import os

import pytest

from mdiff.report import record
from mdiff.report.record import MAX_RECORD_BYTES, natural, read_cell, read_cells
from tests.report.example import write_cell


def hostile(folder, text):
    folder.mkdir()
    (folder / "record.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cell(folder, folder.parent)


def test_a_complete_cell(tmp_path):
    cell = read_cell(write_cell(tmp_path / "cell", "heun", 10), tmp_path)
    assert (cell.name, cell.status, cell.error) == ("cell", "complete", "")
    assert cell.number("effective", "evaluations") == 19
    assert cell.pictures[0].path == tmp_path / "cell" / "image_000.png"


def test_a_failed_cell_says_why(tmp_path):
    cell = read_cell(write_cell(tmp_path / "cell", error="NaN in the latents"), tmp_path)
    assert (cell.status, cell.error) == ("failed", "NaN in the latents")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ('{"status": "complete"', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"status": "<b>done</b>"}', "status is"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("[" * 200_000, "nested too deeply"),
        ('{"status": ' + "1" * 5000 + "}", "record.json:"),
    ],
)
def test_a_record_that_cannot_be_used(tmp_path, text, reason):
    cell = hostile(tmp_path / "cell", text)
    assert cell.status == "unreadable"
    assert reason in cell.error


def test_a_record_that_is_too_large_is_not_read(tmp_path):
    cell = hostile(tmp_path / "cell", b" " * (MAX_RECORD_BYTES + 1))
    assert cell.status == "unreadable"
    assert str(MAX_RECORD_BYTES) in cell.error


def test_a_record_that_is_a_pipe_does_not_hang(tmp_path):
    (tmp_path / "cell").mkdir()
    os.mkfifo(tmp_path / "cell" / "record.json")
    assert "not a regular file" in read_cell(tmp_path / "cell", tmp_path).error


def test_values_of_the_wrong_type_are_missing(tmp_path):
    timing = {"load_s": "1e999", "denoise_s": float("nan"), "total_s": True, "save_s": [1], "decode_s": 10**400}
    cell = read_cell(write_cell(tmp_path / "cell", timing=timing, memory="lots", effective=None), tmp_path)
    assert [cell.number("timing", name) for name in timing] == [None] * 5
    assert cell.number("memory", "peak_rss_mb") is None
    assert cell.texts("effective", "substitutions") == []


@pytest.mark.parametrize("file", ["../secret.png", "/etc/passwd", "a/b.png", "http://host/x.png", ".png", "x.svg", 7])
def test_an_image_outside_its_cell_is_missing(tmp_path, file):
    (tmp_path / "secret.png").write_bytes(b"")
    cell = read_cell(write_cell(tmp_path / "cell", images=[{"file": file, "prompt": "p"}]), tmp_path)
    assert cell.pictures[0].path is None


def test_a_link_is_not_followed(tmp_path):
    place = write_cell(tmp_path / "cell")
    (tmp_path / "elsewhere.png").write_bytes((place / "image_000.png").read_bytes())
    (place / "image_000.png").unlink()
    (place / "image_000.png").symlink_to(tmp_path / "elsewhere.png")
    assert read_cell(place, tmp_path).pictures[0].path is None


def test_long_texts_are_cut(tmp_path):
    images = [{"file": "image_000.png", "prompt": "x" * 1_000_000}]
    cell = read_cell(write_cell(tmp_path / "cell", images=images), tmp_path)
    assert len(cell.pictures[0].prompt) < 30_000
    assert "980000 more characters" in cell.pictures[0].prompt


def test_folders_are_found_at_any_depth_in_natural_order(tmp_path):
    for name in ("b/steps=10", "b/steps=9", "a/2026-01-01_10-00-00"):
        write_cell(tmp_path / name)
    (tmp_path / "c" / "unfinished").mkdir(parents=True)
    (tmp_path / "c" / "unfinished" / "config.yaml").write_text("steps: 3")
    write_cell(tmp_path / ".mdiff" / "staged")
    cells, cut = read_cells(tmp_path)
    assert [cell.name for cell in cells] == ["a/2026-01-01_10-00-00", "b/steps=9", "b/steps=10", "c/unfinished"]
    assert [cell.status for cell in cells][-1] == "unfinished"
    assert not cut


def test_too_many_cells_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "MAX_CELLS", 2)
    for number in range(3):
        hostile(tmp_path / str(number), json.dumps({"status": "complete"}))
    cells, cut = read_cells(tmp_path)
    assert (len(cells), cut) == (2, True)


def test_natural_order():
    assert sorted(["a10", "a9", "b", "a", "10", "9"], key=natural) == ["9", "10", "a", "a9", "a10", "b"]
