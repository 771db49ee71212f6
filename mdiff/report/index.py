"""One row a cell, for a spreadsheet or a script: `index.csv` and `index.json`."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.report.fidelity import psnr
from mdiff.report.grid import Grid
from mdiff.report.measure import Fidelity
from mdiff.report.record import Cell
from mdiff.run.store import json_text

SCHEMA = 1
TIMES = ("load_s", "compile_s", "encode_s", "denoise_s", "decode_s", "save_s", "total_s")
MEMORY = ("peak_rss_mb", "device_peak_mb")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def make_rows(cells: Sequence[Cell], grid: Grid, fidelity: Fidelity) -> list[dict[str, Any]]:
    """Return a flat row for every cell; what varies comes first, and PSNR and SSIM are against the first reference."""
    members: dict[int, list[int]] = {}
    for index, item in enumerate(grid.items):
        members.setdefault(item.cell, []).append(index)
    return [_row(cell, members.get(number, []), grid, fidelity) for number, cell in enumerate(cells)]


def write_json(folder: str, rows: Sequence[Mapping[str, Any]], grid: Grid, reference: str) -> str:
    """Return the text of `index.json`; an infinite PSNR, which JSON has no number for, is null beside an mse of 0."""
    varies = [key.name for key in grid.keys]
    content = {"schema": SCHEMA, "folder": folder, "varies": varies, "reference": reference, "cells": rows}
    return json_text(content, json.JSONEncoder(default=str).encode) + "\n"


def write_csv(rows: Sequence[Mapping[str, Any]], grid: Grid) -> str:
    """Return the text of `index.csv`: what varies in columns of their own, lists joined by a semicolon."""
    names = [key.name for key in grid.keys]
    fields = [field for field in rows[0] if field != "varies"] if rows else ["cell"]
    columns = [f"config.{name}" if name in fields else name for name in names]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*fields[:2], *columns, *fields[2:]])
    for row in rows:
        values = [row["varies"].get(name) for name in names]
        writer.writerow(
            [_plain(value) for value in (*[row[f] for f in fields[:2]], *values, *[row[f] for f in fields[2:]])]
        )
    return stream.getvalue()


def seconds_per_image(cell: Cell) -> float | None:
    """Seconds that one image takes once the model is loaded and compiled: encode, denoise and decode."""
    parts = [cell.number("timing", name) for name in ("encode_s", "denoise_s", "decode_s")]
    known = [part for part in parts if part is not None]
    return sum(known) / len(cell.pictures) if known and cell.pictures and cell.status == "complete" else None


def _row(cell: Cell, members: Sequence[int], grid: Grid, fidelity: Fidelity) -> dict[str, Any]:
    varies: dict[str, str] = {}
    for position, key in enumerate(grid.keys):
        values = dict.fromkeys(grid.items[index].values[position] for index in members)
        if values:
            varies[key.name] = "; ".join(values)
    found = [fidelity.distances[0][index] for index in members if index in fidelity.distances[0]]
    error = sum(pair[0] for pair in found) / len(found) if found else None
    similarities = [pair[1] for pair in found if pair[1] is not None]
    noise = None if error is None else psnr(error)
    return {
        "cell": cell.name,
        "status": cell.status,
        "varies": varies,
        "images": len(cell.pictures),
        "device": cell.text("effective", "device"),
        "weights_precision": cell.text("effective", "precision", "weights"),
        "compute_precision": cell.text("effective", "precision", "compute"),
        "vae_precision": cell.text("effective", "precision", "vae"),
        "scheduler_class": cell.text("effective", "scheduler"),
        "evaluations": cell.number("effective", "evaluations"),
        "batch": cell.number("effective", "batch"),
        "seconds_per_image": seconds_per_image(cell),
        **{name: cell.number("timing", name) for name in TIMES},
        **{name: cell.number("memory", name) for name in MEMORY},
        "mse": error,
        "psnr_db": noise if noise is None or math.isfinite(noise) else None,
        "ssim": sum(similarities) / len(similarities) if similarities else None,
        "substitutions": cell.texts("effective", "substitutions"),
        "error": cell.error,
        "fingerprint": cell.text("fingerprint"),
    }


def _plain(value: Any) -> Any:
    """Return a CSV field; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, (list, tuple)):
        value = "; ".join(value)
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return "'" + value
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
