"""Memory for tensors that are converted while they are read, from the system directly."""

import ctypes
import functools
import mmap
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

_LARGE = 1 << 16  # bytes from which a tensor lies in an arena
_PAGE = 4096
_HUGE = 1 << 21
LINE = 64  # bytes of a line of the cache
_POPULATE_WRITE = 23  # Linux 5.14 and later
_ADVISE_HUGE = 14
_SLOW_S = 0.003  # of CPU for a huge page; as many bytes in small ones take less
_PATIENCE = 256  # huge pages' worth of memory before another is tried after a slow one, twice as much the next time


class Arena:
    """Memory for the large tensors of a component in one piece of `nbytes`, which goes when the last of them does.

    Its pages are provided by `provide`, huge ones where that is fast: 0.2 ms for 2 MB, against 0.8 in small ones, but
    5.6 in a virtual machine whose host has taken the free memory back (measured). So each one is timed, and after a
    slow one small ones serve for a while.
    """

    def __init__(self, nbytes: int):
        self._memory, self._used = _anonymous(nbytes), 0
        self._lock = threading.Lock()
        self._untouched = bytearray(b"\1" * (len(self._memory) // _HUGE))  # blocks that fill a huge page
        self._wait, self._patience = 0, _PATIENCE

    def room(self, count: int, dtype: Any) -> np.ndarray:
        """Room for `count` values; small ones, and those beyond the arena's size, are numpy's."""
        nbytes = count * np.dtype(dtype).itemsize
        if nbytes < _LARGE:
            return np.empty(count, dtype)
        with self._lock:
            begin = self._used
            if begin + nbytes > len(self._memory):
                return np.empty(count, dtype)
            self._used = begin + -(-nbytes // LINE) * LINE
        return self._memory[begin : begin + nbytes].view(dtype)

    def provide(self, values: np.ndarray) -> None:
        """Have the system provide the pages of `values`, a part of a `room`, a quarter faster than one by one.

        Just before they are written to, so that they are still in the cache. Where the system cannot, nothing happens.
        """
        advise = _madvise()
        first = values.ctypes.data - self._memory.ctypes.data
        if advise is None or not 0 <= first < len(self._memory):
            return
        for block in range(first // _HUGE, (first + values.nbytes - 1) // _HUGE + 1):
            with self._lock:
                if block >= len(self._untouched) or not self._untouched[block]:
                    continue
                self._untouched[block] = 0
                huge = self._wait == 0
                self._wait -= not huge
            self._populate(advise, self._memory.ctypes.data + block * _HUGE, huge)

    def _populate(self, advise: Callable[[int, int, int], int], address: int, huge: bool) -> None:
        if huge:
            advise(address, _HUGE, _ADVISE_HUGE)
        began = time.thread_time()
        advise(address, _HUGE, _POPULATE_WRITE)
        if huge and time.thread_time() - began > _SLOW_S:
            with self._lock:
                self._wait, self._patience = self._patience, 2 * self._patience


def reading_room(count: int, dtype: Any, offset: int) -> np.ndarray:
    """Room for `count` values that are read from `offset` of a file, half a page apart from it in the address.

    The system copies by an instruction that some processors (AMD's Zen among them) do at a quarter of their speed where
    the target's address, modulo a page, is up to 30 bytes ahead of the source's: 0.9 ns a float16 against 0.2.
    """
    nbytes = count * np.dtype(dtype).itemsize
    whole = np.empty(nbytes + _PAGE, np.uint8)
    begin = (offset // 16 * 16 + _PAGE // 2 - whole.ctypes.data) % _PAGE  # values stay aligned whatever the offset is
    return whole[begin : begin + nbytes].view(dtype)


def _anonymous(nbytes: int) -> np.ndarray:
    """Memory from the system, aligned as huge pages are; none for less than a tensor that lies in an arena."""
    if nbytes < _LARGE or sys.platform == "win32":
        return np.empty(0, np.uint8)
    try:
        whole = np.frombuffer(mmap.mmap(-1, nbytes + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    except OSError as error:
        raise MemoryError(f"{nbytes} bytes of memory for weights: {error.strerror or error}") from None
    return whole[-whole.ctypes.data % _HUGE :]


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The system's call; unlike the one of `mmap`, ctypes lets other threads run meanwhile."""
    if sys.platform != "linux":
        return None
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return advise
