"""The page of a comparison: plain markup, every text escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from PIL import Image

from mdiff.report.raster import THUMBNAIL, amplified, read_rgb, thumbnail

if TYPE_CHECKING:
    from mdiff.report.comparison import Comparison, Pixels

MAX_SHOWN = 60
_MAX_NAMES = 200
TITLES = {
    "config": "Settings that differ",
    "status": "Cells that ended differently",
    "effective": "What was in effect and differs",
    "versions": "Versions that differ",
    "weights": "Weights that differ (sha256)",
    "git": "Code that differs",
}


def comparison_body(comparison: "Comparison", apart: Sequence["Pixels"]) -> str:
    """Return the markup of a comparison; `apart` are the images that differ, the furthest apart first."""
    same = sum(image.identical for image in comparison.images)
    sections = [
        "<header><h1>Comparison</h1>",
        f"<p>A: <code>{escape(str(comparison.a))}</code><br>B: <code>{escape(str(comparison.b))}</code></p>",
        f"<p id=answer>{len(comparison.matched)} cells in both; "
        f"{same} of {len(comparison.images)} images are identical.</p>",
        "</header><main>",
        _names("Only in A", comparison.only_a),
        _names("Only in B", comparison.only_b),
    ]
    for kind, found in comparison.differences.items():
        rows = [(name, a, b, str(count)) for name, a, b, count in found]
        sections.append(_table(kind, TITLES.get(kind, kind), ("", "A", "B", "cells"), rows))
    times = [
        (name.removesuffix("_s").replace("_", " "), f"{a:.4g} s", f"{b:.4g} s", f"{ratio:.2f}")
        for name, (a, b, ratio) in comparison.ratios.items()
    ]
    sections.append(_table("times", "Times, medians of the cells", ("", "A", "B", "B / A"), times))
    if apart:
        sections.append("<h2>Images that differ, the furthest apart first</h2>")
        sections += [_images(image) for image in apart[:MAX_SHOWN]]
        if len(apart) > MAX_SHOWN:
            sections.append(f"<p>{len(apart) - MAX_SHOWN} more are in compare.json.</p>")
    sections.append("</main>")
    return "\n".join(sections)


def _names(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    rest = f"<li>and {len(names) - _MAX_NAMES} more</li>" if len(names) > _MAX_NAMES else ""
    listed = "".join(f'<li dir="auto">{escape(name)}</li>' for name in names[:_MAX_NAMES])
    return f"<details><summary>{escape(title)}: {len(names)} cells</summary><ul>{listed}{rest}</ul></details>"


def _table(name: str, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td dir="auto">{escape(text)}</td>' for text in row[1:])
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    table = f'<table class="plain" id="{escape(name)}"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'
    return f'<h2>{escape(title)}</h2><div class="beside">{table}</div>'


def _images(image: "Pixels") -> str:
    title = f"<h3>{escape(image.cell)}/{escape(image.file)}: {escape(image.verdict)}</h3>"
    if image.error is None or image.a is None or image.b is None:
        return title
    a, b = read_rgb(image.a), read_rgb(image.b)
    figures = _figure("A", a) + _figure("B", b) + _figure("difference × 8", amplified(a, b))
    return f'{title}<div class="pair">{figures}</div>'


def _figure(name: str, picture: Image.Image) -> str:
    source = base64.b64encode(thumbnail(picture, THUMBNAIL)).decode("ascii")
    return (
        f'<figure><img alt="{escape(name)}" src="data:image/webp;base64,{source}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )
