"""Layers that hold a checkpoint's tensors under the checkpoint's own names (`weight`, `bias`)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mindspore as ms
from mindspore import nn
from mindspore.common.initializer import Zero
from mindspore.nn.utils import no_init_parameters
from mindspore.ops.operations import other_ops

from mdiff.device import Kernels

_ZERO = Zero()
_LOAD = other_ops.Load()
_sharing = threading.Lock()


def parameter(shape: Sequence[int], kernels: Kernels) -> ms.Parameter:
    """A parameter that takes no memory until the checkpoint's tensor is set."""
    with no_init_parameters(), _shared_load():
        tensor = ms.Tensor(shape=tuple(shape), dtype=getattr(ms, kernels.dtype), init=_ZERO)
        return ms.Parameter(tensor, requires_grad=False)


@contextmanager
def _shared_load() -> Iterator[None]:
    """One `Load` for all parameters: each would make its own, which takes a third of the time to build a network.

    `Parameter.value` calls it, and it has no state.
    """
    with _sharing:
        own = other_ops.Load
        other_ops.Load = lambda: _LOAD
        try:
            yield
        finally:
            other_ops.Load = own


class Conv2d(nn.Cell):
    """A convolution with bias."""

    def __init__(
        self, in_channels: int, out_channels: int, kernels: Kernels, kernel: int = 3, stride: int = 1, padding: int = 1
    ):
        super().__init__()
        self.weight = parameter((out_channels, in_channels, kernel, kernel), kernels)
        self.bias = parameter((out_channels,), kernels)
        self.run = kernels.conv2d(out_channels, kernel, stride, padding)

    def construct(self, x):
        return self.run(x, self.weight, self.bias)

    def without_bias(self, x):
        """The convolution alone, where the bias is added with something else."""
        return self.run(x, self.weight, None)

    def with_bias(self, x, bias):
        """The convolution with another bias (out_channels,), such as one that is due to something else as well."""
        return self.run(x, self.weight, bias)


class Linear(nn.Cell):
    """A linear map of rows (N, in) -> (N, out)."""

    def __init__(self, in_width: int, out_width: int, kernels: Kernels, bias: bool = True):
        super().__init__()
        self.weight = parameter((out_width, in_width), kernels)
        self.bias = parameter((out_width,), kernels) if bias else None
        self.run, self.run_from, self.run_to = kernels.linear, kernels.linear_from_pixels, kernels.linear_to_pixels

    def construct(self, x):
        return self.run(x, self.weight, self.bias)

    def from_pixels(self, x):
        """Pixels (B, in, h, w) -> rows (B·h·w, out)."""
        return self.run_from(x, self.weight, self.bias)

    def to_pixels(self, x, height: int, width: int):
        """Rows (B·h·w, in) -> pixels (B, out, h, w)."""
        return self.run_to(x, self.weight, self.bias, height, width)


class Pointwise(nn.Cell):
    """A 1×1 convolution between pixels and rows: its weight is (O, I, 1, 1), its arithmetic that of `Linear`."""

    def __init__(self, in_width: int, out_width: int, kernels: Kernels):
        super().__init__()
        self.weight = parameter((out_width, in_width, 1, 1), kernels)
        self.bias = parameter((out_width,), kernels)
        self.shape = (out_width, in_width)
        self.run_from, self.run_to = kernels.linear_from_pixels, kernels.linear_to_pixels

    def from_pixels(self, x):
        """Pixels (B, in, h, w) -> rows (B·h·w, out)."""
        return self.run_from(x, self.weight.reshape(self.shape), self.bias)

    def to_pixels(self, x, height: int, width: int):
        """Rows (B·h·w, in) -> pixels (B, out, h, w)."""
        return self.run_to(x, self.weight.reshape(self.shape), self.bias, height, width)


class GroupNorm(nn.Cell):
    """Group normalisation of (B, C, h, w)."""

    def __init__(self, groups: int, channels: int, eps: float, kernels: Kernels):
        super().__init__()
        self.weight = parameter((channels,), kernels)
        self.bias = parameter((channels,), kernels)
        self.groups, self.eps = groups, eps
        self.run = kernels.group_norm(groups, eps)

    def construct(self, x):
        return self.run(x, self.weight, self.bias)


class LayerNorm(nn.Cell):
    """Layer normalisation of rows."""

    def __init__(self, width: int, kernels: Kernels, eps: float = 1e-5):
        super().__init__()
        self.weight = parameter((width,), kernels)
        self.bias = parameter((width,), kernels)
        self.run = kernels.layer_norm(eps)

    def construct(self, x):
        return self.run(x, self.weight, self.bias)


class Embedding(nn.Cell):
    """A table of vectors, looked up by number."""

    def __init__(self, size: int, width: int, kernels: Kernels):
        super().__init__()
        self.weight = parameter((size, width), kernels)
        self.run = kernels.embedding

    def construct(self, ids):
        return self.run(self.weight, ids)
