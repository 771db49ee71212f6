"""Faster exact formulations for MindSpore's CPU kernels, each equal to its plain neighbour in `portable`.

The CPU's kernels for composed reductions, erf and gathers run on one thread or pass over memory many times; oneDNN's
batch normalisation and matrix products do not. Float32 only: half precision has no kernels worth using here.
"""

import functools
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import ops

from mdiff.device import portable

# sigmoid(x · P(x²)) for the normal distribution function: P is a minimax fit of logit(Φ(x)) / x in x² on [0, 6],
# weighted by what an error does to x·Φ(x), which it meets within 3.4e-6 everywhere in float32. Its last coefficient is
# positive, so that beyond the fit the sigmoid stays at 0 or 1 and x needs no bounds.
GELU_POLYNOMIAL = (1.59565515, 7.29398635e-2, -2.50953494e-4, -6.09342243e-5, 2.22525567e-6)


@functools.cache
def conv2d(out_channels: int, kernel: int, stride: int = 1, padding: int = 0) -> Callable[..., Any]:
    """`portable.conv2d` with the bias through BiasAdd, a third of a broadcast addition."""
    convolve = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)
    add_bias = ops.BiasAdd()

    def run(x, weight, bias):
        y = convolve(x, weight)
        return y if bias is None else add_bias(y, bias)

    return run


_rows_by_weight = ops.MatMul(transpose_b=True)
_add_bias = ops.BiasAdd()


def linear(x, weight, bias=None):
    """`portable.linear` without a transposed copy of the weight."""
    y = _rows_by_weight(x, weight)
    return y if bias is None else _add_bias(y, bias)


_batch_by_weight = ops.BatchMatMul(transpose_a=True, transpose_b=True)
_weight_by_batch = ops.BatchMatMul(transpose_b=True)


def linear_from_pixels(x, weight, bias):
    """`portable.linear_from_pixels`, the product transposing as it goes: a Transpose takes as long as the product."""
    b, c, h, w = x.shape
    y = _batch_by_weight(ops.reshape(x, (b, c, h * w)), _repeated(weight, b))  # (B, h·w, O)
    return _add_bias(ops.reshape(y, (b * h * w, -1)), bias)


def linear_to_pixels(x, weight, bias, height: int, width: int):
    """`portable.linear_to_pixels`, the product transposing as it goes."""
    tokens = ops.reshape(x, (-1, height * width, x.shape[1]))  # (B, h·w, I)
    y = _weight_by_batch(_repeated(weight, tokens.shape[0]), tokens)  # (B, O, h·w)
    return _add_bias(ops.reshape(y, (tokens.shape[0], -1, height, width)), bias)


def _repeated(weight, count: int):
    """The weight once for each image, since the product does not broadcast."""
    one = ops.reshape(weight, (1, *weight.shape))
    return one if count == 1 else ops.concat((one,) * count)


@functools.cache
def group_norm(groups: int, eps: float) -> Callable[..., Any]:
    """`portable.group_norm` as batch normalisation of one image whose channels are the B·G groups.

    Momentum 0 leaves the running statistics alone, which the kernel otherwise updates in place, constants or not.
    Weight and bias follow as a second one, with mean 0 and variance 1 (2⁻²⁵ more is 1 in float32): a product that
    broadcasts is slower, and keeps 16 bytes an element for as long as the graph lives.
    """
    normalise = ops.BatchNorm(is_training=True, epsilon=eps, momentum=0.0)
    scale_and_shift = ops.BatchNorm(is_training=False, epsilon=2.0**-25)

    def run(x, weight, bias):
        b, c, h, w = x.shape
        shape = (1, b * groups, c // groups, h * w)
        one, zero = ops.ones((b * groups,), ms.float32), ops.zeros((b * groups,), ms.float32)
        normal = ops.reshape(normalise(ops.reshape(x, shape), one, zero, zero, one)[0], x.shape)
        return scale_and_shift(normal, weight, bias, ops.zeros((c,), ms.float32), ops.ones((c,), ms.float32))[0]

    return run


@functools.cache
def layer_norm(eps: float) -> Callable[..., Any]:
    """`portable.layer_norm` by the fused kernel."""
    normalise = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=eps)

    def run(x, weight, bias):
        return normalise(x, weight, bias)[0]

    return run


def add_shift(x, shift):
    """`portable.add_shift` as the bias of one image with B·C channels."""
    whole = ops.reshape(x, (1, -1, *x.shape[2:]))  # (1, B·C, h, w)
    return ops.reshape(_add_bias(whole, ops.reshape(shift, (-1,))), x.shape)


def silu(x):
    """`portable.silu` by the fused kernel."""
    return ops.silu(x)


def gelu(x):
    """`portable.gelu` within 3.4e-6: x · sigmoid(x · P(x²))."""
    c0, c1, c2, c3, c4 = GELU_POLYNOMIAL
    u = x * x
    return x * ops.sigmoid(x * ((((c4 * u + c3) * u + c2) * u + c1) * u + c0))


@ms.jit_class
class HeadsAttention(portable.MatmulAttention):
    """`portable.MatmulAttention`, its heads cut out and joined, which takes half the time of a Transpose.

    That one also keeps 8 bytes an element for as long as the graph lives.
    """

    def split(self, x):
        """Arrange tokens (B, S, H·D) as (B, H, S, D)."""
        return ops.stack(ops.split(x, self.head_dim, 2), 1)

    def merge(self, x):
        """Arrange heads (B, H, S, D) as tokens (B, S, H·D)."""
        return ops.concat(ops.unstack(x, 1), 2)


@functools.cache
def attention(heads: int, head_dim: int, upcast: bool = False) -> HeadsAttention:
    """`portable.attention` without transposing."""
    return HeadsAttention(heads, head_dim, upcast)


@functools.cache
def sliced_attention(heads: int, head_dim: int, upcast: bool = False) -> HeadsAttention:
    """`portable.sliced_attention` without transposing."""
    return HeadsAttention(heads, head_dim, upcast, portable.SLICED_SCORES)


def upsample_nearest(x, height: int, width: int):
    """`portable.upsample_nearest` by a product with a 0/1 matrix along the rows, doubled lines by concatenation.

    Bit-exact for finite values, since each sum has one term.
    """
    b, c, h, w = x.shape
    source = ops.arange(0, width) * w // width  # the column that each new column repeats
    spread = (ops.arange(0, w).reshape(w, 1) == source.reshape(1, width)).astype(ms.float32)  # (w, width)
    if height == 2 * h:
        wide = ops.matmul(x.reshape(b * c * h, w), spread)  # (B·C·h, width)
        return ops.concat((wide, wide), 1).reshape(b, c, height, width)  # a line and its copy lie side by side
    rows = ops.gather(x, ops.arange(0, height) * h // height, 2)  # (B, C, height, w)
    return ops.matmul(rows.reshape(b * c * height, w), spread).reshape(b, c, height, width)
