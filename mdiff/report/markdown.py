"""What a folder of results measured, as a Markdown table: a row for each setting, the mean of its images."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from mdiff.report.cache import Cache
from mdiff.report.compose import load_cells
from mdiff.report.fidelity import psnr
from mdiff.report.grid import Grid, make_grid
from mdiff.report.index import seconds_per_image
from mdiff.report.measure import Fidelity, measure
from mdiff.report.raster import SMALL_THUMBNAIL
from mdiff.report.record import Cell

HEAD = ("run", "setting", "evaluations", "seconds an image", "PSNR, dB", "SSIM")
EMPTY = "''"


def markdown(folder: str | Path) -> str:
    """Return the table of the complete cells below `folder`, each run or sweep in it measured for itself.

    Distances are to the most evaluations at the highest precision of the same run, prompt and seed.
    """
    folder = Path(folder)
    runs: dict[str, list[Cell]] = {}
    for cell in load_cells(folder)[0]:
        if cell.status == "complete":
            above = cell.folder.relative_to(folder).parent.as_posix()
            runs.setdefault(folder.resolve().name if above == "." else above, []).append(cell)
    cache = Cache(folder)
    rows = [row for run, cells in runs.items() for row in _rows(run, cells, cache)]
    lines = [HEAD, tuple("---:" if at > 1 else "---" for at in range(len(HEAD))), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(run: str, cells: Sequence[Cell], cache: Cache) -> list[tuple[str, ...]]:
    grid = make_grid(cells)
    paths = [picture.path for cell in cells for picture in cell.pictures if picture.path is not None]
    fidelity = measure(cells, grid, cache.look(paths, SMALL_THUMBNAIL), cache)
    settings: dict[str, list[int]] = {}
    for index in range(len(grid.items)):
        settings.setdefault(_setting(grid, index), []).append(index)
    return [(_text(run), setting, *_figures(cells, grid, fidelity, members)) for setting, members in settings.items()]


def _setting(grid: Grid, index: int) -> str:
    """What varies about an image, besides its seed."""
    values = zip(grid.keys, grid.items[index].values, strict=True)
    words = [f"{key.name}={value or EMPTY}" for key, value in values if key.name not in ("seed", "cell")]
    return " ".join(f"`{_text(word)}`" for word in words)


def _figures(cells: Sequence[Cell], grid: Grid, fidelity: Fidelity, members: Sequence[int]) -> tuple[str, ...]:
    made = [cells[grid.items[index].cell] for index in members]
    evaluations = [value for cell in made if (value := cell.number("effective", "evaluations")) is not None]
    seconds = [value for cell in made if (value := seconds_per_image(cell)) is not None]
    best = set(fidelity.chosen[0].values())
    found = [fidelity.distances[0][index] for index in members if index in fidelity.distances[0]]
    similar = [similarity for _, similarity in found if similarity is not None]
    if len(best) == len(grid.items):
        distance = ("", "")  # nothing has another of its prompt and seed to be measured against
    elif best.issuperset(members):
        distance = ("reference", "")
    elif found:
        error = fmean(error for error, _ in found)
        distance = ("identical" if error == 0 else f"{psnr(error):.1f}", f"{fmean(similar):.4f}" if similar else "")
    else:
        distance = ("", "")
    return (
        f"{fmean(evaluations):g}" if evaluations else "",
        f"{fmean(seconds):.2f}" if seconds else "",
        *distance,
    )


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")
