"""Numbers as vectors: timesteps, image sizes, guidance scales."""

from math import log

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mdiff.device import Kernels
from mdiff.nn.layer import Linear


class Sinusoid(nn.Cell):
    """Sines and cosines of geometrically spaced frequencies (Vaswani et al. 2017; Ho et al. 2020), in float32.

    The frequencies are computed in float32 as the reference implementation does: at timestep 999 their rounding shows.
    """

    def __init__(self, width: int, flip_sin_to_cos: bool, freq_shift: float):
        super().__init__()
        half = width // 2
        exponent = np.float32(-log(10000)) * np.arange(half, dtype=np.float32) / np.float32(half - freq_shift)
        self.frequencies = ms.Tensor(np.exp(exponent).reshape(1, half))
        self.flip = flip_sin_to_cos

    def construct(self, numbers):
        """Numbers (N,) float32 -> (N, width)."""
        phase = numbers.astype(ms.float32).reshape(-1, 1) * self.frequencies  # (N, width / 2)
        first, second = (ops.cos(phase), ops.sin(phase)) if self.flip else (ops.sin(phase), ops.cos(phase))
        return ops.concat((first, second), 1)


class TimestepEmbedding(nn.Cell):
    """Two linear maps with SiLU between them; a condition on the guidance scale is added to the input where given."""

    def __init__(self, in_width: int, width: int, kernels: Kernels, condition_width: int | None = None):
        super().__init__()
        self.linear_1 = Linear(in_width, width, kernels)
        if condition_width is not None:
            self.cond_proj = Linear(condition_width, in_width, kernels, bias=False)
        self.linear_2 = Linear(width, width, kernels)
        self.silu = kernels.silu

    def construct(self, x, condition=None):
        """Rows x (B, in_width), condition (B, condition_width) or None -> (B, width)."""
        if condition is not None:
            x = x + self.cond_proj(condition)
        return self.linear_2(self.silu(self.linear_1(x)))
