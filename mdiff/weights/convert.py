"""Number formats of weights, in numpy alone: bfloat16 is kept as its bit patterns in uint16."""

import numpy as np

# What holds a tensor of each type in numpy before MindSpore (which registers a bfloat16) is imported
NUMPY = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.uint16,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}
_TWO = np.int16(0x4000)  # the first bit of a float16's exponent: 2 and beyond
_INFINITY, _MINUS_INFINITY = np.int16(0x7C00), np.uint16(0xFC00)  # and NaNs beyond
_SIGN_AND_HALF, _RANGE = np.int32(-0x70002000), np.float32(2.0**112)  # bits 31 and 27 to 13
FLOATING = ("float64", "float32", "float16", "bfloat16")


def to_float32(array: np.ndarray, dtype: str) -> np.ndarray:
    """Widen (or from float64 narrow) `array` of the type `dtype` to float32; bfloat16 is the upper half of it."""
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def from_float32(array: np.ndarray, dtype: str) -> np.ndarray:
    """Round float32 to `dtype`, to nearest, ties to even; OverflowError where float16 cannot hold a finite value."""
    if dtype == "bfloat16":
        bits = array.view(np.uint32)
        rounded = ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)
        # The carry of a NaN's payload would reach the sign: NaNs keep their upper half, made quiet.
        return np.where(np.isnan(array), (bits >> 16).astype(np.uint16) | 0x40, rounded)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if not np.array_equal(np.isfinite(half), np.isfinite(array)):
            raise OverflowError("a value is beyond the range of float16")
        return half
    return array.astype(NUMPY[dtype], copy=False)


def widen_into(out: np.ndarray, array: np.ndarray, dtype: str) -> None:
    """`to_float32` of flat float16 or bfloat16 into `out`; float16 three times as fast as numpy.

    A float16's exponent and fraction, moved into a float32's place, are its value by 2⁻¹¹² (subnormals too); an array
    with an infinity or a NaN is left to numpy. Most weights are below 2, where the exponent's first bit is not set.
    """
    bits = out.view(np.int32)
    if dtype == "bfloat16":
        bits[:] = array
        bits <<= 16
        return
    half = array.view(np.int16)
    if np.bitwise_or.reduce(half) & _TWO and (half.max() >= _INFINITY or half.view(np.uint16).max() >= _MINUS_INFINITY):
        out[:] = array
        return
    bits[:] = half  # the sign comes along into the upper half
    bits <<= 13
    bits &= _SIGN_AND_HALF
    out *= _RANGE


def convert(array: np.ndarray, source: str, target: str, round_to: str | None = None) -> np.ndarray:
    """Convert values of the type `source` to `target`, through `round_to` where the precision asks for coarser values.

    Precision bf16 on a device without bf16 kernels keeps float32 parameters whose values are those of bfloat16:
    ``convert(x, "float32", "float32", round_to="bfloat16")``.
    """
    if source == target and round_to in (None, source):
        return array
    if source not in FLOATING or target not in FLOATING:
        return array.astype(NUMPY[target])
    values = to_float32(array, source)
    if round_to is not None and round_to not in ("float32", source):
        values = to_float32(from_float32(values, round_to), round_to)
    return from_float32(values, target)
