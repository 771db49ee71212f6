"""Python's cyclic garbage collector, kept from looking at all of MindSpore's objects again and again."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused_collection() -> Iterator[None]:
    """No collection in the block: an import makes objects that stay, and each pass over them finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def spared_collection() -> Iterator[None]:
    """What exists at the beginning of the block is not looked at in it, and is again afterwards.

    MindSpore collects by itself before every compilation, which takes a tenth of a second a graph.
    """
    if gc.get_freeze_count():  # the caller has set objects aside himself: unfreezing would undo that
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
