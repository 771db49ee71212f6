"""The formulations for Ascend NPUs; nobody has run them on one yet.

They follow MindSpore 2.10's documentation of each call. Tests hold every call to its contract through a spy, and
`python -m mdiff.doctor` compares each with a CPU on the hardware itself.
"""

import functools
from collections.abc import Callable
from math import sqrt
from typing import Any

import mindspore as ms
from mindspore import mint, ops

from mdiff.device import portable
from mdiff.device.kernel import Kernels

# Head sizes that the fused attention takes: multiples of 16 up to 512. Those between these sizes are padded with
# zeros, which is exact: 40 as 64, and 160, of which wrong results were reported, as 256.
HEAD_DIMS = (64, 80, 96, 128, 256)
# Below this the fused group normalisation is outside of what CANN advises.
LEAST_EPS = 1e-5


def ascend_kernels(dtype: str, flash: bool) -> Kernels:
    """The formulations for one number format; `flash` says whether the device has the fused attention at all."""
    # The fused kernel takes half precision only; casting float32 down for it would be a silent substitution
    fused = flash and dtype != "float32"
    return Kernels(
        name="ascend",
        dtype=dtype,
        conv2d=conv2d,
        linear=linear,
        linear_from_pixels=linear_from_pixels,
        linear_to_pixels=linear_to_pixels,
        group_norm=group_norm,
        layer_norm=layer_norm,
        add_shift=portable.add_shift,
        silu=silu,
        gelu=gelu,
        quick_gelu=portable.quick_gelu,
        upsample_nearest=upsample_nearest,
        pad_asymmetric=pad_asymmetric,
        embedding=portable.embedding,
        attention=flash_attention if fused else portable.attention,
        sliced_attention=flash_attention if fused else portable.sliced_attention,  # it stores no scores
        # 77 tokens with a causal mask gain nothing from the fused kernel, whose masks mean the opposite
        masked_attention=portable.attention,
    )


@functools.cache
def conv2d(out_channels: int, kernel: int, stride: int = 1, padding: int = 0) -> Callable[..., Any]:
    """`portable.conv2d`; the weight already says `out_channels` and `kernel`."""

    def run(x, weight, bias):
        return mint.nn.functional.conv2d(x, weight, bias, stride=stride, padding=padding)

    return run


def linear(x, weight, bias=None):
    """`portable.linear`."""
    return mint.nn.functional.linear(x, weight, bias)


def linear_from_pixels(x, weight, bias):
    """`portable.linear_from_pixels`."""
    return linear(portable.rows_of(x), weight, bias)


def linear_to_pixels(x, weight, bias, height: int, width: int):
    """`portable.linear_to_pixels`."""
    return portable.pixels_of(linear(x, weight, bias), height, width)


@functools.cache
def group_norm(groups: int, eps: float) -> Callable[..., Any]:
    """`portable.group_norm` by the fused kernel, composed in float32 where eps is too small for that."""
    if eps < LEAST_EPS:
        return portable.group_norm(groups, eps)

    def run(x, weight, bias):
        return mint.nn.functional.group_norm(x, groups, weight, bias, eps=eps)

    return run


@functools.cache
def layer_norm(eps: float) -> Callable[..., Any]:
    """`portable.layer_norm` by the fused kernel; eps is passed always, since defaults differ between calls."""

    def run(x, weight, bias):
        return mint.nn.functional.layer_norm(x, (x.shape[-1],), weight, bias, eps=eps)

    return run


def silu(x):
    """`portable.silu`."""
    return mint.nn.functional.silu(x)


def gelu(x):
    """`portable.gelu`: the erf form, which other spellings of GELU in MindSpore are not."""
    return mint.nn.functional.gelu(x, approximate="none")


def upsample_nearest(x, height: int, width: int):
    """`portable.upsample_nearest`, always by size: a scale factor rounds for odd sizes."""
    return mint.nn.functional.interpolate(x, size=(height, width), mode="nearest")


def pad_asymmetric(x):
    """`portable.pad_asymmetric`."""
    return mint.nn.functional.pad(x, (0, 1, 0, 1))


def padded(head_dim: int) -> int | None:
    """The head size at which the fused attention runs, None where it should not."""
    return next((size for size in HEAD_DIMS if size >= head_dim), None)


@ms.jit_class
class FlashAttention:
    """softmax(q kᵀ / √D) v by `ops.flash_attention_score`, which keeps scores in float32 and never stores them.

    Heads are padded with zeros once, in `split`; the scale stays that of the true size.
    """

    def __init__(self, heads: int, head_dim: int, size: int):
        self.heads = heads
        self.head_dim = head_dim
        self.extra = size - head_dim
        self.scale = 1.0 / sqrt(head_dim)

    def split(self, x):
        """Arrange tokens (B, S, H·D) as (B, H, S, D'), D' the size that the kernel takes."""
        x = ops.transpose(ops.reshape(x, (x.shape[0], -1, self.heads, self.head_dim)), (0, 2, 1, 3))  # (B, H, S, D)
        if self.extra > 0:
            x = mint.nn.functional.pad(x, (0, self.extra))
        return x

    def attend(self, q, k, v):
        """Attend from q (B, H, S, D') to k, v (B, H, T, D'). Return (B, S, H·D)."""
        mixed = ops.flash_attention_score(q, k, v, self.heads, scalar_value=self.scale, input_layout="BNSD")
        if self.extra > 0:
            mixed = mixed[:, :, :, : self.head_dim]
        # (B, H, S, D) -> (B, S, H·D)
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (q.shape[0], -1, self.heads * self.head_dim))


@functools.cache
def flash_attention(heads: int, head_dim: int, upcast: bool = False) -> Any:
    """Fused attention where its head sizes reach, else matrix products.

    `upcast` asks for scores in float32, which is what the fused kernel has in any case.
    """
    size = padded(head_dim)
    if size is None:
        return portable.attention(heads, head_dim, upcast)
    return FlashAttention(heads, head_dim, size)
