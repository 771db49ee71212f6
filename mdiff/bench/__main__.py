"""``python -m mdiff.bench``: mdiff beside diffusers on PyTorch, same weights, taking turns in one run.

Needs the extra `parity` beside mdiff (`stages` also runs with ``--only mdiff``). Alone on the machine, or the figures
mean nothing.
"""

import argparse
import sys
from collections.abc import Sequence

from mdiff.bench import cells, stages, suite, sweep
from mdiff.errors import MdiffError

COMMANDS = {
    "stages": (stages, "a UNet step, text encoding and decoding of one model (the default)"),
    "suite": (suite, "steps, decoding, loading, memory and whole processes at several model sizes"),
    "sweep": (sweep, "a grid of 24 cells: resident, with Hydra's basic launcher, and a loop on diffusers"),
    "cells": (cells, "what a cell of a sweep costs beyond its network evaluations; memory of long sweeps"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark and return the exit status; mistakes are told in a sentence."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0] not in COMMANDS and words[0] not in ("-h", "--help")):
        words.insert(0, "stages")
    parser = argparse.ArgumentParser(
        prog="python -m mdiff.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(words)
    try:
        return options.run(options)
    except MdiffError as error:
        print(f"mdiff.bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
