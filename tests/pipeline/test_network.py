"""Compiled stages: one graph a shape, and of many shapes those used last."""

import gc
import weakref

import numpy as np
import pytest

from mdiff import device as devices

devices.prepare_environment()


@pytest.fixture
def compiled(monkeypatch):
    devices.activate(devices.choose("cpu"))
    from mindspore import nn

    from mdiff.pipeline import network

    monkeypatch.setattr(network, "KEPT_SHAPES", 2)
    return network.Compiled(nn.ReLU(), "rectifier")


def test_few_graphs_are_kept_and_all_shapes_are_right(compiled):
    seconds = []
    for rows in (1, 2, 1, 3, 1, 2):
        x = np.linspace(-1, 1, rows * 3, dtype=np.float32).reshape(rows, 3)
        assert np.array_equal(compiled(x), np.maximum(x, 0))
        seconds.append(compiled.compile_seconds)
        assert len(compiled._stages) <= 2
    compiles = [after > before for before, after in zip([0.0, *seconds], seconds, strict=False)]
    assert compiles == [True, True, False, True, False, True], "3 took the place of 2, not of 1"


def test_a_graph_goes_with_its_cell(compiled):
    """MindSpore frees it when the cell is gone, so nothing may hold on to that."""
    compiled(np.zeros((1, 3), np.float32))
    (stage,) = (weakref.ref(each) for each in compiled._stages.values())
    for rows in (2, 3):
        compiled(np.zeros((rows, 3), np.float32))
    gc.collect()
    assert stage() is None
