"""Defaults lists, Hydra's order of the files of a config: one of them serves all choices of files that are alike.

Hydra works a list out by walking through every file that the choice of groups leads to, some 6 ms each time. Which
files follow from a choice is decided by the defaults list and the package header of the chosen file, not by its name,
so that of a thousand prompt files in a folder all that have these in common need one walk.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

_Key = tuple[Any, ...]


class DefaultsLists:
    """The defaults lists that choices of groups lead to, for one primary config; as Hydra itself gives them."""

    def __init__(self, repository: CachingConfigRepository, config_name: str):
        self._repository, self._config_name = repository, config_name
        self._known: dict[_Key, tuple[str, list[ResultDefault]]] = {}
        self._alike: dict[str, _Key | None] = {}

    def choose(self, groups: Sequence[Override]) -> list[ResultDefault]:
        """Return the list for these overrides of groups; errors are Hydra's own."""
        keys = dict(self._keys(groups))
        for path, key in keys.items():
            if key in self._known:
                other, defaults = self._known[key]
                return [replace(each, config_path=path) if each.config_path == other else each for each in defaults]
        defaults, refers = self._walk(groups)
        for path, key in keys.items() if not refers else ():
            if sum(default.config_path == path for default in defaults) == 1:
                self._known.setdefault(key, (path, defaults))
        return defaults

    def _keys(self, groups: Sequence[Override]) -> Iterator[tuple[str, _Key]]:
        """For every file chosen, all that its list depends on but the file's own name."""
        lines = tuple(str(override.input_line) for override in groups)
        for position, override in enumerate(groups):
            value = override.value()
            if isinstance(value, str) and override.package is None:
                path = f"{override.key_or_group}/{value}"
                alike = self._decides(path)
                if alike is not None:
                    chosen = override.type, override.key_or_group, alike
                    yield path, (*chosen, lines[:position], lines[position + 1 :])

    def _decides(self, path: str) -> _Key | None:
        """What in a file has a say in the defaults list; None where there is no such file."""
        if path not in self._alike:
            loaded = self._repository.load_config(path)
            self._alike[path] = None
            if loaded is not None:
                defaults = [(type(each).__name__, vars(each)) for each in loaded.defaults_list or ()]
                self._alike[path] = repr(defaults), repr(loaded.header)
        return self._alike[path]

    def _walk(self, groups: Sequence[Override]) -> tuple[list[ResultDefault], bool]:
        """Hydra's list, and whether anything in it depends on the name of a choice (`- other: ${group}`)."""
        with _no_needless_maps() as built:
            defaults = defaults_list.create_defaults_list(
                self._repository, self._config_name, list(groups), prepend_hydra=True, skip_missing=False
            ).defaults
        return defaults, bool(built)


@contextlib.contextmanager
def _no_needless_maps() -> Iterator[list[Any]]:
    """Spare the map of choices that Hydra builds at every file, for defaults lists that refer to no other choice.

    It is three quarters of the time of a defaults list. The maps that were built are given.
    """
    build, nothing = defaults_list._create_interpolation_map, OmegaConf.create({})
    built: list[Any] = []

    def build_where_used(overrides: Any, defaults: Any, self_added: bool) -> DictConfig:
        if not any(default.is_interpolation() for default in defaults):
            return nothing
        built.append(build(overrides, defaults, self_added))
        return built[-1]

    defaults_list._create_interpolation_map = build_where_used  # type: ignore[assignment]
    try:
        yield built
    finally:
        defaults_list._create_interpolation_map = build
