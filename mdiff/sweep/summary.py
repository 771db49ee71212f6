"""The last lines of a sweep: what is complete, what failed and why, how to go on; and the exit status."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.run import CellOutcome
from mdiff.sweep.interrupt import INTERRUPTED
from mdiff.sweep.session import Session

REASONS_TOLD = 20
CELLS_NAMED = 5


def tell(session: Session, *, dry_run: bool) -> int:
    """Print the sweep's last lines and return its exit status: 0 only if everything asked for is complete."""
    if dry_run:
        return 0
    counts = Counter(outcome.status for outcome in session.outcomes)
    failed = [outcome for outcome in session.outcomes if outcome.status == "failed"]
    complete = counts["complete"] + counts["kept"]
    images = sum(len((outcome.record or {}).get("images", [])) for outcome in session.outcomes)
    kept = f", {counts['kept']} of them kept from before" if counts["kept"] else ""
    print(
        f"{complete} of {len(session.outcomes)} cells complete{kept}: {counted(images, 'image')} in {session.folder}",
        flush=True,
    )
    _tell_failures(failed, len(session.outcomes))
    for sentence in session.failures:
        print(f"mdiff: {sentence}", file=sys.stderr)
    if session.interrupt.is_set() and complete < len(session.outcomes):
        print("mdiff: stopped; the same command again makes what is missing", file=sys.stderr)
        return INTERRUPTED
    if counts["busy"]:
        busy = [outcome.folder.name for outcome in session.outcomes if outcome.status == "busy"]
        print(f"mdiff: another process is making {listed(busy)}", file=sys.stderr)
    if counts["pending"]:
        why = "" if session.failures else " (on_error=stop)"
        print(f"mdiff: {counted(counts['pending'], 'cell')} not made{why}", file=sys.stderr)
    return 0 if complete == len(session.outcomes) and not session.failures else 1


def _tell_failures(failed: Sequence[CellOutcome], cells: int) -> None:
    """One line for each reason, with the first cell that has it."""
    if not failed:
        return
    print(f"mdiff: {len(failed)} of {counted(cells, 'cell')} failed:", file=sys.stderr)
    reasons: dict[str, list[CellOutcome]] = {}
    for outcome in failed:
        reasons.setdefault(first_line(outcome.error), []).append(outcome)
    for reason, outcomes in list(reasons.items())[:REASONS_TOLD]:
        others = f" (and {len(outcomes) - 1} more)" if len(outcomes) > 1 else ""
        print(f"mdiff:   {said(outcomes[0].job.varies)}{others}: {reason}", file=sys.stderr)
    if len(reasons) > REASONS_TOLD:
        print(f"mdiff:   and {len(reasons) - REASONS_TOLD} other reasons", file=sys.stderr)
    print("mdiff: each failed cell's record.json has the reason in full", file=sys.stderr)
    print("mdiff: the same command again makes only what is missing", file=sys.stderr)


def first_line(text: str | None) -> str:
    """The first line of an error: MindSpore's are pages long."""
    lines = text.strip().splitlines() if text is not None else []
    return lines[0] if lines else "no reason was given"


def counted(number: int, what: str) -> str:
    """Return `1 image` or `2 images`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(names: Sequence[str]) -> str:
    """Return `2 cells: a, b`, the first few of many."""
    more = f" and {len(names) - CELLS_NAMED} more" if len(names) > CELLS_NAMED else ""
    return f"{counted(len(names), 'cell')}: {', '.join(names[:CELLS_NAMED])}{more}"


def said(varies: Mapping[str, Any]) -> str:
    """Return `scheduler=heun steps=10`, long values cut."""
    words = [f"{key}={value}" for key, value in varies.items()]
    return " ".join(word if len(word) <= 60 else word[:59] + "…" for word in words) or "cell"
