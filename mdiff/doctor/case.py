"""The operations at the shapes that Stable Diffusion has, each with inputs and the right answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdiff.device import Kernels
from mdiff.doctor import reference

# Largest difference from the reference, relative to its standard deviation, by number format: a few roundings of
# 2⁻²⁴, 2⁻¹¹ and 2⁻⁸, grown by sums over some thousand terms and by what normalisation does to small numbers.
TOLERANCE = {"float32": 5e-5, "float16": 1.5e-2, "bfloat16": 8e-2}


@dataclass(frozen=True)
class Case:
    """One operation at one shape.

    `shapes` are those of the inputs, drawn from a normal distribution (scaled by `scales` where given) and rounded to
    the number format; `run` makes the device's function from its kernels, `expected` is the same in float64.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    run: Callable[[Kernels], Callable[..., Any]]
    expected: Callable[..., np.ndarray]
    scales: tuple[float, ...] | None = None

    def inputs(self) -> list[np.ndarray]:
        """The same float32 inputs every time."""
        draw = np.random.default_rng(0).standard_normal
        scales = (1.0,) * len(self.shapes) if self.scales is None else self.scales
        return [np.float32(s) * draw(shape, np.float32) for shape, s in zip(self.shapes, scales, strict=True)]


def _conv(name: str, channels: int, out: int, kernel: int, stride: int, padding: int, size: tuple[int, int]) -> Case:
    shapes = ((2, channels, *size), (out, channels, kernel, kernel), (out,))
    return Case(
        f"conv2d, {name}",
        shapes,
        lambda kernels: kernels.conv2d(out, kernel, stride, padding),
        lambda x, weight, bias: reference.conv2d(x, weight, bias, stride, padding),
        (1.0, (channels * kernel * kernel) ** -0.5, 1.0),
    )


def _group_norm(channels: int, eps: float, offset_scale: float = 1.0) -> Case:
    return Case(
        f"group_norm, {channels} channels, eps {eps:g}",
        ((2, channels, 16, 12), (channels,), (channels,)),
        lambda kernels: kernels.group_norm(32, eps),
        lambda x, weight, bias: reference.group_norm(x, weight, bias, 32, eps),
        (offset_scale, 1.0, 1.0),
    )


def _pointwise(name: str, expected: Callable[..., np.ndarray]) -> Case:
    return Case(name, ((256, 1280),), lambda kernels: getattr(kernels, name), expected, (3.0,))


def _upsample(height: int, width: int, size: tuple[int, int]) -> Case:
    def make(kernels: Kernels) -> Callable[..., Any]:
        upsample = kernels.upsample_nearest

        def run(x):
            return upsample(x, height, width)

        return run

    return Case(
        f"upsample_nearest, {size[0]}×{size[1]} to {height}×{width}",
        ((2, 32, *size),),
        make,
        lambda x: reference.upsample_nearest(x, height, width),
    )


def _to_pixels(width: int, channels: int, height: int, columns: int) -> Case:
    def make(kernels: Kernels) -> Callable[..., Any]:
        linear = kernels.linear_to_pixels

        def run(x, weight, bias):
            return linear(x, weight, bias, height, columns)

        return run

    return Case(
        "linear_to_pixels",
        ((2 * height * columns, width), (channels, width), (channels,)),
        make,
        lambda x, weight, bias: (x @ weight.T + bias).reshape(2, height, columns, -1).transpose(0, 3, 1, 2),
        (1.0, width**-0.5, 1.0),
    )


def _attention(name: str, heads: int, dim: int, queries: int, keys: int, kind: str = "attention") -> Case:
    def make(kernels: Kernels) -> Callable[..., Any]:
        kernel = getattr(kernels, kind)(heads, dim)

        def run(q, k, v):
            return kernel.attend(kernel.split(q), kernel.split(k), kernel.split(v))

        return run

    width = heads * dim
    return Case(
        f"{kind}, {name}: {heads} × {dim}, {queries} to {keys}",
        ((2, queries, width), (2, keys, width), (2, keys, width)),
        make,
        lambda q, k, v: reference.attention(q, k, v, heads),
    )


