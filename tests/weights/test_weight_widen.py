"""Half precision is widened quickly and to the last bit as numpy does it, for every value that there is."""

import numpy as np
import pytest

from mdiff.weights.convert import to_float32, widen_into
from mdiff.weights.memory import reading_room

EVERY = np.arange(65536, dtype=np.uint16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_value(dtype):
    array = EVERY.view(np.float16) if dtype == "float16" else EVERY
    finite = np.isfinite(to_float32(array, dtype))
    for values in (array, array[finite]):  # the others are left to numpy
        out = np.empty(values.size, np.float32)
        widen_into(out, values, dtype)
        with np.errstate(invalid="ignore"):
            assert np.array_equal(out.view(np.uint32), to_float32(values, dtype).view(np.uint32))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_one_value_that_is_not_finite(value):
    array = np.random.default_rng(0).standard_normal(200_005, dtype=np.float32).astype(np.float16)
    array[100_007] = value
    out = np.empty(array.size, np.float32)
    widen_into(out, array, "float16")
    assert np.array_equal(out, array.astype(np.float32), equal_nan=True)


def test_nothing_at_all():
    widen_into(np.empty(0, np.float32), np.empty(0, np.float16), "float16")


@pytest.mark.parametrize("offset", [0, 8, 40, 4095, 123_457])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_what_is_read_lies_half_a_page_from_where_it_was(offset, dtype):
    values = reading_room(1000, dtype, offset)
    assert values.shape == (1000,) and values.dtype == dtype and values.flags.aligned and values.flags.writeable
    assert 2032 < (values.ctypes.data - offset) % 4096 <= 2048
