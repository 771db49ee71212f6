"""The folder's page and tables as files, without a browser."""

import csv
import json
import re
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mdiff.errors import MdiffError
from mdiff.replay.override import parse_overrides
from mdiff.report import build, refresh, sheet
from mdiff.report.command import replay_command
from mdiff.report.grid import make_grid
from mdiff.report.page import in_parts, render, to_script
from mdiff.report.record import read_cells
from tests.report.example import write_cell, write_sweep

HOSTILE = "<script>alert(1)</script>\"'\n&amp; {title} {data} \u2028 שלום 🍎 \ud800"


def data_of(page):
    text = page.read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_everything_is_written(tmp_path):
    page = build(write_sweep(tmp_path / "sweep", seeds=(0,)))
    assert page == tmp_path / "sweep" / "report.html"
    names = {path.name for path in page.parent.iterdir() if path.is_file()}
    assert names == {"report.html", "index.csv", "index.json", "contact_000.png"}
    data = data_of(page)
    assert (data["row"], data["column"], len(data["cells"]), len(data["items"])) == ("scheduler", "steps", 12, 12)
    assert all(item["thumb"].startswith("data:image/webp;base64,") for item in data["items"])


def test_the_tables_say_what_the_records_say(tmp_path):
    build(write_sweep(tmp_path, steps=(5, 50), seeds=(0,)))
    index = json.loads((tmp_path / "index.json").read_text())
    rows = list(csv.DictReader((tmp_path / "index.csv").open()))
    assert index["varies"] == ["scheduler", "steps"]
    assert len(rows) == len(index["cells"]) == 6
    row = next(row for row in rows if row["scheduler"] == "heun" and row["steps"] == "5")
    cell = next(cell for cell in index["cells"] if cell["varies"] == {"scheduler": "heun", "steps": "5"})
    assert float(row["seconds_per_image"]) == pytest.approx(0.01 + 9 * 0.05 + 0.04)
    assert (row["status"], row["evaluations"], row["peak_rss_mb"]) == ("complete", "9", "812.4")
    assert float(row["psnr_db"]) == pytest.approx(cell["psnr_db"])
    reference = next(cell for cell in index["cells"] if cell["varies"] == {"scheduler": "heun", "steps": "50"})
    assert (reference["mse"], reference["psnr_db"], reference["ssim"]) == (0, None, 1)
    closer = [c["psnr_db"] for c in index["cells"] if c["varies"]["steps"] == "50" and c is not reference]
    assert min(closer) > cell["psnr_db"]


def test_a_formula_in_a_record_stays_text_in_a_spreadsheet(tmp_path):
    write_cell(tmp_path / "a", prompt="=HYPERLINK(1)")
    write_cell(tmp_path / "b", prompt="-1", error="@SUM(1)")
    build(tmp_path)
    rows = list(csv.DictReader((tmp_path / "index.csv").open()))
    assert [row["prompt"] for row in rows] == ["'=HYPERLINK(1)", "-1"]
    assert rows[1]["error"] == "'@SUM(1)"


def test_hostile_text_is_data_and_never_markup(tmp_path):
    write_cell(tmp_path / "<img src=x onerror=alert(2)>", prompt=HOSTILE[:-1], error=HOSTILE)
    write_cell(tmp_path / "good", prompt=HOSTILE[:-1])
    text = build(tmp_path).read_text()
    assert text.count("<script") == 2
    assert "alert(1)</script" not in text
    assert "<img src=x" not in text
    data = data_of(tmp_path / "report.html")
    assert [item["prompt"] for item in data["items"]] == [HOSTILE[:-1]] * 2
    assert HOSTILE in {cell["error"] for cell in data["cells"]}


def test_the_document_is_filled_in_one_pass():
    page = "".join(render("{script} </title><script>", "<p>{data}</p>", ["</script>{style}"]))
    assert "<title>{script} &lt;/title&gt;&lt;script&gt;</title>" in page
    assert "<p>{data}</p>" in page
    assert r'["\u003c/script\u003e{style}"]</script>' in page


@pytest.mark.parametrize(
    "data", [{}, {"a": []}, {"a": [], "b": [1, {"c": "</"}], "d": {"e": [None]}, "f": 2}, [1, 2], None]
)
def test_data_in_parts_are_the_whole(data):
    assert "".join(in_parts(data)) == to_script(data)


def test_numbers_that_json_has_not_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        to_script(float("inf"))


