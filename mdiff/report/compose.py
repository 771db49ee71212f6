"""From a folder of cells to its page and tables."""

from datetime import datetime
from pathlib import Path

from mdiff.errors import MdiffError, nearest
from mdiff.report import index
from mdiff.report.cache import Cache, write_atomically
from mdiff.report.grid import Grid, make_grid
from mdiff.report.measure import measure
from mdiff.report.page import SCRIPTS, asset, page_data, render
from mdiff.report.raster import SMALL_THUMBNAIL, THUMBNAIL
from mdiff.report.record import MAX_CELLS, Cell, read_cells
from mdiff.report.sheet import MAX_PAGES, write_sheets

PAGE = "report.html"
REFRESH_SECONDS = 1.0
_MANY_IMAGES = 2000


def build(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    rows: str | None = None,
    columns: str | None = None,
    reference: str | None = None,
    sheets: int = MAX_PAGES,
    seconds: float | None = None,
) -> Path:
    """Write `report.html`, `index.csv`, `index.json` and contact sheets of the cells below `folder`; return the page.

    `out` is where they go (default: `folder` itself). `rows` and `columns` are the keys that the contact sheet starts
    with, `reference` a setting such as ``"scheduler=heun steps=50"`` to measure distances from, `sheets` the most
    pages of contact sheets, `seconds` a limit on the time for measuring. MdiffError where `folder` holds no cell or a
    key does not exist.
    """
    folder = Path(folder)
    target = folder if out is None else Path(out)
    cells, cut = load_cells(folder)
    grid = _with_axes(make_grid(cells), rows, columns)
    cache = Cache(target)
    paths = [picture.path for cell in cells for picture in cell.pictures if picture.path is not None]
    side = THUMBNAIL if len(paths) <= _MANY_IMAGES else SMALL_THUMBNAIL
    try:
        target.mkdir(parents=True, exist_ok=True)
        seen = cache.look(paths, side)
        fidelity = measure(cells, grid, seen, cache, prefer=reference, seconds=seconds)
        table = index.make_rows(cells, grid, fidelity)
        notices = [f"only the first {MAX_CELLS} cells are shown"] if cut else []
        written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        name = folder.resolve().name
        data = page_data(name, target, cells, grid, fidelity, seen, cache, side=side, notices=notices, written=written)
        page = target / PAGE
        write_atomically(target / "index.csv", index.write_csv(table, grid))
        write_atomically(target / "index.json", index.write_json(name, table, grid, fidelity.references[0]))
        write_atomically(page, render(f"{name} — mdiff report", asset("body.html"), data, SCRIPTS))
        if sheets:
            write_sheets(target, cells, grid, sheets)
        cache.save()
    except OSError as error:
        raise MdiffError(f"cannot write the report to {target}: {error.strerror}") from error
    return page


def refresh(folder: str | Path) -> Path:
    """Bring the page and the tables up to date while a sweep runs: only what is new is read, and no contact sheet."""
    return build(folder, sheets=0, seconds=REFRESH_SECONDS)


def load_cells(folder: Path) -> tuple[list[Cell], bool]:
    """Return the cells of a folder and whether there were too many; MdiffError where there are none."""
    if not folder.is_dir():
        raise MdiffError(f"{folder} is not a folder; give one that `python -m mdiff` wrote, such as outputs/<name>")
    cells, cut = read_cells(folder)
    if not cells:
        raise MdiffError(
            f"{folder} holds no results: there is no record.json in it or below; "
            "give a folder that `python -m mdiff` wrote, such as outputs/<name>"
        )
    return cells, cut


def _with_axes(grid: Grid, rows: str | None, columns: str | None) -> Grid:
    names = [key.name for key in grid.keys]
    for option, name in (("--rows", rows), ("--columns", columns)):
        if name is not None and name not in names:
            raise MdiffError(f"{option} {name}: no such key varies here{nearest(name, names)}")
    row = grid.row if rows is None else rows
    column = grid.column if columns is None else columns
    if row == column and row is not None:
        # The axis that was not asked for gives way.
        free = next((name for name in (grid.row, grid.column, *names) if name is not None and name != row), None)
        row, column = (row, free) if rows is not None else (free, column)
    return Grid(grid.keys, grid.items, row, column)
