"""`python -m mdiff.replay IMAGE [--out DIR] [key=value …]`: make an image again and say whether it is the same."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdiff.errors import MdiffError

if TYPE_CHECKING:
    from mdiff.replay import Replay


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay an image, print what came of it, and return the exit status: 0 for identical, and for a variation."""
    parser = argparse.ArgumentParser(
        prog="python -m mdiff.replay",
        description="Make an image again from the recipe inside it, and say whether it is the same. "
        "With key=value, make a variation of it.",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="a PNG of mdiff's, or of a Stable Diffusion web UI")
    parser.add_argument(
        "words", metavar="IMAGE | key=value", nargs="*", help="more images; settings to change, as in python -m mdiff"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to put the new image (outputs/replay/…)")
    parser.add_argument("--config-dir", metavar="DIR", help="where group files of your own are")
    chosen = parser.parse_intermixed_args(arguments)
    try:
        done = _replay(chosen)
    except MdiffError as error:
        for line in str(error).splitlines():
            print(f"mdiff: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mdiff: interrupted", file=sys.stderr)
        return 130
    for each in done:
        for line in (*each.differences, *each.notes):
            print(line)
        print(f"{each.made}: {each.comparison}")
    apart = [each for each in done if not each.comparison.identical and not each.variation]
    if apart:
        which = (
            f"{apart[0].image} is not the same" if len(done) == 1 else f"{len(apart)} of {len(done)} are not the same"
        )
        print(f"mdiff: {which}; what was found to differ is listed above", file=sys.stderr)
    return 1 if apart else 0


def _replay(chosen: argparse.Namespace) -> "list[Replay]":
    from mdiff.replay import replay, replay_all

    # A folder's name may hold an equals sign too: what is a file is an image.
    more = [word for word in chosen.words if word.lower().endswith(".png") and Path(word).is_file()]
    overrides = [word for word in chosen.words if word not in more]
    if not more:
        return [replay(chosen.image, chosen.out, overrides, config_dir=chosen.config_dir)]
    return replay_all([chosen.image, *more], chosen.out, overrides, config_dir=chosen.config_dir)


if __name__ == "__main__":
    sys.exit(main())
