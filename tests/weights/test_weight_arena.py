"""Memory for weights: every tensor has its own, and huge pages are asked for while they are quick."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mdiff.weights import memory
from mdiff.weights.memory import LINE, Arena

COUNTS = [1, 20_000, 262_144, 262_144 * 3 + 5, 700_001, 16_384]
BLOCK = 1 << 21


def filled(arena, number, count):
    values = arena.room(count, np.float32)
    for begin in range(0, count, 262_144):
        part = values[begin : begin + 262_144]
        arena.provide(part)
        part[:] = number
    return values


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_no_tensor_lies_in_another(share):
    """Filled by several threads at once; what an arena has no place for is numpy's."""
    arena = Arena(int(share * sum(4 * count + LINE for count in COUNTS * 3)))
    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(lambda number: filled(arena, number, COUNTS[number % 6]), range(18)))
    for number, values in enumerate(arrays):
        assert values.size == COUNTS[number % 6] and (values == number).all()
        assert values.flags.writeable and values.flags.aligned


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures with Linux's /proc")
def test_what_has_gone_takes_no_memory():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    arena = Arena(200 << 20)
    values = filled(arena, 1, 50 << 20)
    assert resident() - before > 190 << 20
    del arena
    assert (values == 1).all()
    del values
    assert resident() - before < 20 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="pages are asked for on Linux")
def test_huge_pages_are_given_up_for_a_while_when_they_are_slow(monkeypatch):
    asked = []
    seconds = iter(range(10**6))  # every call of the clock is a second later: each huge page takes too long
    monkeypatch.setattr(memory, "_madvise", lambda: lambda address, size, advice: asked.append((address, advice)))
    monkeypatch.setattr(memory.time, "thread_time", lambda: next(seconds))
    arena = Arena(800 * BLOCK)
    arena.provide(arena.room(200 * BLOCK, np.float32))
    huge = [(address - asked[0][0]) // BLOCK for address, advice in asked if advice == memory._ADVISE_HUGE]
    assert huge == [0, 257, 770], "256 small ones, then 512"
    populated = [address for address, advice in asked if advice == memory._POPULATE_WRITE]
    assert len(populated) == len(set(populated)) == 800, "each once"

    asked.clear()
    monkeypatch.setattr(memory.time, "thread_time", lambda: 0.0)
    arena = Arena(800 * BLOCK)
    arena.provide(arena.room(200 * BLOCK, np.float32))
    assert sum(advice == memory._ADVISE_HUGE for _, advice in asked) == 800


def test_more_than_there_is_is_a_lack_of_memory():
    with pytest.raises(MemoryError, match=f"{1 << 60} bytes of memory for weights"):
        Arena(1 << 60)
