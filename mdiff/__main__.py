"""`python -m mdiff`: from the command line to images. MindSpore is imported only once everything has been checked."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from mdiff.errors import MdiffError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for and return the exit status; mistakes are told in a sentence each."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in words:
        import mdiff

        print(f"mdiff {mdiff.__version__}")
        return 0
    try:
        from mdiff.config.arguments import UsageError

        try:
            from mdiff.sweep.command import run_command

            return run_command(words)
        except UsageError as error:
            _tell(error)
            return 2
    except MdiffError as error:
        _tell(error)
        return 1
    except KeyboardInterrupt:
        print("mdiff: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        return 1


def _tell(error: MdiffError) -> None:
    for line in str(error).splitlines():
        print(f"mdiff: {line}", file=sys.stderr)


def _leave(status: int) -> NoReturn:
    """End the process; on a CPU without taking MindSpore's graphs apart, which takes half a second and frees nothing
    that the system does not free itself. Everything written is on disk by now."""
    from mdiff.device import is_active_on_cpu

    others = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if others or not is_active_on_cpu():
        sys.exit(status)
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads them any more
        status = status if status != 0 else 1
    os._exit(status)


def _interrupted(_signum: int, _frame: object) -> NoReturn:
    """Ctrl-C before anything has begun; a KeyboardInterrupt would come out of Hydra as an error of another kind."""
    os.write(2, b"mdiff: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _interrupted)
    _leave(main())
