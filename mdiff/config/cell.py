"""A composed Hydra config, seen as a cell: its plain values, what was asked for, its place below the output folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mdiff.config.folder import cell_name, named, place, present
from mdiff.config.path import check_inside, check_name, check_output_dir, check_writable

LITERAL = ("prompt.text", "prompt.negative")


def literal_prompts(overrides: Sequence[str], *, sweeping: bool) -> list[str]:
    """Quote prompts that were given plainly: a comma or an apostrophe is part of the text.

    In a sweep a comma separates two prompts, as everywhere, and only what Hydra cannot read is taken as it stands.
    """
    parser = OverridesParser.create()
    return [_literal(parser, override, sweeping) for override in overrides]


def _literal(parser: OverridesParser, override: str, sweeping: bool) -> str:
    key, given, text = override.partition("=")
    if not given or key.lstrip("+") not in LITERAL:
        return override
    try:
        if not parser.parse_override(override).is_sweep_override() or sweeping:
            return override
    except HydraException:
        if text[:1] in ("'", '"', "["):  # quoted, but wrongly: say so
            return override
    return f"{key}={QuotedString(text.replace('${', chr(92) + '${'), Quote.single).with_quotes()}"


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the job's part of a composed config as plain containers, every interpolation resolved."""
    found: dict[str, Any] = {}
    for key in config:
        if key == "hydra":
            continue
        value = "???" if OmegaConf.is_missing(config, key) else config[key]
        found[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return found


def given(overrides: Sequence[Override]) -> dict[str, Any]:
    """Return what the overrides of a cell say about its pixels: `{"scheduler": "heun", "steps": 10}`."""
    return {
        override.key_or_group: override.value()
        for override in overrides
        if not override.is_hydra_override() and not override.is_delete() and named(override.key_or_group)
    }


def run_folder(config: DictConfig) -> Path:
    """Return the folder of a single run, `outputs/<name>/<date_time>`, checked and not there yet."""
    folder = _below_output(config, "hydra.run.dir", config.hydra.run.dir)
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def sweep_folder(config: DictConfig) -> Path:
    """Return the folder of a sweep, `outputs/<name>`, checked."""
    return _below_output(config, "hydra.sweep.dir", config.hydra.sweep.dir)


def _below_output(config: DictConfig, key: str, folder: str) -> Path:
    check_name("name", config.name)
    by_user = any(line.lstrip("+").startswith("output.dir=") for line in config.hydra.overrides.task)
    root = check_output_dir(config.output.dir, by_user=by_user)
    inside = check_inside(key, folder, root)
    check_writable(inside)
    # as written where it is relative: records and messages then hold no home folder
    return Path(folder) if not Path(folder).is_absolute() else inside


def folder_of_cell(config: DictConfig) -> str:
    """Return the folder name, below the sweep's, of the cell that a composed config is."""
    from mdiff.config.job import job_from

    if "worker" in config:  # a share of cells, each with a folder of its own
        return ".mdiff"
    parsed = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    root = Path(config.hydra.sweep.dir)
    return place(root, cell_name(job_from(plain(config)), given(parsed)), present(root)).name
