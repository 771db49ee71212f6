"""Each operation of the networks in plain MindSpore operators: what every faster formulation is compared with.

Shapes: B images, C channels, h and w rows and columns, S tokens, N any number of rows.
"""

import functools
from collections.abc import Callable
from itertools import pairwise
from math import sqrt
from typing import Any

import mindspore as ms
from mindspore import ops
from mindspore.ops import constexpr

# Scores that exist at a time, 0.5 GB in float32: all at once would be most of the memory of a large picture.
SCORES = 2**27
SLICED_SCORES = 2**23  # where memory is short, 32 MB


@functools.cache
def conv2d(out_channels: int, kernel: int, stride: int = 1, padding: int = 0) -> Callable[..., Any]:
    """Return f(x (B, C, h, w), weight (O, C, kernel, kernel), bias (O,) or None) -> (B, O, h', w')."""
    convolve = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)

    def run(x, weight, bias):
        y = convolve(x, weight)
        return y if bias is None else y + bias.reshape(1, -1, 1, 1)

    return run


def linear(x, weight, bias=None):
    """Map rows x (N, I) by weight (O, I) and bias (O,) or None to (N, O)."""
    y = ops.matmul(x, weight.T)
    return y if bias is None else y + bias


def linear_from_pixels(x, weight, bias):
    """Map the pixels of x (B, C, h, w) by weight (O, C) and bias (O,) to rows (B·h·w, O)."""
    return linear(rows_of(x), weight, bias)


def linear_to_pixels(x, weight, bias, height: int, width: int):
    """Map rows x (B·h·w, I) by weight (O, I) and bias (O,) to the pixels of (B, O, h, w)."""
    return pixels_of(linear(x, weight, bias), height, width)


def rows_of(x):
    """Arrange (B, C, h, w) as rows (B·h·w, C)."""
    b, c, h, w = x.shape
    return ops.reshape(ops.transpose(ops.reshape(x, (b, c, h * w)), (0, 2, 1)), (b * h * w, c))


def pixels_of(x, height: int, width: int):
    """Arrange rows (B·h·w, C) as (B, C, h, w)."""
    channels = x.shape[1]
    tokens = ops.reshape(x, (-1, height * width, channels))
    return ops.reshape(ops.transpose(tokens, (0, 2, 1)), (-1, channels, height, width))


@functools.cache
def group_norm(groups: int, eps: float) -> Callable[..., Any]:
    """Return f(x (B, C, h, w), weight (C,), bias (C,)): Wu & He 2018, statistics in float32."""

    def run(x, weight, bias):
        b, c, h, w = x.shape
        grouped = x.astype(ms.float32).reshape(b, groups, -1)  # (B, G, C/G·h·w)
        centred = grouped - grouped.mean(-1, keep_dims=True)
        variance = (centred * centred).mean(-1, keep_dims=True)
        normal = (centred / ops.sqrt(variance + eps)).reshape(b, c, h, w)
        return (normal * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)).astype(x.dtype)

    return run


@functools.cache
def layer_norm(eps: float) -> Callable[..., Any]:
    """Return f(x (..., C), weight (C,), bias (C,)): Ba et al. 2016, statistics in float32."""

    def run(x, weight, bias):
        wide = x.astype(ms.float32)
        centred = wide - wide.mean(-1, keep_dims=True)
        variance = (centred * centred).mean(-1, keep_dims=True)
        return (centred / ops.sqrt(variance + eps) * weight + bias).astype(x.dtype)

    return run


def add_shift(x, shift):
    """Add shift (B, C) to every pixel of x (B, C, h, w)."""
    return x + shift.reshape(shift.shape[0], shift.shape[1], 1, 1)


def silu(x):
    """x times its logistic function."""
    return x * ops.sigmoid(x)


def gelu(x):
    """x times the normal distribution function, exact (erf)."""
    return x * 0.5 * (1.0 + ops.erf(x * 0.7071067811865476))


