"""Ctrl-C and SIGTERM: the first asks the run to finish the images in flight, the second ends the process."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # the exit status, as a shell gives it after Ctrl-C


class Interrupt:
    """What `run_jobs` looks at between network calls."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._catching = False

    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        if self._catching and not self._asked.is_set():
            self.catch()  # MindSpore puts a handler of its own in place of ours, which turns SIGINT into SIGTERM
        return self._asked.is_set()

    def catch(self) -> None:
        """Take both signals; only the main thread may."""
        self._catching = threading.current_thread() is threading.main_thread()
        if self._catching:
            for each in SIGNALS:
                signal.signal(each, self.ask)

    def ask(self, _signum: int = 0, _frame: object = None) -> None:
        """Note the first signal, and let the next one take its default course: the process ends at once."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._catching = False
        self._asked.set()
        # not print(): the signal may have come in the middle of one
        os.write(2, b"\nmdiff: finishing the images in flight, then stopping; interrupt again to stop at once\n")


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Catch the two signals for the block; in a thread other than the main one nothing is caught."""
    interrupt = Interrupt()
    before = {each: signal.getsignal(each) for each in SIGNALS}
    interrupt.catch()
    try:
        yield interrupt
    finally:
        if threading.current_thread() is threading.main_thread():
            for each, handler in before.items():
                signal.signal(each, handler if handler is not None else signal.SIG_DFL)
