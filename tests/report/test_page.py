"""The page in a real Chromium: what a reader clicks, types and sees."""

import json
import shutil

import pytest

from mdiff.report import build, compare
from tests.report.chromium import PROGRAM, Chromium
from tests.report.example import write_cell, write_sweep

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]

PROMPT = (
    '<script>window.hit = 1</script> "quoted" \'single\'\nsecond line & &amp; <img src=x onerror="window.hit=2"> אבג 🍎'
)
TABS = ("images", "plot", "table")


@pytest.fixture(scope="module")
def browser():
    chromium = Chromium()
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """24 cells that are complete, one that failed, and a record that cannot be read."""
    folder = write_sweep(tmp_path_factory.mktemp("page") / "sweep")
    write_cell(folder / "failed", "heun", 100, error="NaN in the latents of image 0 after evaluation 7")
    (folder / "broken").mkdir()
    (folder / "broken" / "record.json").write_text('{"status":')
    build(folder)
    return folder


@pytest.fixture
def page(browser, sweep):
    browser.view()
    browser.open(sweep / "report.html")
    yield browser
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


def cells_of(folder):
    return json.loads((folder / "index.json").read_text())["cells"]


def column(page, name):
    """The values of one column of the table, top to bottom."""
    at = page.evaluate(f"tableColumns.findIndex(c => c.name === {name!r})")
    return page.texts(f"#cells tbody tr > :nth-child({at + 1})")


def test_the_head_counts_and_names_what_is_wrong(page):
    assert "26 cells (1 unreadable, 1 failed, 24 complete) · 24 images" in page.text("#summary")
    notice = page.text("#notices")
    assert "failed: failed: NaN in the latents of image 0" in notice
    assert "broken: unreadable: record.json: not JSON" in notice


def test_the_sheet_is_laid_out_by_what_varies(page):
    assert page.texts("#sheet thead th") == ["5", "10", "20", "50", "100"]
    assert page.texts("#sheet tbody th") == ["dpmpp_2m", "heun", "lms"]
    assert len(page.texts(".tile")) == 13
    assert "NaN in the latents" in page.text(".tile.fault")
    page.wait("[...document.querySelectorAll('.tile img')].every(i => i.complete && i.naturalWidth === 64)")


def test_axes_change_and_other_keys_turn_pages(page):
    page.choose("#row", "seed")
    assert page.texts("#sheet tbody th") == ["0", "1"]
    assert page.texts(".pager label select option:checked") == ["dpmpp_2m  (1 of 3)"]
    assert "seed 1" in page.text("#sheet tbody tr:nth-child(2) .facts")
    page.click(".pager button", 1)
    assert page.texts(".pager select option:checked") == ["heun  (2 of 3)"]
    assert "9 ev" in page.text("#sheet .facts")
    page.choose("#column", "seed")
    assert page.texts("#sheet thead th") == ["0", "1"]
    assert page.texts("#sheet tbody th") == ["5", "10", "20", "50", "100"]
    page.choose("#row", "")
    assert page.evaluate("document.querySelectorAll('#sheet .flow .tile').length") > 0


def test_the_address_brings_back_the_view(page, sweep):
    page.choose("#row", "seed")
    page.click("#tab-table")
    page.click("[data-column='denoise']")
    fragment = page.evaluate("location.hash")
    page.open(sweep / "report.html", fragment)
    assert page.evaluate("document.querySelector('#table').hidden") is False
    assert page.evaluate("document.querySelector('[aria-sort=ascending]').textContent") == "denoise, s"
    page.click("#tab-images")
    assert page.evaluate("document.querySelector('#row').value") == "seed"


def test_a_click_opens_the_image_its_recipe_and_its_command(page, sweep):
    page.click("#sheet tbody tr:nth-child(2) .tile", 1)
    assert page.evaluate("document.querySelector('#detail').open")
    assert "scheduler=heun,steps=10,precision=fp32,seed=0" in page.text("#detail-title")
    page.wait("document.querySelector('#detail figure img').naturalWidth === 64")
    assert page.evaluate("document.querySelector('#detail figure img').src").endswith("image_000.png")
    assert page.text("#command").startswith("python -m mdiff.replay ")
    assert page.text("#command").endswith("steps=10,precision=fp32,seed=0/image_000.png model.path=/models/emoji")
    facts = dict(zip(page.texts("#detail dt"), page.texts("#detail dd"), strict=True))
    assert facts["prompt"] == "a red apple"
    assert (facts["denoise"], facts["evaluations an image"], facts["peak rss"]) == ("0.95 s", "19", "812.4 MB")
    recipe = page.text("#detail details pre")
    assert "scheduler._target_: mdiff.scheduler.HeunDiscreteScheduler" in recipe
    assert "steps: 10" in recipe.splitlines()
    page.click("#next")
    assert "steps=20" in page.text("#detail-title")
    page.press("Escape")
    assert not page.evaluate("document.querySelector('#detail').open")


