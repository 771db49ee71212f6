"""`python -m mdiff`: from the command line to images. MindSpore is imported only once everything has been checked."""

import sys
from collections.abc import Sequence

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


if __name__ == "__main__":
    sys.exit(main())
