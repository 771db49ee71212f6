"""`python -m mdiff.report DIR [DIR_B]`: the page of a folder of results, or the comparison of two."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mdiff.errors import MdiffError
from mdiff.report import build, compare
from mdiff.report.markdown import markdown


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report or a comparison, print where it is, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m mdiff.report",
        description="Write report.html, index.csv, index.json and contact sheets for a folder of results; "
        "with two folders, compare them.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="a sweep, a run, or a folder of them")
    parser.add_argument("other", metavar="DIR_B", type=Path, nargs="?", help="compare DIR with this one")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: into DIR)")
    parser.add_argument("--rows", metavar="KEY", help="what the contact sheet shows down, such as scheduler")
    parser.add_argument("--columns", metavar="KEY", help="what it shows across, such as steps")
    parser.add_argument("--reference", metavar="SETTING", help="measure distances from this: 'scheduler=heun steps=50'")
    parser.add_argument("--sheets", metavar="N", type=int, default=12, help="pages of PNG contact sheets at most (12)")
    parser.add_argument(
        "--markdown", action="store_true", help="print a table of the settings in DIR, and make no page"
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.markdown:
            print(markdown(chosen.folder))
            return 0
        if chosen.other is not None:
            comparison = compare(chosen.folder, chosen.other, chosen.out)
            print(comparison.summary)
            print(comparison.page)
            return 0
        page = build(
            chosen.folder,
            chosen.out,
            rows=chosen.rows,
            columns=chosen.columns,
            reference=chosen.reference,
            sheets=max(0, chosen.sheets),
        )
    except MdiffError as error:
        print(error, file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