def test_images_that_share_a_place_say_what_tells_them_apart(page):
    page.choose("#page-2", "\0all")
    assert len(page.texts("#sheet tbody tr:nth-child(2) td:nth-child(3) .tile")) == 2
    page.choose("#row", "seed")
    page.choose("#page-0", "\0all")
    facts = page.texts("#sheet tbody tr:nth-child(1) td:nth-child(3) .facts")
    assert [text.rpartition(" · ")[2] for text in facts] == ["dpmpp_2m", "heun", "lms"]


def test_the_columns_fill_the_width(page):
    for width in (1000, 1280, 1600):
        page.view(width, 900)
        page.evaluate("drawSheet()")
        box = page.evaluate("(n => [n.scrollWidth, n.clientWidth])(document.querySelector('.scroll'))")
        tile = page.evaluate("document.querySelector('.tile').clientWidth")
        assert box[0] == box[1] and 112 <= tile <= 192
        assert tile == 192 or box[1] - 5 * (tile + 8) < 180


def test_a_profiled_run_shows_what_it_measured(browser, tmp_path):
    steps = [
        {"image": 0, "row": row, "timestep": 999.0 - row, "seconds": 0.1 + row / 100, "rows": 4} for row in range(9)
    ]
    profile = {"components": {"encode": 0.5, "denoise": 1.5, "<b>": "much"}, "steps": [*steps, {"seconds": None}, 7]}
    write_cell(tmp_path / "a", profile=profile)
    write_cell(tmp_path / "b", seed=1)
    page = build(tmp_path)
    browser.view()
    browser.open(page)
    browser.click(".tile")
    assert browser.texts("#detail .profile tr") == ["encode0.5 s25.0 %", "denoise1.5 s75.0 %"]
    bars = browser.evaluate(
        "[...document.querySelectorAll('#detail .profile rect')].map(n => n.getBoundingClientRect().width)"
    )
    assert bars[1] == pytest.approx(3 * bars[0]) and bars[0] > 10
    assert browser.texts("#detail .steps title")[1] == "image 0, row 1, timestep 998, rows 4: 0.11 s"
    assert "9 evaluations, 0.1 s to 0.18 s each" in browser.text("#detail")
    browser.click("#next")
    assert "Profile" not in browser.texts("#detail summary")
    assert browser.problems == []


def test_a_failed_cell_shows_its_reason_in_full(page):
    page.click(".tile.fault")
    assert "NaN in the latents of image 0 after evaluation 7" in page.text("#detail-body .reason")
    assert "makes what is missing" in page.text(".again")
    page.press("Escape")


def test_the_keyboard_is_enough(page):
    page.evaluate("document.querySelector('.tile').focus()")
    for key in ("ArrowRight", "ArrowDown"):
        page.press(key)
    page.press("Enter")
    page.wait("document.querySelector('#detail').open")
    assert "scheduler=heun,steps=10" in page.text("#detail-title")
    page.press("ArrowRight")
    assert "scheduler=heun,steps=20" in page.text("#detail-title")
    page.press("Escape")
    focused = "data.cells[data.items[document.activeElement.dataset.item].cell].name"
    assert "scheduler=heun,steps=20" in page.evaluate(focused)
    page.evaluate("document.querySelector('#tab-images').focus()")
    page.press("ArrowRight")
    assert page.evaluate("document.querySelector('#plot').hidden") is False
    page.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-table"


def test_the_table_sorts_both_ways_and_keeps_the_empty_last(page, sweep):
    page.click("#tab-table")
    assert len(page.texts("#cells tbody tr")) == 26
    page.click("[data-column='denoise']")
    up = column(page, "denoise")
    expected = sorted(cell["denoise_s"] for cell in cells_of(sweep) if cell["denoise_s"] is not None)
    assert [float(text) for text in up[: len(expected)]] == pytest.approx(expected)
    assert up[len(expected) :] == [""]
    page.click("[data-column='denoise']")
    down = column(page, "denoise")
    assert [float(text) for text in down[: len(expected)]] == pytest.approx(expected[::-1])
    assert down[-1] == ""
    page.click("[data-column='steps']")
    assert column(page, "steps")[:6] == ["5"] * 6


