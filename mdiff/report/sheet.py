"""Contact sheets as PNG, for a paper or a chat: labelled, paged by what the two axes do not show, capped in pixels."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from mdiff.report.grid import Grid, Item
from mdiff.report.raster import read_rgb
from mdiff.report.record import Cell

MAX_PIXELS = 16_000_000
MAX_PAGES = 12
MAX_TILE, MIN_TILE = 256, 24
MAX_LINES = 100  # rows or columns of a page: with the smallest tiles, what the cap has room for
GAP = 6
FONT_SIZE = 15

_PAPER, _INK, _FAULT = (255, 255, 255), (20, 20, 20), (160, 20, 20)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Page(NamedTuple):
    """One page: what it holds constant, its rows and columns, and the images in their places."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    items: Mapping[tuple[str, str], Item]


def write_sheets(folder: Path, cells: Sequence[Cell], grid: Grid, most: int) -> tuple[list[Path], int]:
    """Write `contact_000.png`, …, at most `most`; return them and how many more there would have been.

    Pages that an earlier, longer report left are removed.
    """
    pages = lay_out(grid)
    paths = [folder / f"contact_{number:03d}.png" for number in range(min(len(pages), most))]
    for path, page in zip(paths, pages, strict=False):
        temporary = path.with_name(f".{path.name}")
        draw_page(cells, grid, page).save(temporary, "PNG", compress_level=4)
        temporary.replace(path)
    for path in folder.glob("contact_[0-9][0-9][0-9].png"):
        if path not in paths:
            path.unlink()
    return paths, len(pages) - len(paths)


def lay_out(grid: Grid) -> list[Page]:
    """Return the pages of a contact sheet: a page for each combination of what the axes do not show."""
    rows, columns = _values(grid, grid.row), _values(grid, grid.column)
    others = [key for key in grid.keys if key.name not in (grid.row, grid.column)]
    by_page: dict[tuple[str, ...], dict[tuple[str, str], Item]] = {}
    for item in grid.items:
        values = tuple(item.values[grid.index(key.name)] for key in others)
        place = _value(grid, item, grid.row), _value(grid, item, grid.column)
        by_page.setdefault(values, {}).setdefault(place, item)
    position = [{value: at for at, value in enumerate(key.values)} for key in others]
    pages = []
    for values in sorted(by_page, key=lambda values: [at[value] for at, value in zip(position, values, strict=True)]):
        title = "   ".join(f"{key.name}: {value}" for key, value in zip(others, values, strict=True))
        for top, left in itertools.product(range(0, len(rows), MAX_LINES), range(0, len(columns), MAX_LINES)):
            band = rows[top : top + MAX_LINES], columns[left : left + MAX_LINES]
            pages.append(Page(title, *band, by_page[values]))
    return pages


def draw_page(cells: Sequence[Cell], grid: Grid, page: Page) -> Image.Image:
    """Draw one page as an RGB image of at most `MAX_PIXELS`."""
    title, rows, columns, items = page
    font = _font()
    line = FONT_SIZE + 6
    titled = [f"{name} ↓" for name in (grid.row,) if name] + [f"{name} →" for name in (grid.column,) if name]
    margin = _margin(font, [*rows, "   ".join(titled)])
    head = line * (2 if title else 1)
    tile = _tile(cells, items, margin, head, len(rows), len(columns))
    step = tile + GAP
    canvas = Image.new("RGB", (margin + step * len(columns) + GAP, head + step * len(rows) + GAP), _PAPER)
    draw = ImageDraw.Draw(canvas)
    if title:
        draw.text((GAP, 3), _fit(draw, font, title, canvas.width - 2 * GAP), _INK, font)
    draw.text((GAP, head - line), _fit(draw, font, "   ".join(titled), margin - 2 * GAP), _INK, font)
    for number, value in enumerate(columns):
        draw.text((margin + step * number, head - line), _fit(draw, font, value, tile), _INK, font)
    for number, value in enumerate(rows):
        y = head + step * number + tile // 2 - line // 2
        draw.text((GAP, y), _fit(draw, font, value, margin - 2 * GAP), _INK, font)
    for (down, row), (right, column) in itertools.product(enumerate(rows), enumerate(columns)):
        item = items.get((row, column))
        if item is not None:
            _paste(canvas, draw, font, cells[item.cell], item, (margin + step * right, head + step * down, tile))
    return canvas


def _paste(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: Font,
    cell: Cell,
    item: Item,
    place: tuple[int, int, int],
) -> None:
    x, y, tile = place
    path = None if item.picture is None else cell.pictures[item.picture].path
    fault = cell.status if cell.status != "complete" else "no image"
    if path is not None:
        try:
            image = read_rgb(path)
        except ValueError:
            fault = "unreadable"
        else:
            image.thumbnail((tile, tile), Image.Resampling.LANCZOS)
            canvas.paste(image, (x + (tile - image.width) // 2, y + (tile - image.height) // 2))
            return
    draw.rectangle((x, y, x + tile - 1, y + tile - 1), outline=_FAULT)
    draw.text((x + 4, y + tile // 2 - FONT_SIZE // 2), _fit(draw, font, fault, tile - 8), _FAULT, font)


def _tile(
    cells: Sequence[Cell], items: Mapping[tuple[str, str], Item], margin: int, head: int, rows: int, columns: int
) -> int:
    """Side of a tile: as large as the images, within `MAX_TILE`, and small enough for the whole page's cap."""
    sides = [
        max(picture.width or MAX_TILE, picture.height or MAX_TILE)
        for item in items.values()
        if item.picture is not None
        for picture in [cells[item.cell].pictures[item.picture]]
    ]
    tile = max(64, min(MAX_TILE, max(sides, default=MAX_TILE)))
    while tile > MIN_TILE and (margin + (tile + GAP) * columns + GAP) * (head + (tile + GAP) * rows + GAP) > MAX_PIXELS:
        tile -= 4
    return tile


def _values(grid: Grid, name: str | None) -> tuple[str, ...]:
    return ("",) if name is None else grid.keys[grid.index(name)].values


def _value(grid: Grid, item: Item, name: str | None) -> str:
    return "" if name is None else item.values[grid.index(name)]


def _font() -> Font:
    for name in ("DejaVuSans.ttf", "Arial.ttf"):
        try:
            return ImageFont.truetype(name, FONT_SIZE)
        except OSError:
            continue
    return ImageFont.load_default(FONT_SIZE)


def _margin(font: Font, labels: Sequence[str]) -> int:
    return int(min(280, max(font.getlength(_line(label)) for label in labels))) + 3 * GAP


def _fit(draw: ImageDraw.ImageDraw, font: Font, text: str, width: float) -> str:
    """Cut a label to a width; line breaks become spaces."""
    text = _line(text)
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"


def _line(text: str) -> str:
    """Return a label in one line that a font can measure: no control characters, no lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in text[:120])
