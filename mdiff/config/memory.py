"""The `memory` group, what stays loaded, and what may be done where a cell would fail."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mdiff.config.problem import Problems
from mdiff.config.schema import FALLBACKS
from mdiff.config.value import check_choice, check_keys
from mdiff.errors import MdiffError
from mdiff.model import Memory, check_keep


def memory_of(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a job that say how memory is saved and what is done instead of failing."""
    problems = Problems()
    found: dict[str, Any] = {}
    with problems.gather():
        check_keys("memory", groups["memory"], [field.name for field in dataclasses.fields(Memory)])
        found["memory"] = Memory(**groups["memory"])
    with problems.gather():
        found["keep"] = check_keep(groups["model"].get("keep"))
    for key in FALLBACKS:
        with problems.gather():
            found[key] = _fallbacks(key, config.get(key))
    problems.raise_any()
    return found


def _fallbacks(key: str, value: Any) -> tuple[str, ...]:
    """A list of fallbacks, in the order in which they are tried; null and [] are none."""
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list | tuple):
        raise MdiffError(f"{key} must be a list such as [{', '.join(FALLBACKS[key])}], got {value!r}")
    for name in names:
        check_choice(key, name, FALLBACKS[key])
    if len(set(names)) < len(names):
        raise MdiffError(f"{key} names {max(names, key=names.count)!r} twice")
    return tuple(names)