def test_the_table_filters_by_words_and_comparisons(page):
    page.click("#tab-table")
    page.click("#filter")
    page.type("heun steps>=20 status=complete")
    assert page.text("#shown") == "4 of 26 cells"
    assert set(column(page, "scheduler")) == {"heun"}
    page.evaluate("document.querySelector('#filter').select()")
    page.type('"not JSON"')
    assert column(page, "cell") == ["broken"]
    page.evaluate("document.querySelector('#filter').select()")
    page.type("psnr<30")
    values = [float(text) for text in column(page, "psnr")]
    assert values and max(values) < 30


def test_the_plot_shows_the_measured_numbers(page, sweep):
    page.click("#tab-plot")
    names = page.texts("#numbers tbody th")
    points = page.evaluate("[...document.querySelectorAll('#figure .point')].map(n => ({...n.dataset}))")
    assert len(names) == len(points) == 12
    by_setting = {}
    for cell in cells_of(sweep):
        if cell["status"] == "complete":
            name = f"scheduler={cell['varies']['scheduler']} steps={cell['varies']['steps']}"
            by_setting.setdefault(name, []).append(cell)
    assert set(by_setting) == set(names)
    for name, point in zip(names, points, strict=True):
        cells = by_setting[name]
        assert float(point["x"]) == pytest.approx(sum(cell["seconds_per_image"] for cell in cells) / 2)
        error = sum(cell["mse"] for cell in cells) / 2
        if name == "scheduler=heun steps=50":
            assert (error, point["y"]) == (0, "Infinity")
        else:
            assert 10 ** (-float(point["y"]) / 10) * 255**2 == pytest.approx(error)
    # Nothing on the front has anything that is both cheaper and closer, and everything else has.
    for point in points:
        x, y = float(point["x"]), float(point["y"])
        beaten = any(
            float(o["x"]) <= x and float(o["y"]) >= y and (float(o["x"]), float(o["y"])) != (x, y) for o in points
        )
        assert (point["front"] == "true") is not beaten


def test_the_front_is_named_and_no_name_covers_anything(page):
    shapes = "[...document.querySelectorAll('#figure .name, #figure .point path')]"
    box = "(b => [b.left, b.top, b.right, b.bottom])(n.getBoundingClientRect())"
    for width in (390, 1280):
        page.view(width, 900)
        page.click("#tab-plot")
        page.evaluate("drawPlot()")
        notes = zip(page.texts("#numbers tbody th"), page.texts("#numbers td:last-child"), strict=True)
        front = [name for name, note in notes if "front" in note]
        names = page.texts("#figure .name")
        assert names
        assert set(names) <= {" ".join(word.partition("=")[2] for word in name.split()) for name in front}
        boxes = page.evaluate(f"{shapes}.map(n => [n.tagName === 'text', ...{box}])")
        for text in [box for box in boxes if box[0]]:
            _, left, top, right, bottom = text
            assert left > 0 and right < width
            for other in boxes:
                apart = other[1] >= right or other[3] <= left or other[2] >= bottom - 3 or other[4] <= top + 3
                assert apart or other is text


def test_the_plot_answers_which_setting_is_the_cheapest(page):
    page.click("#tab-plot")
    page.evaluate("const f = document.querySelector('#floor'); f.value = 38; f.dispatchEvent(new Event('change'))")
    answer = page.text("#answer")
    rows = zip(page.texts("#numbers tbody th"), page.texts("#numbers td:nth-child(3)"), strict=True)
    cheapest = next(name for name, value in rows if value == "∞" or float(value) >= 38)
    assert cheapest in answer and "times cheaper than the reference" in answer


def test_another_reference_and_measure_can_be_chosen(page):
    page.click("#tab-plot")
    labels = page.texts("#reference option")
    assert len(labels) == 13
    page.choose("#reference", str(labels.index("scheduler=lms steps=5")))
    notes = dict(zip(page.texts("#numbers tbody th"), page.texts("#numbers td:last-child"), strict=True))
    assert [name for name, note in notes.items() if "reference" in note] == ["scheduler=lms steps=5"]
    page.choose("#y", "ssim")
    page.choose("#x", "evaluations")
    points = page.evaluate("[...document.querySelectorAll('#figure .point')].map(n => [+n.dataset.x, +n.dataset.y])")
    assert {x for x, _ in points} == {5, 9, 10, 19, 20, 39, 50, 99}
    assert max(y for _, y in points) == 1
    assert "not quality" in page.text("#plot .hint")
    page.click("#figure .point", 3)
    assert page.evaluate("document.querySelector('#detail').open")
    page.press("Escape")


