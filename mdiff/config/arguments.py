"""The command line: Hydra's flags, in any order among the overrides."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from mdiff.errors import MdiffError, nearest


class UsageError(MdiffError):
    """A command line that cannot be read."""


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return Hydra's flags and `overrides`, wherever the flags stand; raises `UsageError`."""
    parser = get_args_parser()
    flags = [option for action in parser._actions for option in action.option_strings]

    def refuse(message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            raise UsageError(f"there is no flag {unknown!r}{nearest(unknown.split()[0], flags)}")
        raise UsageError(f"{message}; see python -m mdiff --help")

    parser.error = refuse  # type: ignore[method-assign]
    options = parser.parse_intermixed_args(_with_explicit_info(arguments))
    if options.experimental_rerun is not None:
        raise UsageError("--experimental-rerun is refused, since it unpickles a file; see python -m mdiff.replay")
    asked = [flag for flag in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(options, flag)]
    if len(asked) > 1:
        raise UsageError("only one of --run, --multirun, --cfg, --info and --shell-completion can be given")
    if options.resolve and options.cfg is None and not options.help:
        raise UsageError("--resolve belongs with --cfg or --help")
    for override in options.overrides:
        if override.startswith("="):
            raise UsageError(f"cannot read {override!r}: settings are given as key=value")
    return options


def _with_explicit_info(arguments: Sequence[str]) -> list[str]:
    """`--info` takes its choice from the next word even where that is an override."""
    choices = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
    explicit: list[str] = []
    for position, word in enumerate(arguments):
        after = arguments[position + 1] if position + 1 < len(arguments) else ""
        explicit.append("--info=all" if word in ("--info", "-i") and after not in choices else word)
    return explicit
