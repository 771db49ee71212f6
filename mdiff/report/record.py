"""Reading the cells below a folder; a record may come from anywhere, so nothing in it is believed."""

import functools
import json
import math
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_RECORD_BYTES = 4 << 20
MAX_CELLS = 20_000
MAX_DEPTH = 4
MAX_TEXT = 20_000
MAX_IMAGES = 256
MAX_LEAVES = 2000
MAX_NESTING = 12

STATUSES = ("complete", "failed")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][\w.\-]{0,120}\.png")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Picture:
    """One image that a record names; `path` is None where the file is missing or lies outside its cell."""

    file: str
    path: Path | None
    prompt: str
    negative_prompt: str
    seed: int | None
    width: int | None
    height: int | None
    sha256: str


@dataclass(frozen=True)
class Cell:
    """One folder of results: `status` is complete, failed, unreadable or unfinished; `error` says why."""

    name: str
    folder: Path
    status: str
    error: str
    record: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()

    @functools.cached_property
    def settings(self) -> Mapping[str, str]:
        """What was requested, as text, under dotted names."""
        return leaves(self.mapping("requested"))

    def number(self, *keys: str) -> float | None:
        """Return the finite number at this place of the record, else None."""
        value = _at(self.record, keys)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            return value if math.isfinite(value) else None
        except OverflowError:  # an integer beyond any float
            return None

    def text(self, *keys: str) -> str:
        """Return the text at this place of the record, cut where it is very long; empty where there is none."""
        value = _at(self.record, keys)
        return "" if value is None or isinstance(value, (dict, list)) else shorten(str(value))

    def mapping(self, *keys: str) -> dict[str, Any]:
        """Return the mapping at this place of the record, else an empty one."""
        value = _at(self.record, keys)
        return value if isinstance(value, dict) else {}

    def texts(self, *keys: str) -> list[str]:
        """Return the list of texts at this place of the record, else an empty one."""
        value = _at(self.record, keys)
        if not isinstance(value, list):
            return []
        return [shorten(str(entry)) for entry in value[:MAX_IMAGES]]


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Cut a text that no page should carry whole, and say how much is missing."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def leaves(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the leaves of a nested config as text, under dotted names."""
    return {name: display(value) for name, value in flatten(config).items()}


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a nested config under dotted names; a list is one leaf, as JSON text."""
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [("", config, 0)]
    while stack and len(found) < MAX_LEAVES:
        prefix, value, depth = stack.pop()
        if isinstance(value, dict) and value and depth < MAX_NESTING:
            stack += [(f"{prefix}.{key}" if prefix else str(key), value[key], depth + 1) for key in reversed(value)]
        elif prefix:
            found[sys.intern(shorten(prefix, 200))] = (
                value if not isinstance(value, (dict, list)) else json.dumps(value)
            )
    return found


def display(value: Any) -> str:
    """Return a config value as YAML would write it, so that 5 and 5.0 are one value."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return shorten(str(value))


def natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key under which ``steps=9`` comes before ``steps=10``."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", text)
    return [(0, float(part), "") if re.fullmatch("[0-9]{1,18}", part) else (1, 0.0, part) for part in parts]


def read_cells(folder: Path) -> tuple[list[Cell], bool]:
    """Return every cell in or below `folder` in natural order, and whether the list was cut at `MAX_CELLS`."""
    cells: list[Cell] = []
    for place in _walk(folder, 0):
        if len(cells) == MAX_CELLS:
            return sorted(cells, key=lambda cell: natural(cell.name)), True
        cells.append(read_cell(place, folder))
    return sorted(cells, key=lambda cell: natural(cell.name)), False


def read_cell(place: Path, root: Path) -> Cell:
    """Read one cell; a record that cannot be used becomes a cell whose error says so."""
    relative = place.relative_to(root).as_posix()
    name = place.name if relative == "." else relative
    path = place / "record.json"
    if not os.path.lexists(path):
        return Cell(name, place, "unfinished", "no record.json: still running, or interrupted")
    try:
        record = load_json(path, MAX_RECORD_BYTES)
    except (OSError, ValueError, RecursionError) as error:
        return Cell(name, place, "unreadable", f"record.json: {_reason(error)}")
    if not isinstance(record, dict):
        return Cell(name, place, "unreadable", "record.json: not a JSON object")
    status = record.get("status")
    if status not in STATUSES:
        return Cell(name, place, "unreadable", f"record.json: status is {shorten(repr(status), 80)}")
    cell = Cell(name, place, status, "", record, tuple(_pictures(record, place)))
    if status == "complete":
        return cell
    kind, message = cell.text("error", "type"), cell.text("error", "message")
    error_text = ": ".join(part for part in (kind, message) if part and part != "MdiffError")
    return Cell(name, place, status, error_text if error_text else "failed without a reason", record, cell.pictures)


def load_json(path: Path, limit: int) -> Any:
    """Parse a regular file of at most `limit` bytes; NaN and Infinity, which JSON does not have, become None."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > limit:
        raise ValueError(f"{status.st_size} bytes, more than the {limit} that a record may have")
    with path.open("rb") as stream:
        data = stream.read(limit + 1)
    return json.loads(data.decode("utf-8"), parse_constant=lambda _: None)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders that hold a record, and leaf folders that hold the traces of a cell without one."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: natural(entry.name))
    except OSError:
        return
    names = {entry.name for entry in entries}
    if "record.json" in names:
        yield folder
        return
    found = False
    if depth < MAX_DEPTH:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                for place in _walk(folder / entry.name, depth + 1):
                    found = True
                    yield place
    if not found and depth > 0 and any(name == "config.yaml" or _IMAGE_NAME.fullmatch(name) for name in names):
        yield folder


def _pictures(record: Mapping[str, Any], place: Path) -> Iterator[Picture]:
    images = record.get("images")
    for entry in (images if isinstance(images, list) else [])[:MAX_IMAGES]:
        if isinstance(entry, dict):
            yield _picture(entry, place)


def _picture(entry: Mapping[str, Any], place: Path) -> Picture:
    file = entry.get("file")
    path = None
    if isinstance(file, str) and _IMAGE_NAME.fullmatch(file):
        path = place / file
        if path.is_symlink() or not path.is_file():
            path = None
    sha256 = entry.get("sha256")
    return Picture(
        file=shorten(file, 200) if isinstance(file, str) else "",
        path=path,
        prompt=_text(entry.get("prompt")),
        negative_prompt=_text(entry.get("negative_prompt")),
        seed=_integer(entry.get("seed")),
        width=_integer(entry.get("width")),
        height=_integer(entry.get("height")),
        sha256=sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else "",
    )


def _at(record: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _text(value: Any) -> str:
    return shorten(value) if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64 else None


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON (line {error.lineno}, column {error.colno})"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError):
        return str(error.strerror)
    return str(error)