def quick_gelu(x):
    """CLIP's approximation of GELU."""
    return x * ops.sigmoid(1.702 * x)


def upsample_nearest(x, height: int, width: int):
    """Repeat pixels of x (B, C, h, w) to (B, C, height, width): row i comes from row floor(i · h / height)."""
    h, w = x.shape[2], x.shape[3]
    rows = ops.arange(0, height) * h // height
    columns = ops.arange(0, width) * w // width
    return ops.gather(ops.gather(x, rows, 2), columns, 3)


def pad_asymmetric(x):
    """Add a zero row below and a zero column to the right of x (B, C, h, w)."""
    return ops.pad(x, (0, 1, 0, 1))


def embedding(table, ids):
    """Look up ids (n, S) int32 in the table (V, C): (n, S, C)."""
    return ops.gather(table, ids, 0)


@constexpr
def spans(shape: tuple[int, ...], keys: int, most: int) -> tuple[tuple[int, int], ...]:
    """Cut the queries (B, H, S, D) into as few equal parts as have at most `most` scores each, while compiling."""
    b, h, s, _ = shape
    parts = min(s, -(-b * h * s * keys // most))
    bounds = [s * i // parts for i in range(parts + 1)]
    return tuple(pairwise(bounds))


@ms.jit_class
class MatmulAttention:
    """softmax(q kᵀ / √D) v by batched matrix products; scores in float32 where `upcast` or the softmax needs it.

    `split` arranges tokens by head; it is separate so that keys and values which stay the same are split once.
    """

    def __init__(self, heads: int, head_dim: int, upcast: bool = False, most: int = SCORES):
        self.heads = heads
        self.head_dim = head_dim
        self.upcast = upcast
        self.most = most
        self.scale = 1.0 / sqrt(head_dim)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()

    def split(self, x):
        """Arrange tokens (B, S, H·D) as (B, H, S, D)."""
        return ops.transpose(ops.reshape(x, (x.shape[0], -1, self.heads, self.head_dim)), (0, 2, 1, 3))

    def attend(self, q, k, v, mask=None):
        """Attend from q (B, H, S, D) to k, v (B, H, T, D); mask (S, T) is added to the scores. Return (B, S, H·D).

        Without a mask, queries are taken in parts that keep the scores below `most`.
        """
        cuts = spans(q.shape, k.shape[2], self.most)
        if mask is not None or len(cuts) == 1:
            mixed = self.mixed(q, k, v, mask)  # (B, H, S, D)
        else:
            parts: tuple = ()
            for begin, end in cuts:
                parts = (*parts, self.mixed(q[:, :, begin:end], k, v, None))
            mixed = ops.concat(parts, 2)  # (B, H, S, D)
        return self.merge(mixed)

    def merge(self, x):
        """Arrange heads (B, H, S, D) as tokens (B, S, H·D)."""
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (x.shape[0], -1, self.heads * self.head_dim))

    def mixed(self, q, k, v, mask):
        """The values (B, H, S, D) by the weights of the scores (B, H, S, T)."""
        if self.upcast:
            q, k = ops.cast(q, ms.float32), ops.cast(k, ms.float32)
        scores = ops.cast(self.scores(q * self.scale, k), ms.float32)
        if mask is not None:
            scores = scores + mask
        return self.mix(ops.cast(ops.softmax(scores, -1), v.dtype), v)


@functools.cache
def attention(heads: int, head_dim: int, upcast: bool = False) -> MatmulAttention:
    """Attention by matrix products, the same object for the same shape: what is shared is compiled once."""
    return MatmulAttention(heads, head_dim, upcast)


@functools.cache
def sliced_attention(heads: int, head_dim: int, upcast: bool = False) -> MatmulAttention:
    """`attention` with fewer scores at a time: less memory, and slower."""
    return MatmulAttention(heads, head_dim, upcast, SLICED_SCORES)
