"""Composes the cells of a sweep, thousands of them, far faster than one Hydra composition each.

Hydra's own loader takes some 70 ms a cell: it reads and merges every YAML file again, through OmegaConf nodes. Here
each file is read once, each combination of groups is merged once, and merging is done on plain dicts. Whatever is
not certain to come out the same (dict values, deletions, resolvers, odd keys, any error) goes to Hydra's loader.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from mdiff.config.cell import plain
from mdiff.sweep.defaults import DefaultsLists


class _Unsure(Exception):
    """The quick way does not know what Hydra would do here."""


class _Repository(CachingConfigRepository):
    """Remembers which groups and files there are, as well as what is in them."""

    def __init__(self, delegate: Any):
        super().__init__(delegate)
        self._groups: dict[str, bool] = {}
        self._configs: dict[str, bool] = {}

    def group_exists(self, config_path: str) -> bool:
        if config_path not in self._groups:
            self._groups[config_path] = super().group_exists(config_path)
        return self._groups[config_path]

    def config_exists(self, config_path: str) -> bool:
        if config_path not in self._configs:
            self._configs[config_path] = super().config_exists(config_path)
        return self._configs[config_path]


class Composer:
    """Composes cells of the sweep that `master` describes; `compose` gives what Hydra's loader would."""

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig):
        self.loader, self.master = loader, master
        self.composed_by_hydra = 0
        self._common = list(master.hydra.overrides.hydra)
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._files: dict[tuple[str, str], dict[str, Any]] = {}
        self._bases: dict[tuple[str, ...], tuple[dict[str, Any], bool | None]] = {}
        self._repository = self._open_repository()
        self._lists = DefaultsLists(self._repository, master.hydra.job.config_name)

    def parse(self, line: str) -> Override:
        """Return one override, parsed once however many cells have it."""
        if line not in self._parsed:
            self._parsed[line] = self._parser.parse_overrides([line])[0]
        return self._parsed[line]

    def compose(self, overrides: Sequence[str], number: int = 0) -> dict[str, Any]:
        """Return the cell's config as plain containers, interpolations resolved; errors are Hydra's own."""
        with contextlib.suppress(Exception):  # whatever it is, Hydra's loader has the last word
            return self._quick(overrides)
        return self.compose_by_hydra(overrides, number)

    def compose_by_hydra(self, overrides: Sequence[str], number: int = 0) -> dict[str, Any]:
        """The same through Hydra's loader."""
        self.composed_by_hydra += 1
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        before = HydraConfig.instance().cfg
        try:
            HydraConfig.instance().set_config(config)
            return plain(config)
        finally:
            HydraConfig.instance().cfg = before

    def _open_repository(self) -> _Repository:
        parsed = [self.parse(line) for line in self._common]
        repository = _Repository(self.loader.repository)
        self.loader._process_config_searchpath(self.master.hydra.job.config_name, parsed, repository)
        return repository

    def _quick(self, overrides: Sequence[str]) -> dict[str, Any]:
        parsed = [self.parse(line) for line in (*self._common, *overrides)]
        groups, values = [], []
        for override in parsed:
            if override.is_sweep_override():
                raise _Unsure
            if self._repository.group_exists(override.key_or_group) and not isinstance(override.value(), dict):
                groups.append(override)
            elif not override.is_hydra_override():
                values.append(override)
            elif override.input_line in overrides:
                raise _Unsure
        base, refers = self._base(groups)
        if refers is None:
            raise _Unsure
        config = dict(base)  # what no override is about, the cells of a base have in common
        for override in values:
            _apply(config, override)
        if refers or any(_has_interpolation(override.value()) for override in values):
            resolved = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
            assert isinstance(resolved, dict)
            return {str(key): value for key, value in resolved.items()}
        return config

    def _base(self, groups: list[Override]) -> tuple[dict[str, Any], bool | None]:
        """The merge of all files that a choice of groups leads to, and whether anything in it refers to another key.

        None where it refers to what only Hydra's loader resolves.
        """
        key = tuple(str(override.input_line) for override in groups)
        if key not in self._bases:
            base: dict[str, Any] = {}
            for default in self._lists.choose(groups):
                _merge(base, self._file(default))
            refers = None
            with contextlib.suppress(_Unsure):
                refers = _has_interpolation(base)
            self._bases[key] = base, refers
        return self._bases[key]

    def _file(self, default: ResultDefault) -> dict[str, Any]:
        """One config file, below the package that it goes to; nothing for Hydra's own."""
        path, package = default.config_path, default.package
        if path is None:
            raise _Unsure
        key = path, package if package is not None else "\0"
        if key not in self._files:
            loaded = self._repository.load_config(path)
            if loaded is None or not isinstance(loaded.config, DictConfig):
                raise _Unsure
            where = package if package is not None else loaded.header["package"]
            where = "" if where is None else where
            if where.partition(".")[0] == "hydra":
                content: Any = {}
            else:
                content = OmegaConf.to_container(loaded.config, resolve=False)
                hydra = content.pop("hydra", None) if not where else None
                if hydra is not None and not default.primary and "searchpath" in hydra:
                    raise _Unsure
            for part in reversed(where.split(".") if where and content else []):
                content = {part: content}
            self._files[key] = content
        return self._files[key]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copy(each) for each in value]
    return value


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if not isinstance(key, str):
            raise _Unsure
        if key not in into:
            into[key] = _copy(value)
        elif isinstance(value, dict) and isinstance(into[key], dict):
            _merge(into[key], value)
        elif isinstance(value, dict) or isinstance(into[key], dict) or value == "???" or _is_interpolation(into[key]):
            raise _Unsure
        else:
            into[key] = _copy(value)


def _apply(config: dict[str, Any], override: Override) -> None:
    """Set one value, in copies of what is above it; the key has to be there already, or not yet where it is added."""
    *above, last = override.key_or_group.split(".")
    node: Any = config
    for part in above:
        if not isinstance(node[part], dict):
            raise _Unsure
        node[part] = dict(node[part])
        node = node[part]
    value = override.value()
    if override.is_delete() or not isinstance(node, dict) or not last.isidentifier():
        raise _Unsure
    if not _plain_value(value) or (last in node) is override.is_add():
        raise _Unsure
    if isinstance(node.get(last), dict | list) != isinstance(value, list) and isinstance(node.get(last), dict):
        raise _Unsure
    if _is_interpolation(node.get(last)):
        raise _Unsure
    node[last] = _copy(value)


def _plain_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain_value(each) and not isinstance(each, list) for each in value)
    return value is None or (isinstance(value, str | int | float) and value != "???")


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _has_interpolation(value: Any) -> bool:
    """Whether anything refers to another key; resolvers are left to Hydra's loader."""
    if isinstance(value, dict):
        return any(list(map(_has_interpolation, value.values())))
    if isinstance(value, list):
        return any(list(map(_has_interpolation, value)))
    if _is_interpolation(value):
        if ":" in value.partition("${")[2] or "hydra" in value:
            raise _Unsure
        return True
    return False
