"""Hydra's config loader with the guard in front: nothing that it composes leaves unchecked."""

from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mdiff.config import guard
from mdiff.config.location import conf_folder
from mdiff.errors import MdiffError


class Loader(ConfigLoaderImpl):
    """Composes configs from mdiff's own groups, and a user's beside them."""

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose, and refuse what no config may ask for."""
        config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        guard.check_composed(config)
        return config

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        for override in parsed_overrides:
            if override.key_or_group == "hydra.searchpath":
                guard.check_search_path(override.value())
        primary = repo.load_config(config_path=config_name) if config_name is not None else None
        if primary is not None and isinstance(primary.config, DictConfig):
            guard.check_search_path(OmegaConf.select(primary.config, "hydra.searchpath"))
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def search_path(config_dir: str | None = None, config_path: str | None = None) -> ConfigSearchPath:
    """Return where configs are looked for: Hydra's own, mdiff's (or `config_path`), then the user's `config_dir`."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    path.append("main", f"file://{_folder(config_path, '--config-path') if config_path else conf_folder()}")
    if config_dir is not None:
        path.append("command-line", f"file://{_folder(config_dir, '--config-dir')}")
    path.append("schema", "structured://")
    return path


def _folder(given: str, flag: str) -> Path:
    folder = Path(given).absolute()
    if "://" in given or not folder.is_dir():
        raise MdiffError(f"{flag} {given} is not a folder")
    return folder