def test_bad_images_are_named(tmp_path):
    cut = write_cell(tmp_path / "cut") / "image_000.png"
    cut.write_bytes(cut.read_bytes()[:300])
    gone = write_cell(tmp_path / "gone", seed=1) / "image_000.png"
    gone.unlink()
    changed = write_cell(tmp_path / "changed", seed=2) / "image_000.png"
    Image.new("RGB", (64, 64)).save(changed)
    bomb = write_cell(tmp_path / "bomb", seed=3) / "image_000.png"
    head = bytearray(bomb.read_bytes())
    head[16:24] = (200_000).to_bytes(4, "big") * 2
    bomb.write_bytes(head)
    data = data_of(build(tmp_path))
    found = {data["cells"][item["cell"]]["name"]: item for item in data["items"]}
    assert "not a readable PNG" in found["cut"]["fault"]
    assert found["gone"]["fault"] == "image_000.png is missing"
    assert found["changed"]["changed"] is True
    assert found["bomb"]["fault"]


def test_commands_are_quoted_for_a_shell(tmp_path):
    write_cell(tmp_path / "it's $HOME; rm -rf *")
    command = data_of(build(tmp_path))["items"][0]["command"]
    words = subprocess.run(["/bin/bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True)
    image = str(tmp_path / "it's $HOME; rm -rf *" / "image_000.png")
    expected = ["python", "-m", "mdiff.replay", image, "model.path=/models/emoji"]
    assert words.stdout.splitlines() == expected


def test_a_command_names_every_path_that_a_replay_takes_from_its_user_only(tmp_path):
    settings = {
        "path": "bundled:emoji",
        "variant": None,
        "vae": {"path": "../it's a, vae", "file": None},
        "loras": [{"path": "/l/true.safetensors", "weight": 0.5}, {"path": "hub/id", "weight": 1}],
    }
    words = shlex.split(replay_command(tmp_path / "x.png", settings))
    overrides = parse_overrides(words[4:])
    assert overrides.values == {"model.vae": settings["vae"], "model.loras": settings["loras"]}
    assert replay_command(tmp_path / "x.png", {"path": "stabilityai/sdxl-turbo"}).endswith("x.png")


def test_links_lead_to_the_images_from_another_folder(tmp_path):
    write_cell(tmp_path / "sweep" / "50%,#1?")
    data = data_of(build(tmp_path / "sweep", tmp_path / "out" / "deep"))
    assert data["items"][0]["href"] == "../../sweep/50%25%2C%231%3F/image_000.png"
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["50%,#1?"]


def test_a_refresh_sees_new_cells_and_reads_the_others_from_its_cache(tmp_path, monkeypatch):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    refresh(tmp_path)
    read = []
    from mdiff.report import cache

    original = cache.read_rgb
    monkeypatch.setattr(cache, "read_rgb", lambda path: read.append(path) or original(path))
    new = write_cell(tmp_path / "new", steps=7)
    assert len(data_of(refresh(tmp_path))["items"]) == 4
    assert read == [new / "image_000.png"]


def test_a_damaged_cache_costs_only_time(tmp_path):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    first = data_of(build(tmp_path))
    (tmp_path / ".report" / "cache.json").write_text('{"schema": 1, "images": {"x": ["../../etc", 1]}, "pairs": [3]}')
    again = data_of(build(tmp_path))
    assert again["items"] == first["items"]


def test_measuring_stops_when_its_time_is_over(tmp_path):
    write_sweep(tmp_path, steps=(5, 10), seeds=(0,))
    build(tmp_path, seconds=0.0)
    pairs = data_of(tmp_path / "report.html")["pairs"]
    assert pairs["missing"] > 0
    build(tmp_path)
    assert data_of(tmp_path / "report.html")["pairs"]["missing"] == 0


def test_a_chosen_reference_comes_first(tmp_path):
    write_sweep(tmp_path, steps=(5, 10), seeds=(0, 1))
    data = data_of(build(tmp_path, reference="scheduler=lms steps=5"))
    assert data["references"][0] == "scheduler=lms steps=5"
    zero = [item for item in data["items"] if item["distance"]["0"] == [0, 1]]
    assert {data["cells"][item["cell"]]["config"]["steps"] for item in zero} == {"5"}
    assert len(zero) == 2
    with pytest.raises(MdiffError, match="scheduler=lms steps=5"):
        build(tmp_path, reference="scheduler=lms steps=6")


def test_axes_can_be_asked_for(tmp_path):
    write_sweep(tmp_path, steps=(5, 10))
    data = data_of(build(tmp_path, rows="steps"))
    assert (data["row"], data["column"]) == ("steps", "scheduler")
    with pytest.raises(MdiffError, match="did you mean 'steps'"):
        build(tmp_path, columns="step")


def test_contact_sheets_are_paged_and_capped(tmp_path, monkeypatch):
    write_sweep(tmp_path, steps=(5, 10, 20), seeds=(0, 1), side=96)
    build(tmp_path)
    pages = sorted(tmp_path.glob("contact_*.png"))
    assert len(pages) == 2
    with Image.open(pages[0]) as page:
        assert page.width > 3 * 96 and page.height > 3 * 96
        assert len(page.convert("RGB").getcolors(1 << 24)) > 1000
    monkeypatch.setattr(sheet, "MAX_PIXELS", 60_000)
    build(tmp_path, sheets=1)
    assert sorted(tmp_path.glob("contact_*.png")) == pages[:1]
    with Image.open(pages[0]) as page:
        assert page.width * page.height <= 60_000


def test_a_page_of_a_contact_sheet_has_no_empty_rows(tmp_path):
    write_sweep(tmp_path, steps=(5, 10), seeds=(0, 1))
    write_cell(tmp_path / "alone", "heun", 7, seed=2, error="NaN in the latents")
    pages = sheet.lay_out(make_grid(read_cells(tmp_path)[0]))
    assert [(page.title, list(page.rows), list(page.columns)) for page in pages] == [
        ("seed: 0", ["dpmpp_2m", "heun", "lms"], ["5", "10"]),
        ("seed: 1", ["dpmpp_2m", "heun", "lms"], ["5", "10"]),
        ("seed: 2", ["heun"], ["7"]),
    ]


def test_runs_that_form_no_grid_follow_each_other_on_a_contact_sheet(tmp_path):
    for at, (scheduler, steps, precision) in enumerate(
        (("heun", 5, "fp32"), ("lms", 7, "bf16"), ("dpmpp_2m", 9, "fp32"))
    ):
        write_cell(tmp_path / str(at), scheduler, steps, precision, seed=at, prompt=f"prompt {at}")
    cells = read_cells(tmp_path)[0]
    grid = make_grid(cells)
    (page,) = sheet.lay_out(grid)
    assert list(page.captions.values()) == [
        "heun · fp32 · 5 · prompt 0 · 0",
        "lms · bf16 · 7 · prompt 1 · 1",
        "dpmpp_2m · fp32 · 9 · prompt 2 · 2",
    ]
    drawn = np.asarray(sheet.draw_page(cells, grid, page))
    assert drawn.shape[1] > 3 * 128
    below = drawn[sheet.LINE + sheet.GAP + 128 + 4 :]
    assert (below.min(axis=(0, 2))[: 3 * 128] < 100).sum() > 100, "captions are drawn"


def test_a_failed_cell_has_its_reason_on_the_contact_sheet(tmp_path):
    def ink(error):
        place = tmp_path / str(len(error))
        write_cell(place / "a", "heun", 5)
        write_cell(place / "b", "heun", 7, error=error)
        cells = read_cells(place)[0]
        grid = make_grid(cells)
        (page,) = sheet.lay_out(grid)
        drawn = np.asarray(sheet.draw_page(cells, grid, page)).astype(int)
        return ((drawn[..., 0] > 120) & (drawn[..., 1] < 90)).sum()

    short, long = ink("NaN"), ink("not enough memory on the host; use a smaller size or engine.batch=1")
    assert long > short + 300


def test_a_thousand_bad_records_are_quick(tmp_path):
    for number in range(1000):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_text("{")
    began = time.monotonic()
    data = data_of(build(tmp_path))
    assert len(data["cells"]) == 1000
    assert time.monotonic() - began < 10


def test_a_folder_without_results_is_a_sentence(tmp_path):
    with pytest.raises(MdiffError, match="holds no results"):
        build(tmp_path)
    with pytest.raises(MdiffError, match="is not a folder"):
        build(tmp_path / "nowhere")


def test_the_command_line(tmp_path):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    command = [sys.executable, "-m", "mdiff.report", str(tmp_path), "--out", str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "page" / "report.html")
    missing = subprocess.run([*command[:3], str(tmp_path / "nowhere")], capture_output=True, text=True)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
