"""Types and ranges of single values; each error names the key, the value and what it may be."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from mdiff.errors import MdiffError, nearest


def check_keys(path: str, config: Mapping[Any, Any], known: Collection[str]) -> None:
    """Raise for keys outside `known`; `path` is the group's name, empty at the root."""
    for key in config:
        if key not in known:
            where = f"{path}.{key}" if path else str(key)
            raise MdiffError(f"there is no key {where!r}{nearest(key, known)}")


def check_group(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the group `name`, which must be a mapping."""
    value = config.get(name)
    if not isinstance(value, Mapping):
        raise MdiffError(f"{name} must be a group of settings, got {value!r}; choose a file with {name}=…")
    return value


def check_whole(key: str, value: object, *, least: int, most: int | None = None) -> int:
    """Return a whole number within `least` … `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise MdiffError(f"{key} must be a whole number, got {value!r}")
    if value < least:
        raise MdiffError(f"{key} must be {least} or more, got {value}")
    if most is not None and value > most:
        raise MdiffError(f"{key} must be at most {most}, got {value}")
    return value


def check_multiple(key: str, value: object, multiple: int) -> int:
    """Return a positive multiple of `multiple` (pixels)."""
    size = check_whole(key, value, least=1)
    if size % multiple:
        below = size - size % multiple
        near = f"{below} or {below + multiple}" if below else f"{multiple}"
        raise MdiffError(f"{key} must be a multiple of {multiple} for this model, got {size}; try {near}")
    return size


def check_number(key: str, value: object, *, least: float, most: float | None = None) -> float:
    """Return a finite number within `least` … `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MdiffError(f"{key} must be a number, got {value!r}")
    if not math.isfinite(value) or value < least:
        raise MdiffError(f"{key} must be a finite number of {least:g} or more, got {value}")
    if most is not None and value > most:
        raise MdiffError(f"{key} must be at most {most:g}, got {value}")
    return float(value)


def check_choice(key: str, value: object, choices: Collection[str]) -> str:
    """Return one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise MdiffError(f"{key} cannot be {value!r}{nearest(value, choices)}")
    return value


def check_flag(key: str, value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise MdiffError(f"{key} must be true or false, got {value!r}")
    return value


def check_interval(key: str, value: object) -> tuple[float, float] | None:
    """Return [from, to] with 0 ≤ from < to ≤ 1; None for null, and for the whole of it."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise MdiffError(f"{key} must be null or two numbers [from, to], got {value!r}")
    begin, end = (check_number(f"{key}[{place}]", each, least=0, most=1) for place, each in enumerate(value))
    if begin >= end:
        raise MdiffError(f"{key} must begin before it ends, got [{begin:g}, {end:g}]")
    return None if (begin, end) == (0, 1) else (begin, end)


def check_check(value: object) -> object:
    """Return `check`: false, true or "record"."""
    if not (isinstance(value, bool) or value == "record"):
        raise MdiffError(f"check must be true, false or record, got {value!r}{nearest(value, ('true', 'record'))}")
    return value
