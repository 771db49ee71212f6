"""Folder names of cells: a slug of what varies, for people, and a hash of what decides the pixels, for certainty."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mdiff.config.schema import CONDUCT
from mdiff.model import Memory
from mdiff.run.job import Job

SLUG_BYTES = 40
HASH_LENGTH = 8
# Overrides that do not change a cell's pixels and so have no place in its name.
UNNAMED = (*CONDUCT, "output", "device.id", "hydra")

_USUAL: dict[str, Any] = {
    "memory": asdict(Memory()),
    "guidance_rescale": 0,
    "guidance_interval": None,
    "on_oom": [],
    "on_nan": [],
}


def identity(job: Job, extra: Mapping[str, Any] | None = None) -> str:
    """Return a short hash of everything in the config that decides the cell's pixels.

    `extra` tells apart cells that differ on purpose in something else (a sweep over `engine.batch`).
    """
    decisive = {key: value for key, value in job.requested.items() if key not in (*CONDUCT, "output", "engine")}
    decisive["device"] = {"kind": job.device}
    for key, usual in _USUAL.items():  # names of cells are what they were before these keys were there
        if decisive.get(key, usual) == usual:
            decisive.pop(key, None)
    model = decisive.get("model")
    if isinstance(model, Mapping):
        decisive["model"] = {key: value for key, value in model.items() if (key, value) != ("keep", "all")}
    text = json.dumps([decisive, dict(extra) if extra else {}], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


def named(key: str) -> bool:
    """Whether a config key belongs in a cell's name."""
    return not any(key == each or key.startswith((each + ".", each + "/")) for each in UNNAMED)


def slug(varies: Mapping[str, Any]) -> str:
    """Return `scheduler=heun,steps=10` in at most 40 bytes that are safe in any folder and on any command line."""
    words = [f"{_safe(key.rpartition('.')[2])}={_safe(value)}" for key, value in varies.items() if named(key)]
    return _cut(",".join(words))


def stable_name(varies: Mapping[str, Any]) -> str:
    """Return a cell's name that depends on nothing but what varies; a hash of just that where the slug is shortened."""
    words = slug(varies)
    if words == ",".join(f"{key}={value}" for key, value in varies.items()):
        return words
    text = json.dumps(dict(varies), sort_keys=True, ensure_ascii=False)
    return f"{words}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:HASH_LENGTH]}"


def cell_name(job: Job, varies: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> str:
    """Return the folder name of a sweep's cell; two cells share it only if their pixels are the same."""
    words = slug(varies)
    return f"{words}-{identity(job, extra)}" if words else f"cell-{identity(job, extra)}"


def present(root: Path) -> dict[str, str]:
    """Return the names below a sweep's folder by the hash that they end with, none where it is not there yet."""
    return {each.name[-HASH_LENGTH:]: each.name for each in sorted(root.iterdir())} if root.is_dir() else {}


def place(root: Path, name: str, there: Mapping[str, str]) -> Path:
    """Return the cell's folder below `root`: one that is there under the same hash, whatever its slug, or `name`."""
    return root / there.get(name[-HASH_LENGTH:], name)


def _safe(value: Any) -> str:
    if value is None:
        return "null"
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "+".join(_safe(each) for each in value)
    if isinstance(value, Mapping):
        return "+".join(f"{_safe(key)}-{_safe(each)}" for key, each in value.items())
    text = unicodedata.normalize("NFC", str(value))
    text = "".join(letter if letter.isalnum() or letter in "._-+" else "-" for letter in text)
    return re.sub(r"-{2,}", "-", text).strip("-.")


def _cut(text: str) -> str:
    """The first 40 bytes, at a character's end, without a separator left dangling."""
    return text.encode("utf-8", "ignore")[:SLUG_BYTES].decode("utf-8", "ignore").rstrip("-,=.+")
