"""Attention in parts: as few as keep the scores within bounds, and the same result."""

import mindspore as ms
import numpy as np
import pytest

from mdiff import device as devices
from mdiff.device import portable
from mdiff.doctor import reference


@pytest.mark.parametrize(
    ("shape", "keys", "parts"),
    [
        ((2, 8, 1024, 80), 1024, 1),
        ((2, 8, 4096, 40), 77, 1),
        ((2, 8, 4096, 40), 4096, 2),
        ((1, 1, 16384, 512), 16384, 2),
    ],
)
def test_parts_of_real_sizes(shape, keys, parts):
    spans = portable.spans(shape, keys, portable.SCORES)
    assert len(spans) == parts
    small = portable.spans(shape, keys, portable.SLICED_SCORES)
    scores = np.prod(shape[:3]) * keys
    assert len(small) == -(-scores // portable.SLICED_SCORES)
    assert spans[0][0] == 0
    assert spans[-1][1] == shape[2]


@pytest.mark.parametrize("limit", [2 * 3 * 7 * 11, 200, 1])
def test_parts_give_the_same(limit):
    """One part, uneven parts, a query at a time."""
    draw = np.random.default_rng(0).standard_normal
    q, k, v = (draw((2, n, 3 * 8)).astype(np.float32) for n in (7, 11, 11))
    kernel = portable.MatmulAttention(3, 8, most=limit)

    def run(q, k, v):
        return kernel.attend(kernel.split(q), kernel.split(k), kernel.split(v))

    result = ms.jit(run)(*map(ms.Tensor, (q, k, v))).asnumpy()
    assert np.abs(result - reference.attention(*(each.astype(np.float64) for each in (q, k, v)), 3)).max() < 1e-5


def test_slices_are_a_formulation_of_the_device_layer():
    """Matrix products take fewer scores at a time; the fused kernel stores none, so that nothing changes there."""
    cpu = devices.choose("cpu")
    precision = devices.resolve_precision("fp32", cpu)
    plain, sliced = devices.kernels(cpu, precision), devices.kernels(cpu, precision, sliced=True)
    assert plain.attention(8, 40).most == portable.SCORES
    assert sliced.attention(8, 40).most == portable.SLICED_SCORES
    assert sliced.attention(8, 40) is sliced.attention(8, 40), "shared, so that it is compiled once"
    assert sliced.masked_attention is plain.masked_attention
    npu = devices.Device("ascend", 0, "Ascend910B")
    half = devices.resolve_precision("bf16", npu)
    assert devices.kernels(npu, half, sliced=True) == devices.kernels(npu, half)
    assert devices.kernels(npu, half, "float32", sliced=True).attention is portable.sliced_attention
