"""Contact sheets as PNG, for a paper or a chat: labelled, paged by what the two axes do not show, capped in pixels."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from mdiff.report.grid import Grid, Item
from mdiff.report.raster import read_rgb
from mdiff.report.record import Cell

MAX_PIXELS = 16_000_000
MAX_PAGES = 12
MAX_TILE, SMALL_TILE, MIN_TILE = 256, 128, 24
MAX_LINES = 100  # rows or columns of a page: with the smallest tiles, what the cap has room for
GAP = 6
FONT_SIZE = 15
LINE = FONT_SIZE + 6
FLOW_COLUMNS, FLOW_ROWS, CAPTION_LINES = 8, 12, 3

_PAPER, _INK, _FAULT = (255, 255, 255), (20, 20, 20), (160, 20, 20)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Page(NamedTuple):
    """One page: what it holds constant, its rows and columns, and the images in their places.

    `captions` are below the images of a page that has no axes.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    items: Mapping[tuple[str, str], Item]
    captions: Mapping[tuple[str, str], str] = MappingProxyType({})


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
    """Return the pages of a contact sheet: a page for each combination of what the axes do not show.

    Where pages would hold an image or so, as when several runs lie in one folder, images follow each other instead.
    """
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
        rows = [value for value in _values(grid, grid.row) if any(row == value for row, _ in by_page[values])]
        columns = [
            value for value in _values(grid, grid.column) if any(column == value for _, column in by_page[values])
        ]
        for top, left in itertools.product(range(0, len(rows), MAX_LINES), range(0, len(columns), MAX_LINES)):
            band = rows[top : top + MAX_LINES], columns[left : left + MAX_LINES]
            pages.append(Page(title, *band, by_page[values]))
    return _flow(grid) if len(pages) > 1 and len(grid.items) < 2 * len(pages) else pages


def _flow(grid: Grid) -> list[Page]:
    """Images one after the other, each with the values of what varies below it."""
    names = [key.name for key in grid.keys if key.name != "cell"]
    pages = []
    for start in range(0, len(grid.items), FLOW_COLUMNS * FLOW_ROWS):
        part = grid.items[start : start + FLOW_COLUMNS * FLOW_ROWS]
        places = {(str(at // FLOW_COLUMNS), str(at % FLOW_COLUMNS)): item for at, item in enumerate(part)}
        captions = {
            place: " · ".join(text for name in names if (text := item.values[grid.index(name)]))
            for place, item in places.items()
        }
        rows = list(dict.fromkeys(row for row, _ in places))
        columns = [str(at) for at in range(min(FLOW_COLUMNS, len(part)))]
        pages.append(Page(", ".join(names), rows, columns, places, captions))
    return pages


def draw_page(cells: Sequence[Cell], grid: Grid, page: Page) -> Image.Image:
    """Draw one page as an RGB image of at most `MAX_PIXELS`."""
    title, rows, columns, items, captions = page
    font = _font()
    titled = [f"{name} ↓" for name in (grid.row,) if name] + [f"{name} →" for name in (grid.column,) if name]
    corner = "" if captions else "   ".join(titled)
    margin = GAP if captions else _margin(font, [*rows, corner])
    head = LINE * ((1 if title else 0) + (0 if captions else 1)) + GAP
    below = CAPTION_LINES * LINE if captions else 0
    tile = _tile(cells, items, margin, head, len(rows), len(columns), below)
    across, down = tile + GAP, tile + GAP + below
    canvas = Image.new("RGB", (margin + across * len(columns) + GAP, head + down * len(rows) + GAP), _PAPER)
    draw = ImageDraw.Draw(canvas)
    if title:
        draw.text((GAP, 3), _fit(draw, font, title, canvas.width - 2 * GAP), _INK, font)
    if not captions:
        draw.text((GAP, head - LINE), _fit(draw, font, corner, margin - 2 * GAP), _INK, font)
        for number, value in enumerate(columns):
            draw.text((margin + across * number, head - LINE), _fit(draw, font, value, tile), _INK, font)
        for number, value in enumerate(rows):
            y = head + down * number + tile // 2 - LINE // 2
            draw.text((GAP, y), _fit(draw, font, value, margin - 2 * GAP), _INK, font)
    for (row_at, row), (column_at, column) in itertools.product(enumerate(rows), enumerate(columns)):
        item, place = items.get((row, column)), (margin + across * column_at, head + down * row_at)
        if item is not None:
            _paste(canvas, draw, font, cells[item.cell], item, (*place, tile))
        for number, text in enumerate(_wrapped(draw, font, captions.get((row, column), ""), tile, CAPTION_LINES)):
            draw.text((place[0], place[1] + tile + 2 + LINE * number), text, _INK, font)
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
            if max(image.size) > tile:
                image.thumbnail((tile, tile), Image.Resampling.LANCZOS)
            else:  # small ones by whole numbers, so that every pixel stays what it is
                times = tile // max(image.size)
                image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
            canvas.paste(image, (x + (tile - image.width) // 2, y + (tile - image.height) // 2))
            return
    draw.rectangle((x, y, x + tile - 1, y + tile - 1), outline=_FAULT)
    reason = f"{fault}: {cell.error}" if cell.error else fault
    for number, text in enumerate(_wrapped(draw, font, reason, tile - 8, max(1, (tile - 6) // LINE))):
        draw.text((x + 4, y + 3 + LINE * number), text, _FAULT, font)


def _wrapped(draw: ImageDraw.ImageDraw, font: Font, text: str, width: int, most: int) -> list[str]:
    """Break a text into at most `most` lines of a width; what has no room is cut."""
    lines: list[str] = []
    rest = " ".join(_line(text).split())
    while rest and len(lines) < most - 1 and draw.textlength(rest, font) > width:
        end = next(n for n in range(len(rest), 0, -1) if n == 1 or draw.textlength(rest[:n], font) <= width)
        space = rest.rfind(" ", 0, end + 1)
        end = space if space > 0 else end
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    return [*lines, _fit(draw, font, rest, width)] if rest else lines


def _tile(
    cells: Sequence[Cell],
    items: Mapping[tuple[str, str], Item],
    margin: int,
    head: int,
    rows: int,
    columns: int,
    below: int,
) -> int:
    """Side of a tile: that of the images or a multiple, and small enough for the whole page's cap."""
    sides = [
        max(picture.width or MAX_TILE, picture.height or MAX_TILE)
        for item in items.values()
        if item.picture is not None
        for picture in [cells[item.cell].pictures[item.picture]]
    ]
    side = max(1, max(sides, default=SMALL_TILE))
    tile = max(64, min(MAX_TILE, side * max(1, SMALL_TILE // side)))

    def page_pixels(tile: int) -> int:
        return (margin + (tile + GAP) * columns + GAP) * (head + (tile + GAP + below) * rows + GAP)

    while tile > MIN_TILE and page_pixels(tile) > MAX_PIXELS:
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
