"""What a config from a stranger must not do, checked on everything composed before Hydra or mdiff acts on it.

Hydra would otherwise build whatever `hydra.callbacks`, its logging configuration or a launcher's options name.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mdiff.config.launcher import check_launcher
from mdiff.config.target import CODE_KEYS
from mdiff.errors import MdiffError

LAUNCHERS = (
    "hydra_plugins.mdiff_resident.launcher.ResidentLauncher",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
)
SWEEPERS = (
    "hydra_plugins.mdiff_resident.sweeper.GridSweeper",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
)
SAMPLERS = tuple(
    f"optuna.samplers.{name}"
    for name in ("TPESampler", "RandomSampler", "GridSampler", "CmaEsSampler", "NSGAIISampler", "QMCSampler")
)
LOG_CLASSES = ("logging.StreamHandler", "logging.NullHandler", "logging.Formatter", "logging.Filter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
# Where code may be named at all, and which.
PLACES: Mapping[str, Sequence[str]] = {
    "hydra.launcher._target_": LAUNCHERS,
    "hydra.sweeper._target_": SWEEPERS,
    "hydra.sweeper.sampler._target_": SAMPLERS,
}
JOB_PLACES = ("model._target_", "prompt._target_", "scheduler._target_")  # `check_targets` knows which names


def refuse_environment_reading() -> None:
    """Replace OmegaConf's `oc.env`, which would carry secrets into records and pictures."""
    OmegaConf.register_new_resolver("oc.env", _refuse_env, replace=True)


def _refuse_env(name: str, default: Any = None) -> Any:
    raise MdiffError(f"a config may not read the environment (oc.env:{name}); give the value on the command line")


def check_search_path(entries: object) -> None:
    """Raise unless `hydra.searchpath` is a list of folders: `pkg://` would import a package of a stranger's choice."""
    if entries is None:
        return
    if not isinstance(entries, Sequence | ListConfig) or isinstance(entries, str):
        raise MdiffError(f"hydra.searchpath must be a list of folders, got {entries!r}")
    for entry in entries:
        if not isinstance(entry, str) or ("://" in entry and not entry.startswith("file://")):
            raise MdiffError(f"hydra.searchpath may name folders only, got {entry!r}")


def check_composed(config: DictConfig) -> None:
    """Raise where a composed config would have Hydra call, import, write or copy anything beyond mdiff's business."""
    for path, key, value in _walk(config):
        if key in CODE_KEYS:
            _check_code(path, key, value)
        elif path.startswith("hydra.") and _is_protocol(value) and value not in STREAMS:
            raise MdiffError(f"{path}={value!r} is refused: logging may go to {' or '.join(STREAMS)} only")
    if "hydra" in config:
        _check_hydra(config.hydra)


def _is_protocol(value: object) -> bool:
    """Whether Python's logging configuration would look the value up: `ext://` imports, `cfg://` follows."""
    return isinstance(value, str) and value.startswith(("ext://", "cfg://"))


def _check_code(path: str, key: str, value: object) -> None:
    if path in JOB_PLACES:
        if value is not None and not (isinstance(value, str) and value.startswith("mdiff.")):
            raise MdiffError(f"{path} names {value!r}, which is not one of mdiff's")
        return
    if path.startswith(("hydra.job_logging.", "hydra.hydra_logging.")):
        if key == "class" and value in LOG_CLASSES:
            return
        raise MdiffError(f"{path}={value!r} is refused: logging may use {', '.join(LOG_CLASSES)} only")
    if value not in PLACES.get(path, ()):
        hint = (
            f"choose one with {path.split('.')[0]}/{path.split('.')[1]}=…"
            if path in PLACES
            else "no config may name code there"
        )
        raise MdiffError(f"{path}={value!r} is refused: {hint}")


def _check_hydra(hydra: DictConfig) -> None:
    if hydra.get("callbacks"):
        raise MdiffError("hydra.callbacks is refused: a config may not name code to be called")
    for key in ("env_set", "env_copy"):
        if hydra.job.get(key):
            raise MdiffError(f"hydra.job.{key} is refused: set environment variables in the shell instead")
    if hydra.job.get("chdir"):
        raise MdiffError("hydra.job.chdir=true is refused: mdiff's paths count from the folder it was started in")
    subdir = hydra.get("output_subdir")
    if subdir is not None and (len(PurePath(str(subdir)).parts) != 1 or str(subdir) in (".", "..", "/")):
        raise MdiffError(f"hydra.output_subdir={subdir!r} must be a plain folder name")
    check_search_path(hydra.get("searchpath"))
    check_launcher(hydra)


def _walk(node: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, key, value) of every mapping entry, interpolations followed where they lead anywhere yet."""
    if depth > 40:
        raise MdiffError(f"{path[:80]}… is nested too deeply, or refers to itself")
    if isinstance(node, DictConfig | ListConfig):
        if node._is_none() or node._is_missing():
            return
        keys: Any = node.keys() if isinstance(node, DictConfig) else range(len(node))
        for key in list(keys):
            here = f"{path}.{key}" if path else str(key)
            value = _value(node, key)
            yield here, str(key), value
            yield from _walk(value, here, depth + 1)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key), value
            yield from _walk(value, here, depth + 1)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _walk(value, f"{path}.{index}", depth + 1)


def _value(node: DictConfig | ListConfig, key: Any) -> Any:
    if OmegaConf.is_missing(node, key):
        return "???"
    if not OmegaConf.is_interpolation(node, key):
        return node._get_node(key) if OmegaConf.is_config(node._get_node(key)) else node[key]
    try:
        return node[key]
    except OmegaConfBaseException:
        raw = OmegaConf.to_container(node, resolve=False)
        if key in CODE_KEYS:
            raise MdiffError(f"{key}={raw[key]!r} leads nowhere") from None  # type: ignore[index]
        return raw[key]  # type: ignore[index]  # not known yet, such as a job's number
