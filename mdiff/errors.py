"""The errors that users see: a clear sentence, never a traceback."""

import difflib
from collections.abc import Iterable


class MdiffError(Exception):
    """Something the user can act on: what is wrong, where, and the nearest valid choice, in one sentence."""


class SchedulerError(MdiffError, ValueError):
    """A scheduler option or argument that cannot be used; also a ValueError, as callers of that interface expect."""


def nearest(value: object, choices: Iterable[object], limit: int = 3) -> str:
    """Return ``"; did you mean 'a' or 'b'?"`` for the choices that resemble `value`, else ``"; choose from …"``."""
    names = sorted({str(choice) for choice in choices})
    close = difflib.get_close_matches(str(value), names, n=limit, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(name) for name in close) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:40]) + (", …" if len(names) > 40 else "")
    return f"; choose from {shown}"
