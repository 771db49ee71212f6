"""`key=value` words of the command line, laid over the config of a recipe."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError

_FILES = ("model", "scheduler", "precision", "memory", "prompt", "device")
_REFUSED = ("output", "hydra", "name", "resume", "on_error", "dry_run", "check", "expect", "experiment")


@dataclass(frozen=True)
class Overrides:
    """Groups chosen by file, values by dotted key, both in their order."""

    groups: Mapping[str, str]
    values: Mapping[str, Any]

    @property
    def keys(self) -> frozenset[str]:
        """Every key that the user has taken into their own hands."""
        return frozenset(self.values) | frozenset(self.groups)


def parse_overrides(words: Sequence[str]) -> Overrides:
    """Read the words as `python -m mdiff` does; MdiffError for sweeps and for what a replay decides itself."""
    if not words:
        return Overrides({}, {})
    # Hydra only where it is needed: a plain replay is quicker without it.
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from mdiff.config.cell import literal_prompts
    from mdiff.config.explain import COMPOSITION_ERRORS, as_config_error

    groups: dict[str, str] = {}
    values: dict[str, Any] = {}
    try:
        parsed = OverridesParser.create().parse_overrides(literal_prompts(words, sweeping=False))
    except COMPOSITION_ERRORS as error:
        raise as_config_error(error) from error
    for override in parsed:
        key, word = override.key_or_group, override.input_line
        if override.is_sweep_override() or override.is_delete():
            raise MdiffError(f"a replay makes one image: {word!r} is not one value for one key")
        if key.split(".")[0].split("/")[0] in _REFUSED:
            raise MdiffError(f"{word!r} is not for a replay; its folder is chosen with --out DIR")
        if key in _FILES:
            groups[key] = str(override.value())
        else:
            values[key] = override.value()
    return Overrides(groups, values)


def apply_overrides(config: Mapping[str, Any], overrides: Overrides, config_dir: str | None = None) -> dict[str, Any]:
    """Return a copy of a plain config with the groups' files and then the values put in; nothing is validated yet."""
    changed: dict[str, Any] = copy.deepcopy(dict(config))
    if overrides.groups:
        composed = compose([f"{group}={file}" for group, file in overrides.groups.items()], config_dir)
        changed |= {group: composed[group] for group in overrides.groups}
    for key, value in overrides.values.items():
        *path, last = key.split(".")
        node = changed
        for name in path:
            inner = node.get(name)
            if not isinstance(inner, dict):
                raise MdiffError(f"there is no key {key!r}: {name!r} is not a group of the recipe's config")
            node = inner
        node[last] = value
    return changed


def compose(words: Sequence[str], config_dir: str | None = None) -> dict[str, Any]:
    """Return mdiff's own config with these overrides, as plain containers."""
    from hydra.types import RunMode

    from mdiff.config.cell import plain
    from mdiff.config.explain import COMPOSITION_ERRORS, as_config_error
    from mdiff.config.start import CONFIG_NAME, start_hydra

    try:
        hydra = start_hydra(config_dir)
        return plain(hydra.config_loader.load_configuration(CONFIG_NAME, list(words), RunMode.RUN))
    except MdiffError:
        raise
    except COMPOSITION_ERRORS as error:
        raise as_config_error(error) from error
