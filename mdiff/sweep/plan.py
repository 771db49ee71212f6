"""`dry_run=true`: what would run, what is done already, and what it would cost by this machine's earlier records."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mdiff.run.job import Job
from mdiff.run.plan import PlannedCell, plan
from mdiff.run.progress import duration
from mdiff.scheduler import Table
from mdiff.sweep.cells import Cells
from mdiff.sweep.summary import counted, said

CELLS_SHOWN = 40
RECORDS_READ = 200


def print_plan(cells: Cells) -> None:
    """Print the plan of a sweep; loads nothing and writes nothing."""
    planned = plan(cells.jobs)
    todo = [cell for cell in planned if cell.done is None]
    print(f"{counted(len(planned), 'cell')} in {cells.folder}: {len(planned) - len(todo)} done, {len(todo)} to do")
    for key in cells.varying:
        values = dict.fromkeys(_shown(job.varies.get(key)) for job in cells.jobs)
        print(f"  {key}: {', '.join(values)}")
    for cell in planned[:CELLS_SHOWN]:
        state = "done" if cell.done is not None else counted(cell.evaluations, "evaluation")
        print(f"  {cell.folder.name}  ({said(cell.job.varies)}): {counted(cell.images, 'image')}, {state}")
    if len(planned) > CELLS_SHOWN:
        print(f"  and {len(planned) - CELLS_SHOWN} more")
    _print_cost(todo, cells.folder.parent)


def print_run_plan(job: Job) -> None:
    """Print the plan of a single run, with its scheduler's table."""
    cell = plan([job])[0]
    print(f"{counted(cell.images, 'image')} of {job.width}×{job.height} in {cell.folder}")
    print(f"  model {cell.description.folder}, on {cell.device.name}, precision {cell.precision.compute}")
    for sentence in cell.precision.substitutions:
        print(f"  {sentence}")
    print(f"  {type(cell.scheduler).__name__}, {job.steps} steps, guidance {job.guidance:g}, seed {job.seed}")
    print(schedule_text(cell.table))
    _print_cost([cell], job.folder.parent.parent)


def schedule_text(table: Table) -> str:
    """Return a solver's schedule: row, step, timestep, sigma and noise of every network evaluation."""
    steps = int(table.step[-1]) + 1
    lines = [f"{len(table)} network evaluations for {steps} steps, from noise x {table.init_scale:.6g}"]
    lines.append(f"{'row':>5} {'step':>5} {'timestep':>10} {'sigma':>12}  noise")
    for i, (step, t, sigma, draw) in enumerate(zip(table.step, table.t, table.sigma, table.draw, strict=True)):
        lines.append(f"{i:>5} {step:>5} {float(t):>10.6g} {sigma:>12.6g}  {'drawn' if draw else '-'}")
    return "\n".join([*lines, f"{'end':>5} {'':>5} {'':>10} {table.end_sigma:>12.6g}"])


def _print_cost(todo: Sequence[PlannedCell], root: Path) -> None:
    evaluations, images = sum(cell.evaluations for cell in todo), sum(cell.images for cell in todo)
    print(f"{counted(images, 'image')}, {counted(evaluations, 'network evaluation')}")
    if not todo:
        return
    by_kind: dict[Any, list[_Earlier]] = {}
    for record in _earlier(root):
        by_kind.setdefault(record.kind, []).append(record)
    known = [(cell, by_kind[_kind(cell)]) for cell in todo if _kind(cell) in by_kind]
    if len(known) < len(todo):
        print("no earlier record of this machine tells what that takes" + (" for every cell" if known else ""))
    if known:
        # loading and compiling come once for each network, however many cells it serves
        kinds = {_kind(cell): records for cell, records in known}
        seconds = sum(_typical([record.start for record in records if record.start > 0]) for records in kinds.values())
        size = 0.0
        for cell, records in known:
            seconds += cell.evaluations * _typical([record.evaluation for record in records])
            seconds += cell.images * _typical([record.image for record in records])
            size += cell.images * _typical([record.bytes for record in records])
        print(f"about {duration(seconds)} and {_size(size)}, by earlier records below {root}")


@dataclass(frozen=True)
class _Earlier:
    """What an earlier record tells of costs: seconds to load and compile, of an evaluation, of the rest of an image."""

    kind: tuple[Any, ...]
    start: float
    evaluation: float
    image: float
    bytes: float


def _kind(cell: PlannedCell) -> tuple[Any, ...]:
    """What costs depend on: weights, size, guidance, device, precision."""
    unet = cell.description.digests().get("unet")
    return unet, cell.job.width, cell.job.height, cell.job.guidance > 1, cell.device.name, cell.precision.compute


def _earlier(root: Path) -> Iterator[_Earlier]:
    """The latest complete records below the output folder; what cannot be read does not count."""
    found = sorted(root.glob("*/*/record.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[:RECORDS_READ]:
        try:
            record = json.loads(path.read_bytes())
            if record["status"] == "complete":
                yield _read(record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            continue


def _read(record: Mapping[str, Any]) -> _Earlier:
    requested, effective, timing = record["requested"], record["effective"], record["timing"]
    made = len(record["images"])
    return _Earlier(
        (
            record["weights"]["unet"],
            requested["width"],
            requested["height"],
            requested["guidance"] > 1,
            effective["device"],
            effective["precision"]["compute"],
        ),
        float(timing["load_s"] + timing["compile_s"]),
        float(timing["denoise_s"] / (effective["evaluations"] * made)),
        float((timing["decode_s"] + timing["save_s"]) / made),
        float(sum(image["bytes"] for image in record["images"]) / made),
    )


def _typical(values: Sequence[float]) -> float:
    return median(values) if values else 0.0


def _shown(value: Any) -> str:
    plain = isinstance(value, str) and value.strip() and "," not in value
    text = value if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
