"""The few names that a config may mention under `_target_`: a registry, not a prefix.

A config may come from the internet, so a name counts only where it stands in the registry of its own group, and only
if what it leads to is the class of that very name; `mdiff.engine.os.system` is neither.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.errors import MdiffError, nearest

CODE_KEYS = ("_target_", "class", "()")  # the last two are what Python's logging configuration calls


def allowed_targets(group: str) -> tuple[str, ...]:
    """Return the names that `<group>._target_` may have."""
    if group == "model":
        return ("mdiff.model.ModelSource",)
    if group == "prompt":
        return ("mdiff.prompt.Prompts",)
    if group == "scheduler":
        from mdiff.scheduler import SCHEDULERS

        return tuple(f"mdiff.scheduler.{name}" for name in SCHEDULERS)
    return ()


def resolve_target(group: str, name: object) -> type:
    """Return the class that `<group>._target_=name` stands for."""
    if not isinstance(name, str) or name not in (choices := allowed_targets(group)):
        hint = nearest(name, choices) if allowed_targets(group) else ""
        raise MdiffError(f"{group}._target_ names {name!r}, which is not one of mdiff's{hint}")
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(found, type) or found.__qualname__ != attribute or not found.__module__.startswith("mdiff."):
        raise MdiffError(f"{group}._target_={name!r} does not lead to a class of mdiff")
    return found


def find_code(config: Any, path: str = "") -> list[tuple[str, object]]:
    """Return every (path, value) under which a plain config names something to be called."""
    found: list[tuple[str, object]] = []
    if config is None or isinstance(config, str | int | float):
        return found  # most of what there is; asking for the abstract classes takes longer
    if isinstance(config, Mapping):
        for key, value in config.items():
            here = f"{path}.{key}" if path else str(key)
            if key in CODE_KEYS:
                found.append((here, value))
            found += find_code(value, here)
    elif isinstance(config, Sequence) and not isinstance(config, bytes):
        for index, value in enumerate(config):
            found += find_code(value, f"{path}[{index}]")
    return found


def check_targets(config: Mapping[str, Any]) -> None:
    """Raise where anything but the three groups that have a `_target_` names something to be called."""
    for path, value in find_code(config):
        group, _, key = path.partition(".")
        if key != "_target_" or not allowed_targets(group):
            raise MdiffError(f"{path}={value!r} is refused: no config may name code there")
        if group == "scheduler" and value is None:
            continue  # the solver that the checkpoint names
        resolve_target(group, value)
