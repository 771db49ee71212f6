"""The decoder's upper blocks in pieces small enough for a tile: from one normalisation to the next.

Between two normalisations everything is local, so that a tile with one pixel around it gives the very values of the
whole image; what a normalisation needs of the whole image, its means and deviations, comes in as a scale and a shift.
"""

import mindspore as ms
from mindspore import nn

from mdiff.nn.layer import Conv2d
from mdiff.nn.resnet import ResnetBlock2D


class ActivatedConv(nn.Cell):
    """A convolution of an activated, normalised feature map; the cell `conv` is shared with the whole decoder."""

    def __init__(self, conv: Conv2d, silu, dtype):
        super().__init__(auto_prefix=False)
        self.conv, self.silu, self.dtype = conv, silu, dtype

    def construct(self, x, scale, shift, inside):
        """A tile x (1, C, h + 2, w + 2) of the map before its normalisation -> (1, C', h, w) float32.

        `scale` and `shift` (1, C, 1, 1) are the normalisation; `inside` (1, 1, h + 2, w + 2) is 0 beyond the image.
        """
        active = self.silu(x * scale + shift) * inside
        return self.conv(active.astype(self.dtype))[:, :, 1:-1, 1:-1].astype(ms.float32)


class ResidualConv(nn.Cell):
    """The second half of a residual block."""

    def __init__(self, resnet: ResnetBlock2D, dtype):
        super().__init__(auto_prefix=False)
        self.activated = ActivatedConv(resnet.conv2, resnet.silu, dtype)
        self.shortcut, self.dtype = resnet.conv_shortcut, dtype

    def construct(self, h, scale, shift, inside, x):
        """A tile h (1, C', h + 2, w + 2) as in `ActivatedConv`, x (1, C, h, w) the block's input -> (1, C', h, w)."""
        if self.shortcut is not None:
            x = self.shortcut(x.astype(self.dtype)).astype(ms.float32)
        return x + self.activated(h, scale, shift, inside)


class PlainConv(nn.Cell):
    """A convolution alone, of a tile x (1, C, h + 2, w + 2) -> (1, C', h, w) float32."""

    def __init__(self, conv: Conv2d, dtype):
        super().__init__(auto_prefix=False)
        self.conv, self.dtype = conv, dtype

    def construct(self, x):
        return self.conv(x.astype(self.dtype))[:, :, 1:-1, 1:-1].astype(ms.float32)
