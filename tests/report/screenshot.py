"""The README's picture of a report: two views of the page, one below the other, from a real Chromium.

python -m tests.report.screenshot outputs/guide/fewer_steps mdiff/report/example.png
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from mdiff.report import build
from tests.report.chromium import PROGRAM, Chromium

WIDTH = 900


def take(folder: Path, target: Path) -> None:
    """Write the picture of the report of `folder`: its images, then speed against fidelity."""
    if PROGRAM is None:
        raise SystemExit("a screenshot needs Chromium")
    page = build(folder, rows="seed", columns="steps", sheets=0)
    browser = Chromium()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            parts = []
            for name, first, last in (("images", "header", ".sheet"), ("plot", ".tabs", "#legend")):
                browser.view(WIDTH, 1600)
                browser.open(page, f"#tab={name}")
                browser.wait("[...document.images].every(image => image.complete)")
                top = browser.evaluate(f"document.querySelector('{first}').getBoundingClientRect().top")
                bottom = browser.evaluate(f"document.querySelector('{last}').getBoundingClientRect().bottom")
                shot = Path(scratch) / f"{name}.png"
                browser.screenshot(shot)
                with Image.open(shot) as opened:
                    parts.append(opened.convert("RGB").crop((0, int(top) - 12, WIDTH, int(bottom) + 2)))
    finally:
        browser.close()
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)), "white")
    y = 0
    for part in parts:
        whole.paste(part, (0, y))
        y += part.height
    whole.quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