def test_text_of_any_kind_is_shown_as_text(browser, tmp_path):
    write_cell(tmp_path / "a", prompt=PROMPT)
    write_cell(tmp_path / "b", prompt="plain")
    write_cell(tmp_path / "c", prompt=PROMPT + "!", error=PROMPT)
    page = build(tmp_path)
    browser.view()
    for tab in TABS:
        browser.open(page, f"#tab={tab}")
    browser.open(page)
    number = browser.evaluate(f"data.items.findIndex(i => i.prompt === {json.dumps(PROMPT)})")
    browser.click(f".tile[data-item='{number}']")
    assert browser.texts("#detail dd")[0] == PROMPT
    assert browser.evaluate("window.hit") is None
    assert browser.problems == []


def test_a_phone_and_a_dark_room(browser, sweep, tmp_path):
    for dark in (False, True):
        browser.view(390, 844, dark=dark, mobile=True)
        for tab in TABS:
            browser.open(sweep / "report.html", f"#tab={tab}")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390
        browser.open(sweep / "report.html")
        browser.click(".tile")
        assert browser.evaluate("document.querySelector('#detail-body').scrollWidth") <= 390
        style = "getComputedStyle(document.documentElement).getPropertyValue('--{}')"
        colours = {
            name: browser.evaluate(style.format(name)).strip() for name in ("paper", "ink", "soft", "fault", "accent")
        }
        assert (luminance(colours["paper"]) < 0.1) is dark
        for name in ("ink", "soft", "fault", "accent"):
            assert contrast(colours["paper"], colours[name]) >= 4.5, name


def test_a_page_without_its_images_still_shows_them_small(browser, sweep, tmp_path):
    shutil.copy(sweep / "report.html", tmp_path / "alone.html")
    browser.view()
    browser.open(tmp_path / "alone.html")
    browser.click(".tile")
    browser.wait("document.querySelector('#detail figure').textContent.includes('not beside this page')")
    assert browser.evaluate("document.querySelector('#detail figure img').naturalWidth") == 64


def test_a_thousand_cells_are_ready_within_three_seconds(browser, tmp_path):
    cells = [(s, n, p) for s in ("heun", "dpmpp_2m", "lms") for n in range(5, 10) for p in ("fp32", "bf16")]
    for number, (scheduler, steps, precision) in enumerate(cells):
        place = write_cell(tmp_path / f"{number}-0", scheduler, steps, precision, side=512)
        record = (place / "record.json").read_text()
        for seed in range(1, 34):
            other = tmp_path / f"{number}-{seed}"
            other.mkdir()
            (other / "image_000.png").hardlink_to(place / "image_000.png")
            (other / "record.json").write_text(record.replace('"seed": 0', f'"seed": {seed}'))
    page = build(tmp_path, sheets=0, seconds=5)
    browser.view()
    for tab in TABS:
        browser.open(page, f"#tab={tab}")
        assert browser.evaluate("data.cells.length") == 1020
        assert browser.evaluate("Number(document.documentElement.dataset.ready)") < 3000
    browser.open(page, "#row=&column=")
    for at in range(browser.evaluate("data.keys.length")):
        browser.choose(f"#page-{at}", "\0all")
    frame = "requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))"
    took = f"new Promise(done => {{ const began = performance.now(); drawSheet(); {frame} }})"
    assert browser.evaluate("document.querySelectorAll('.tile').length") == 1020
    assert browser.evaluate(took) < 3000


def test_a_comparison_opens(browser, sweep, tmp_path):
    other = write_sweep(tmp_path / "other", precisions=("bf16",))
    comparison = compare(sweep, other, tmp_path / "out")
    browser.view(390, 844, mobile=True)
    browser.open(comparison.page)
    assert "0 of 24 images are identical" in browser.text("#answer")
    assert browser.texts("#config tbody td") == ["fp32", "bf16", "24"]
    browser.wait("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert browser.problems == []


def luminance(colour):
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)
