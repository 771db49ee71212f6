"""The sweep's index and report page, kept up to date while it runs."""

import time
from pathlib import Path

from mdiff import report

EVERY_S = 20.0
SHARE = 0.01  # of the sweep's time at most


class Page:
    """Refreshes the page of a sweep's folder now and then, and once more at its end."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._next = time.monotonic() + EVERY_S

    def refresh_now_and_then(self) -> None:
        """Refresh if it is time."""
        if time.monotonic() > self._next:
            self.refresh()

    def refresh(self) -> None:
        """Refresh now; the longer that takes, the later comes the next time."""
        began = time.monotonic()
        report.refresh(self._folder)
        ended = time.monotonic()
        self._next = ended + max(EVERY_S, (ended - began) / SHARE)
