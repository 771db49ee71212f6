"""Half precision is widened quickly and to the last bit as numpy does it, for every value that there is."""

import numpy as np
import pytest

from mdiff.weights import convert
from mdiff.weights.convert import to_float32, widen_into

EVERY = np.arange(65536, dtype=np.uint16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_value(dtype):
    array = EVERY.view(np.float16) if dtype == "float16" else EVERY
    out = np.empty(65536, np.float32)
    widen_into(out, array, dtype)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(out.view(np.uint32), to_float32(array, dtype).view(np.uint32))


def test_one_value_that_is_not_finite_leaves_its_block_to_numpy():
    array = np.random.default_rng(0).standard_normal(3 * convert._BLOCK + 5, dtype=np.float32).astype(np.float16)
    array[convert._BLOCK + 7], array[-1] = -np.inf, np.nan
    out = np.empty(array.size, np.float32)
    widen_into(out, array, "float16")
    assert np.array_equal(out, array.astype(np.float32), equal_nan=True)
