"""What a command line asks for: a look at the config, one run, or a sweep."""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from mdiff.config.arguments import parse_arguments
from mdiff.config.cell import literal_prompts, plain, run_folder
from mdiff.config.expect import expectation
from mdiff.config.explain import COMPOSITION_ERRORS, as_config_error
from mdiff.config.location import conf_folder
from mdiff.config.problem import Problems
from mdiff.config.start import CONFIG_NAME, start_hydra
from mdiff.errors import MdiffError

if TYPE_CHECKING:
    from mdiff.sweep.check import Check


def run_command(words: Sequence[str]) -> int:
    """Do what the command line asks for and return the exit status; raises `MdiffError` with what was wrong."""
    options = parse_arguments(words)
    with _explained():
        hydra = start_hydra(options.config_dir, options.config_path)
        name = options.config_name if options.config_name is not None else CONFIG_NAME
        if _looks(hydra, name, options):
            return 0
        config = _composed(hydra, name, options)
        _warn_of_hidden(config, options.config_dir)
    if config.hydra.mode == RunMode.MULTIRUN:
        return _sweep(hydra, config)
    return _run(config)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Hydra's and OmegaConf's errors leave the block as mdiff's."""
    try:
        yield
    except MdiffError:
        raise
    except COMPOSITION_ERRORS as error:
        raise as_config_error(error) from error


def _looks(hydra: Hydra, name: str, options: argparse.Namespace) -> bool:
    """Print what was asked to be looked at, if anything was."""
    if options.help:
        hydra.app_help(config_name=name, args_parser=get_args_parser(), args=options)
    elif options.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=get_args_parser(), args=options)
    elif options.cfg is not None:
        hydra.show_cfg(
            config_name=name,
            overrides=literal_prompts(options.overrides, sweeping=False),
            cfg_type=options.cfg,
            package=options.package,
            resolve=options.resolve,
        )
    elif options.info is not None:
        hydra.show_info(options.info, config_name=name, overrides=options.overrides)
    elif options.shell_completion:
        hydra.shell_completion(config_name=name, overrides=options.overrides)
    else:
        return False
    return True


def _composed(hydra: Hydra, name: str, options: argparse.Namespace) -> DictConfig:
    """The config of the run or, with -m or where an experiment says `hydra.mode: MULTIRUN`, of the sweep."""
    loader = hydra.config_loader
    if not options.multirun:
        overrides = literal_prompts(options.overrides, sweeping=False)
        parsed = OverridesParser.create().parse_overrides(overrides)
        if not any(override.is_sweep_override() for override in parsed):
            config = loader.load_configuration(name, overrides, RunMode.RUN)
            if config.hydra.mode != RunMode.MULTIRUN:
                return config
    overrides = literal_prompts(options.overrides, sweeping=True)
    config = loader.load_configuration(name, overrides, RunMode.MULTIRUN)
    if options.multirun:
        config.hydra.mode = RunMode.MULTIRUN
    if config.hydra.mode != RunMode.MULTIRUN:
        return loader.load_configuration(name, overrides, RunMode.RUN)  # raises: several values without -m
    return config


def _warn_of_hidden(config: DictConfig, config_dir: str | None) -> None:
    """Of two files with one name mdiff's own counts; a user who wrote the other one should hear of it."""
    for group, name in config.hydra.runtime.choices.items() if config_dir is not None else ():
        theirs, ours = (Path(folder) / group / f"{name}.yaml" for folder in (str(config_dir), conf_folder()))
        if theirs.is_file() and ours.is_file():
            print(f"mdiff: {theirs} is not used, since mdiff has a {group}={name} too; rename yours", file=sys.stderr)


def _run(config: DictConfig) -> int:
    from mdiff.config.job import job_from

    problems = Problems()
    HydraConfig.instance().set_config(config)
    with _explained():
        values = plain(config)
    with problems.gather():
        job = job_from(values)
    with problems.gather(), _explained():
        folder = run_folder(config)
    with problems.gather(), _explained():
        check = _check(config)
    problems.raise_any()
    job = replace(job, folder=folder)
    if config.dry_run:
        from mdiff.sweep.plan import print_run_plan

        print_run_plan(job)
        return 0
    from mdiff.sweep.single import run_single

    return run_single(job, check)


def _check(config: DictConfig) -> "Check | None":
    """The check that was asked for; what is expected is validated in any case."""
    expected = expectation(config)
    if config.get("check", False) is False:
        return None
    from mdiff.sweep.check import check_from  # reads pictures, which a mistake elsewhere need not wait for

    return check_from(config, expected)


def _sweep(hydra: Hydra, config: DictConfig) -> int:
    from mdiff.sweep.interrupt import interruptible
    from mdiff.sweep.page import Page
    from mdiff.sweep.session import session
    from mdiff.sweep.summary import tell
    from mdiff.sweep.worker import run_task

    if "optuna" in config.hydra.sweeper._target_:
        if config.objective is None:
            raise MdiffError("a search needs to know what to make small: objective=seconds, evaluations or distance")
        if config.dry_run:
            raise MdiffError("dry_run=true cannot foresee a search; it can show a grid, or one of its cells")
    with _explained():
        check = _check(config)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
    with interruptible() as interrupt, session(interrupt) as going:
        HydraConfig.instance().set_config(config)
        with _explained():
            sweeper = Plugins.instance().instantiate_sweeper(
                hydra_context=context, task_function=run_task, config=config
            )
        arguments = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        assert isinstance(arguments, list)
        sweeper.sweep([str(argument) for argument in arguments])
        if going.folder is not None and any(outcome.record is not None for outcome in going.outcomes):
            Page(going.folder).refresh()
        status = tell(going, dry_run=bool(config.dry_run))
        return status if check is None or config.dry_run else check.conclude(going.outcomes, status)
