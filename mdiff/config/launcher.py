"""What a config file may say about launchers and sweepers of other packages: sizes and names, never commands.

Slurm runs `setup` lines, Ray a `runtime_env`, joblib evaluates `pre_dispatch`, Optuna imports its
`custom_search_space`, and all of them write where they are told. Such settings count only from the command line.
"""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from mdiff.errors import MdiffError

# Plain words that a cluster needs to be told, and what the launchers' own files say.
WORDS = ("partition", "account", "qos", "constraint", "gres", "cpus_per_gpu", "mem_per_gpu", "mem_per_cpu")
WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,80}")
OWN_VALUES = {
    "submitit_folder": ("${hydra.sweep.dir}/.submitit/%j",),
    "name": ("${hydra.job.name}",),
    "prefer": ("processes",),
    "pre_dispatch": ("2*n_jobs",),
    "batch_size": ("auto",),
    "mmap_mode": ("r",),
    "_target_": None,  # another check's business
}
# Settings of the sweeper that name a grid or a goal, and may be any text.
SWEEPER_TEXTS = ("params", "search_space", "direction", "study_name", "_target_")


def check_launcher(hydra: DictConfig) -> None:
    """Raise for settings of `hydra.launcher` and `hydra.sweeper` that only the person at the keyboard may choose."""
    said = [line.lstrip("+").partition("=")[0] for line in hydra.overrides.hydra]
    for key, value in _leaves(hydra.get("launcher"), ""):
        if not _harmless(key, value) and not _from_command_line(f"hydra.launcher.{key}", said):
            raise MdiffError(_refusal(f"hydra.launcher.{key}", value))
    for key, value in _leaves(hydra.get("sweeper"), ""):
        free = key.partition(".")[0] in SWEEPER_TEXTS or key.endswith("._target_")
        if not free and isinstance(value, str) and not _from_command_line(f"hydra.sweeper.{key}", said):
            raise MdiffError(_refusal(f"hydra.sweeper.{key}", value))


def _refusal(key: str, value: object) -> str:
    return f"{key}={value!r} from a config file is refused; if it is meant, give it on the command line"


def _from_command_line(key: str, said: list[str]) -> bool:
    return any(key == each or key.startswith(each + ".") for each in said)


def _harmless(key: str, value: object) -> bool:
    last = key.rpartition(".")[2]
    if value is None or isinstance(value, bool | int | float):
        return last != "runtime_env"
    own = OWN_VALUES.get(last, ())
    if own is None or value in own:
        return True
    return last in WORDS and isinstance(value, str) and WORD.fullmatch(value) is not None


def _leaves(node: Any, path: str) -> Iterator[tuple[str, object]]:
    """Yield (key, value) of every setting as written, unresolved."""
    plain = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig | ListConfig) else node
    yield from _plain_leaves(plain, path)


def _plain_leaves(value: Any, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _plain_leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _plain_leaves(each, f"{path}.{index}")
    else:
        yield path, value