def _causal(heads: int, dim: int, tokens: int) -> Case:
    def make(kernels: Kernels) -> Callable[..., Any]:
        import mindspore as ms

        kernel = kernels.masked_attention(heads, dim)
        mask = ms.Tensor(np.triu(np.full((tokens, tokens), -1e30, np.float32), 1))

        def run(q, k, v):
            return kernel.attend(kernel.split(q), kernel.split(k), kernel.split(v), mask)

        return run

    return Case(
        f"masked_attention, {heads} × {dim}, {tokens} tokens",
        ((2, tokens, heads * dim),) * 3,
        make,
        lambda q, k, v: reference.attention(q, k, v, heads, causal=True),
    )


def _embedding() -> Case:
    def make(kernels: Kernels) -> Callable[..., Any]:
        import mindspore as ms

        look_up, ids = kernels.embedding, ms.Tensor(np.array([[0, 76, 999], [5, 5, 1]], np.int32))

        def run(table):
            return look_up(table, ids)

        return run

    return Case("embedding", ((1000, 64),), make, lambda table: table[np.array([[0, 76, 999], [5, 5, 1]])])


CASES = (
    _conv("3×3", 320, 320, 3, 1, 1, (16, 12)),
    _conv("3×3 stride 2", 64, 64, 3, 2, 1, (16, 13)),
    _conv("3×3 stride 2 unpadded", 64, 64, 3, 2, 0, (17, 13)),
    _conv("1×1", 640, 320, 1, 1, 0, (8, 8)),
    _conv("from 4 channels", 4, 320, 3, 1, 1, (16, 16)),
    _conv("to 3 channels", 128, 3, 3, 1, 1, (16, 16)),
    Case(
        "linear",
        ((154, 768), (320, 768), (320,)),
        lambda kernels: kernels.linear,
        lambda x, weight, bias: x @ weight.T + bias,
        (1.0, 768**-0.5, 1.0),
    ),
    Case(
        "linear without bias",
        ((512, 320), (2560, 320)),
        lambda kernels: kernels.linear,
        lambda x, weight: x @ weight.T,
        (1.0, 320**-0.5),
    ),
    Case(
        "linear_from_pixels",
        ((2, 640, 12, 8), (320, 640), (320,)),
        lambda kernels: kernels.linear_from_pixels,
        lambda x, weight, bias: x.transpose(0, 2, 3, 1).reshape(-1, 640) @ weight.T + bias,
        (1.0, 640**-0.5, 1.0),
    ),
    _to_pixels(320, 640, 12, 8),
    _group_norm(320, 1e-5),
    _group_norm(2560, 1e-5, 0.01),
    _group_norm(512, 1e-6),
    Case(
        "layer_norm",
        ((256, 640), (640,), (640,)),
        lambda kernels: kernels.layer_norm(1e-5),
        lambda x, weight, bias: reference.layer_norm(x, weight, bias, 1e-5),
    ),
    Case(
        "add_shift",
        ((2, 320, 16, 12), (2, 320)),
        lambda kernels: kernels.add_shift,
        lambda x, shift: x + shift[:, :, None, None],
    ),
    _pointwise("silu", reference.silu),
    _pointwise("gelu", reference.gelu),
    _pointwise("quick_gelu", reference.quick_gelu),
    _upsample(32, 24, (16, 12)),
    _upsample(17, 23, (9, 12)),
    Case(
        "pad_asymmetric",
        ((2, 64, 15, 12),),
        lambda kernels: kernels.pad_asymmetric,
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1))),
    ),
    _embedding(),
    _attention("self", 8, 40, 256, 256),
    _attention("self", 8, 80, 192, 192),
    _attention("self", 8, 160, 64, 64),
    _attention("self", 10, 64, 320, 320),
    _attention("to a prompt", 8, 40, 256, 77),
    _attention("to a prompt", 20, 64, 64, 77),
    _attention("autoencoder", 1, 512, 256, 256),
    _attention("in parts", 8, 40, 1024, 1024, "sliced_attention"),
    _causal(12, 64, 77),
)
