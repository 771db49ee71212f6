"""Hydra, started for this process: mdiff's plugins, its loader behind the guard, its resolvers, its globals."""

import importlib
import sys
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from omegaconf import OmegaConf

import mdiff
from mdiff.config import guard
from mdiff.config.loader import Loader, search_path

CONFIG_NAME = "config"
PLUGIN_FOLDER = Path(mdiff.__file__).resolve().parent / "sweep" / "plugin"
_PLUGINS = ("launcher.ResidentLauncher", "sweeper.GridSweeper")


def start_hydra(config_dir: str | None = None, config_path: str | None = None) -> Hydra:
    """Return a Hydra that composes mdiff's configs; it becomes the process's own."""
    version.setbase("1.3")
    _add_plugins()
    GlobalHydra.instance().clear()
    hydra = Hydra(task_name="mdiff", config_loader=Loader(search_path(config_dir, config_path)))
    GlobalHydra.instance().initialize(hydra)
    register_resolvers()
    return hydra


def _add_plugins() -> None:
    """Let Hydra find mdiff's launcher, in this process only: other Hydra apps of the environment never import it."""
    if str(PLUGIN_FOLDER) not in sys.path:
        sys.path.append(str(PLUGIN_FOLDER))
    namespace = importlib.import_module("hydra_plugins")
    folder = str(PLUGIN_FOLDER / "hydra_plugins")
    if folder not in list(namespace.__path__):  # some plugin package made a regular package of the namespace
        namespace.__path__.append(folder)
    known = Plugins.instance()
    for name in _PLUGINS:
        module, _, attribute = name.partition(".")
        full = f"hydra_plugins.mdiff_resident.{module}"
        if f"{full}.{attribute}" not in known.class_name_to_class:  # Hydra had looked for plugins before
            plugin: type[Plugin] = getattr(importlib.import_module(full), attribute)
            known.register(plugin)


def register_resolvers() -> None:
    """Register what mdiff's configs may ask for, and refuse what they may not."""
    guard.refuse_environment_reading()
    OmegaConf.register_new_resolver("mdiff.cell", _cell, replace=True)


def _cell(_root_: Any) -> str:
    """`${mdiff.cell:}`: the cell's folder, for Hydra launchers that ask the config for it."""
    from mdiff.config.cell import folder_of_cell

    return folder_of_cell(_root_)
