"""The collector is left alone for a block and is as it was after it."""

import gc
import weakref

import pytest

from mdiff.device.collection import paused_collection, spared_collection


class Ring:
    def __init__(self) -> None:
        self.own = self


def test_nothing_is_collected_on_its_own_in_a_paused_block():
    before = gc.isenabled()
    with pytest.raises(KeyError), paused_collection():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled() is before
    gc.disable()
    try:
        with paused_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_existed_is_spared_in_the_block_and_collected_after_it():
    ring = Ring()
    gone = weakref.ref(ring)
    with spared_collection():
        del ring
        young = Ring()
        young_gone = weakref.ref(young)
        del young
        gc.collect()
        assert gone() is not None
        assert young_gone() is None
    gc.collect()
    assert gone() is None
    assert gc.get_freeze_count() == 0


def test_what_the_caller_froze_stays_frozen():
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with spared_collection():
            pass
        assert gc.get_freeze_count() >= count // 2 > 0
    finally:
        gc.unfreeze()
