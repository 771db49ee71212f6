"""Hydra's and OmegaConf's own errors, of four to ten lines each, as one sentence with the nearest choices."""

import re

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from mdiff.config.problem import ConfigError
from mdiff.errors import MdiffError, nearest

# What composing a config raises; anything else is a fault of mdiff's and keeps its traceback.
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError, ValueError)


def as_config_error(error: Exception) -> ConfigError:
    """Return the mistake behind `error`, whichever library told it."""
    chain = _chain(error)
    for cause in reversed(chain):
        if isinstance(cause, ConfigError):
            return cause
        if isinstance(cause, MdiffError):
            return ConfigError([str(cause)])
    nameless = [each for each in chain if isinstance(each, OmegaConfBaseException) and each.full_key is None]
    for cause in [*(each for each in reversed(chain) if each not in nameless), *nameless]:
        sentence = _sentence(cause)  # the innermost error that knows the key knows its neighbours too
        if sentence is not None:
            return ConfigError([sentence])
    return ConfigError([_composition(str(error)) or type(error).__name__])


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ if link.__cause__ is not None else link.__context__
    return chain


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, MissingConfigException):
        return _missing_config(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name.strip()}, line {mark.line + 1}: " if mark is not None else ""
        return f"{where}{error.problem or error.context} (not valid YAML)"
    if isinstance(error, UnicodeDecodeError):
        return f"a config file is not UTF-8 (byte {error.start}): {error.reason}"
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key if error.full_key is not None else _first_line(str(error)).rpartition(": ")[2]
        return f"{key} has to be given: {key}=…"
    if isinstance(error, InterpolationResolutionError):
        return _interpolation(error)
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key is not None:
        return f"{error.full_key}: {_first_line(str(error))}"
    return None


def _missing_config(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    before = re.match(r"In '([^']*)'", str(error))
    where = f" (asked for in {before[1]}.yaml)" if before and before[1] not in ("config", "hydra/config") else ""
    if error.options:
        return f"there is no {group} {option!r}{where}{nearest(option, error.options)}"
    if "primary config" in str(error).lower():
        return f"there is no config file {error.missing_cfg_file!r} among mdiff's or in --config-dir"
    return f"there is no config file {error.missing_cfg_file!r}{where}"


def _unreadable(error: OverrideParseException) -> str:
    key = error.override.partition("=")[0]
    reason = _first_line(error.message)
    if "=" not in error.override:
        return f"cannot read {error.override!r}: settings are given as key=value"
    reason = re.split(r"\s*See https?://|\bSee ", reason)[0].rstrip(" .")
    if reason.startswith("LexerNoViableAltException"):
        reason = "it has characters that need quotes"
    return f"cannot read {error.override!r} ({reason}); quote the value, as in {key}=\"'…'\""


def _interpolation(error: InterpolationResolutionError) -> str:
    key = error.full_key if error.full_key is not None else "a value"
    reason = _first_line(str(error))
    missing = re.search(r"Missing mandatory value: (\S+)", reason)
    if missing:
        return f"{missing[1]} has to be given: {missing[1]}=…"
    inner = re.match(r"\w+ raised while resolving interpolation: (.*)", reason)
    return f"{key} refers to something that is not there: {inner[1] if inner else reason}"


def _unknown_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    name = error.full_key if error.full_key is not None else error.key
    choices = list(error.parent_node.keys()) if isinstance(error.parent_node, DictConfig) else []
    return f"there is no key {str(name)!r}{nearest(str(error.key), choices)}"


def _composition(text: str) -> str:
    ambiguous = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?:\n| requires)", text, re.DOTALL)
    if ambiguous:
        key, _, value = ambiguous[1].partition("=")
        return f"{ambiguous[1]} gives several values: add -m to sweep over them, or quote it: {key}=\"'{value}'\""
    override = re.search(r"Could not override '([^']*)'", text)
    if override:
        return f"there is nothing called {override[1]!r} to set"
    group = re.search(r"but config group '([^']*)' does not\s+exist", text)
    if group:
        return f"there is no group {group[1]!r}"
    if text.startswith("Config group override must be a string or a list"):
        return "a group takes the name of one of its files, as in scheduler=heun; to leave it out, write ~group"
    return _first_line(text)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
