"""Residual blocks and changes of resolution, shared by the UNet and the autoencoder."""

from mindspore import nn

from mdiff.device import Kernels
from mdiff.nn.layer import Conv2d, GroupNorm, Linear


class ResnetBlock2D(nn.Cell):
    """Two convolutions around the time embedding's shift, as a residual; without a shift in the autoencoder.

    The shift of a block is a linear map of the time embedding alone: `time_shift` gives it, once a timestep, with the
    first convolution's bias already in it. `first_shift` is the column where this block's shifts begin.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        eps: float,
        kernels: Kernels,
        time_dim: int | None = None,
        first_shift: int = 0,
    ):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, eps, kernels)
        self.conv1 = Conv2d(in_channels, out_channels, kernels)
        if time_dim is not None:
            self.time_emb_proj = Linear(time_dim, out_channels, kernels)
        self.norm2 = GroupNorm(groups, out_channels, eps, kernels)
        self.conv2 = Conv2d(out_channels, out_channels, kernels)
        self.conv_shortcut = None
        if in_channels != out_channels:
            self.conv_shortcut = Conv2d(in_channels, out_channels, kernels, kernel=1, padding=0)
        self.silu = kernels.silu
        self.add_shift = kernels.add_shift
        self.begin, self.end = first_shift, first_shift + out_channels

    def time_shift(self, activated):
        """The shift (B, C) for the activated time embedding (B, T)."""
        return self.time_emb_proj(activated) + self.conv1.bias

    def construct(self, x, shifts=None):
        """Feature map x (B, C, h, w); the shifts (B, T) of the whole network, some columns of which are its own."""
        h = self.silu(self.norm1(x))
        if shifts is None:
            h = self.conv1(h)
        else:
            h = self.add_shift(self.conv1.without_bias(h), shifts[:, self.begin : self.end])
        h = self.silu(self.norm2(h))
        if self.conv_shortcut is None:
            return x + self.conv2(h)
        return self.conv_shortcut.with_bias(x, self.conv_shortcut.bias + self.conv2.bias) + self.conv2.without_bias(h)


class Downsample2D(nn.Cell):
    """Half the resolution by a strided convolution; the autoencoder pads below and to the right only."""

    def __init__(self, channels: int, kernels: Kernels, asymmetric: bool = False):
        super().__init__()
        self.conv = Conv2d(channels, channels, kernels, stride=2, padding=0 if asymmetric else 1)
        self.pad = kernels.pad_asymmetric if asymmetric else None

    def construct(self, x):
        if self.pad is not None:
            x = self.pad(x)
        return self.conv(x)


class Upsample2D(nn.Cell):
    """A higher resolution by repeating pixels, then a convolution."""

    def __init__(self, channels: int, kernels: Kernels):
        super().__init__()
        self.conv = Conv2d(channels, channels, kernels)
        self.upsample = kernels.upsample_nearest

    def construct(self, x, height: int, width: int):
        return self.conv(self.upsample(x, height, width))
