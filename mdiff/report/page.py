"""The page: everything that was read, as data that the page's script draws; no text of a record becomes markup."""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mdiff.report.cache import Cache, Seen
from mdiff.report.command import replay_command
from mdiff.report.grid import Grid
from mdiff.report.index import MEMORY, TIMES, seconds_per_image
from mdiff.report.measure import Fidelity
from mdiff.report.record import Cell, Picture, display, shorten

SCRIPTS = ("state.js", "sheet.js", "detail.js", "plot.js", "table.js", "main.js")
_MAX_VALUE = 4000
_MAX_STEPS = 1000
_OF_STEP = ("image", "row", "timestep", "rows")


def asset(name: str) -> str:
    """Return one of the page's own files."""
    return resources.files("mdiff.report").joinpath("asset", name).read_text("utf-8")


def render(title: str, body: str, data: Any = None, scripts: Sequence[str] = ()) -> Iterator[str]:
    """Yield, in parts, an HTML document that loads nothing: style, script and data are inside, and a policy says so.

    `body` is markup of this package; `title` and `data` may hold anything.
    """
    style = asset("style.css")
    script = "".join(asset(name) for name in scripts)
    script = f'"use strict";\n{script}' if script else ""
    policy = (
        "default-src 'none'; img-src data: 'self' file:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "body": body,
        "script": script,
    }
    # In one pass, so that a brace in a title is not taken for a place to fill.
    for number, part in enumerate(re.split(r"\{(\w+)\}", asset("page.html"))):
        if number % 2 == 0:
            yield part
        elif part == "data":
            yield from in_parts(data)
        else:
            yield parts[part]


def in_parts(data: Any) -> Iterator[str]:
    """Yield `to_script(data)`; of a mapping's lists each entry by itself, since those of a long sweep are long."""
    if not isinstance(data, dict):
        yield to_script(data)
        return
    for number, (key, value) in enumerate(data.items()):
        yield f"{',' if number else '{'}{to_script(key)}:"
        if isinstance(value, list) and value:
            for place, entry in enumerate(value):
                yield ("," if place else "[") + to_script(entry)
            yield "]"
        else:
            yield to_script(value)
    yield "}" if data else "{}"


def to_script(data: Any) -> str:
    """Return JSON that may stand inside a script element: ASCII, and no angle bracket that could close it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def link(path: Path, out: Path) -> str:
    """Return the relative, percent-encoded address of a file, seen from the page's folder."""
    return quote(os.fsencode(os.path.relpath(path, out)), safe="/")


def page_data(
    title: str,
    out: Path,
    cells: Sequence[Cell],
    grid: Grid,
    fidelity: Fidelity,
    seen: Mapping[Path, Seen],
    cache: Cache,
    *,
    side: int,
    notices: Sequence[str],
    written: str,
) -> dict[str, Any]:
    """Return what the page's script draws; settings that all cells share are held once."""
    configs = [{name: shorten(value, _MAX_VALUE) for name, value in cell.settings.items()} for cell in cells]
    readable = [config for config in configs if config]
    common = {
        name: value for name, value in (readable[0] if readable else {}).items() if _shared(readable, name, value)
    }
    pool = _Pool()
    return {
        "title": title,
        "written": written,
        "notices": list(notices),
        "keys": [{"name": key.name, "values": key.values, "numeric": key.numeric} for key in grid.keys],
        "row": grid.row,
        "column": grid.column,
        "common": common,
        "shared": pool.values,
        "cells": [_cell(cell, config, common, pool, out) for cell, config in zip(cells, configs, strict=True)],
        "items": _items(cells, grid, fidelity, seen, cache, side, out),
        "references": fidelity.references,
        "chosen": [sorted(reference.values()) for reference in fidelity.chosen],
        "pairs": {"all": fidelity.pairs, "missing": fidelity.missing, "left_out": fidelity.left_out},
        "times": TIMES,
        "memory": MEMORY,
    }


def shown(value: Any) -> str:
    """Return a config value as text for the page."""
    return shorten(display(value), _MAX_VALUE)


class _Pool:
    """Values that many cells share, such as versions, held once and referred to by position."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._at: dict[Hashable, int] = {}

    def add(self, value: dict[str, str]) -> int:
        key = tuple(value.items())
        if key not in self._at:
            self._at[key] = len(self.values)
            self.values.append(value)
        return self._at[key]


def _cell(cell: Cell, config: Mapping[str, str], common: Mapping[str, str], pool: _Pool, out: Path) -> dict[str, Any]:
    return {
        "name": cell.name,
        "folder": link(cell.folder, out),
        "status": cell.status,
        "error": cell.error,
        "config": {name: value for name, value in config.items() if common.get(name) != value},
        "without": [name for name in common if name not in config],
        "device": cell.text("effective", "device"),
        "precision": [cell.text("effective", "precision", name) for name in ("weights", "compute", "vae")],
        "scheduler": cell.text("effective", "scheduler"),
        "timesteps": ", ".join(text.removesuffix(".0") for text in cell.texts("effective", "timesteps")),
        "evaluations": cell.number("effective", "evaluations"),
        "batch": cell.number("effective", "batch"),
        "seconds": seconds_per_image(cell),
        "substitutions": cell.texts("effective", "substitutions"),
        "times": [cell.number("timing", name) for name in TIMES],
        "memory": [cell.number("memory", name) for name in MEMORY],
        "profile": _profile(cell),
        "fingerprint": cell.text("fingerprint"),
        "weights": pool.add(_strings(cell.mapping("weights"))),
        "versions": pool.add(_strings(cell.mapping("versions"))),
        "git": pool.add(_strings(cell.mapping("git"))),
        "record": link(cell.folder / "record.json", out) if cell.record else "",
    }


def _profile(cell: Cell) -> dict[str, list[tuple[str, float]]]:
    """What a profiled run measured: seconds by component, and of each evaluation; empty for every other run."""
    components = [(name, cell.number("profile", "components", name)) for name in cell.mapping("profile", "components")]
    found = cell.mapping("profile").get("steps")  # each read as a cell is: nothing in it is believed
    steps = [Cell("", cell.folder, "", "", step) for step in found[:_MAX_STEPS]] if isinstance(found, list) else []
    return {
        "components": [(shorten(name, 80), seconds) for name, seconds in components if seconds is not None],
        "steps": [(_step(step), seconds) for step in steps if (seconds := step.number("seconds")) is not None],
    }


def _step(step: Cell) -> str:
    return ", ".join(f"{name} {display(value)}" for name in _OF_STEP if (value := step.number(name)) is not None)


def _items(
    cells: Sequence[Cell],
    grid: Grid,
    fidelity: Fidelity,
    seen: Mapping[Path, Seen],
    cache: Cache,
    side: int,
    out: Path,
) -> list[dict[str, Any]]:
    position = [{value: at for at, value in enumerate(key.values)} for key in grid.keys]
    items = []
    for index, item in enumerate(grid.items):
        cell = cells[item.cell]
        picture = None if item.picture is None else cell.pictures[item.picture]
        entry: dict[str, Any] = {
            "cell": item.cell,
            "prompt": item.prompt,
            "negative": item.negative_prompt,
            "seed": item.seed,
            "size": item.size,
            "values": [at[value] for at, value in zip(position, item.values, strict=True)],
        }
        if picture is not None:
            found = None if picture.path is None else seen[picture.path]
            entry |= _picture(picture, found, cache, side, out, cell.mapping("requested", "model"))
        entry["distance"] = {
            str(number): distances[index] for number, distances in enumerate(fidelity.distances) if index in distances
        }
        items.append(entry)
    return items


def _picture(
    picture: Picture, seen: Seen | None, cache: Cache, side: int, out: Path, model: Mapping[str, Any]
) -> dict[str, Any]:
    if picture.path is None or seen is None:
        return {"file": picture.file, "fault": f"{picture.file} is missing", "sha256": picture.sha256}
    entry = {
        "file": picture.file,
        "href": link(picture.path, out),
        "command": replay_command(picture.path, model),
        "sha256": seen.sha256,
        "thumb": cache.thumbnail(seen, side),
    }
    if seen.error:
        return {**entry, "fault": seen.error}
    if picture.sha256 and picture.sha256 != seen.sha256:
        return {**entry, "changed": True}
    return entry


def _strings(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {shorten(str(name), 200): shown(value) for name, value in list(mapping.items())[:64]}


def _shared(configs: Sequence[Mapping[str, str]], name: str, value: str) -> bool:
    return all(config.get(name) == value for config in configs)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
