"""The autoencoder between pixels and latents (Rombach et al. 2022, section 3.1)."""

from collections.abc import Mapping
from typing import Any

import mindspore as ms
from mindspore import nn

from mdiff.device import Kernels
from mdiff.nn.layer import Conv2d, GroupNorm, Linear
from mdiff.nn.resnet import Downsample2D, ResnetBlock2D, Upsample2D
from mdiff.nn.vae_config import VAEConfig

EPS = 1e-6


class AttentionBlock(nn.Cell):
    """Single-head attention among the pixels of the coarsest level, as a residual."""

    def __init__(self, channels: int, groups: int, kernels: Kernels):
        super().__init__()
        self.group_norm = GroupNorm(groups, channels, EPS, kernels)
        self.to_q = Linear(channels, channels, kernels)
        self.to_k = Linear(channels, channels, kernels)
        self.to_v = Linear(channels, channels, kernels)
        self.to_out = nn.CellList([Linear(channels, channels, kernels)])
        self.kernel = kernels.attention(1, channels)

    def construct(self, x):
        b, c, h, w = x.shape
        normal = self.group_norm(x)
        q = self.kernel.split(self.to_q.from_pixels(normal).reshape(b, h * w, c))  # (B, 1, h·w, C)
        k = self.kernel.split(self.to_k.from_pixels(normal).reshape(b, h * w, c))
        v = self.kernel.split(self.to_v.from_pixels(normal).reshape(b, h * w, c))
        mixed = self.kernel.attend(q, k, v).reshape(b * h * w, c)
        return self.to_out[0].to_pixels(mixed, h, w) + x


class MidBlock(nn.Cell):
    """Attention between two residual blocks; some autoencoders go without the attention."""

    def __init__(self, config: VAEConfig, kernels: Kernels):
        super().__init__()
        width = config.channels[-1]
        self.resnets = nn.CellList([ResnetBlock2D(width, width, config.groups, EPS, kernels) for _ in range(2)])
        self.attends = config.mid_attention
        if self.attends:
            self.attentions = nn.CellList([AttentionBlock(width, config.groups, kernels)])

    def construct(self, x):
        x = self.resnets[0](x)
        if self.attends:
            x = self.attentions[0](x)
        return self.resnets[1](x)


class DownEncoderBlock2D(nn.Cell):
    """Residual blocks, then half the resolution."""

    def __init__(self, before: int, width: int, last: bool, config: VAEConfig, kernels: Kernels):
        super().__init__()
        self.resnets = nn.CellList(
            [
                ResnetBlock2D(before if i == 0 else width, width, config.groups, EPS, kernels)
                for i in range(config.layers)
            ]
        )
        self.last = last
        if not last:
            self.downsamplers = nn.CellList([Downsample2D(width, kernels, asymmetric=True)])

    def construct(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        if not self.last:
            x = self.downsamplers[0](x)
        return x


class UpDecoderBlock2D(nn.Cell):
    """Residual blocks, then twice the resolution."""

    def __init__(self, before: int, width: int, last: bool, config: VAEConfig, kernels: Kernels):
        super().__init__()
        self.resnets = nn.CellList(
            [
                ResnetBlock2D(before if i == 0 else width, width, config.groups, EPS, kernels)
                for i in range(config.layers + 1)
            ]
        )
        self.last = last
        if not last:
            self.upsamplers = nn.CellList([Upsample2D(width, kernels)])

    def construct(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        if not self.last:
            x = self.upsamplers[0](x, 2 * x.shape[2], 2 * x.shape[3])
        return x


class Encoder(nn.Cell):
    """Pixels (B, 3, H, W) to the moments (B, 2·C, h, w) of the latents."""

    def __init__(self, config: VAEConfig, kernels: Kernels):
        super().__init__()
        widths = config.channels
        self.conv_in = Conv2d(config.in_channels, widths[0], kernels)
        self.down_blocks = nn.CellList(
            [
                DownEncoderBlock2D(widths[max(i - 1, 0)], widths[i], i == len(widths) - 1, config, kernels)
                for i in range(len(widths))
            ]
        )
        self.mid_block = MidBlock(config, kernels)
        self.conv_norm_out = GroupNorm(config.groups, widths[-1], EPS, kernels)
        self.conv_out = Conv2d(widths[-1], 2 * config.latent_channels, kernels)
        self.silu = kernels.silu

    def construct(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(self.silu(self.conv_norm_out(x)))


class Decoder(nn.Cell):
    """Latents (B, C, h, w) to pixels (B, 3, H, W)."""

    def __init__(self, config: VAEConfig, kernels: Kernels):
        super().__init__()
        widths = config.channels[::-1]
        self.conv_in = Conv2d(config.latent_channels, widths[0], kernels)
        self.mid_block = MidBlock(config, kernels)
        self.up_blocks = nn.CellList(
            [
                UpDecoderBlock2D(widths[max(i - 1, 0)], widths[i], i == len(widths) - 1, config, kernels)
                for i in range(len(widths))
            ]
        )
        self.conv_norm_out = GroupNorm(config.groups, widths[-1], EPS, kernels)
        self.conv_out = Conv2d(widths[-1], config.out_channels, kernels)
        self.silu = kernels.silu

    def construct(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(self.silu(self.conv_norm_out(x)))


class AutoencoderKL(nn.Cell):
    """Decoder and encoder; `construct` is `decode`. Activations have the type `kernels.dtype`, results are float32.

    It is made without its encoder, which text to image never runs; `add_encoder` is called before `encode`.
    Latents are as the network has them: scaling and shift belong to the caller.
    """

    encoder_names = ("encoder.", "quant_conv.")
    ignored_names = encoder_names

    def __init__(self, config: Mapping[str, Any], kernels: Kernels):
        super().__init__()
        form = VAEConfig.parse(config)
        self.dtype = getattr(ms, kernels.dtype)
        self.encoder: Any = None
        self.quant_conv: Any = None
        self.decoder = Decoder(form, kernels)
        self.post_quant_conv = None
        if form.post_quant_conv:
            self.post_quant_conv = Conv2d(form.latent_channels, form.latent_channels, kernels, kernel=1, padding=0)

    def construct(self, z):
        return self.decode(z)

    def decode(self, z):
        """Latents (B, C, h, w) -> pixels (B, 3, H, W) float32, about -1 to 1."""
        z = z.astype(self.dtype)
        if self.post_quant_conv is not None:
            z = self.post_quant_conv(z)
        return self.decoder(z).astype(ms.float32)

    def decode_middle(self, z):
        """Latents (B, C, h, w) -> what the decoder's middle block makes of them (B, C', h, w) float32."""
        z = z.astype(self.dtype)
        if self.post_quant_conv is not None:
            z = self.post_quant_conv(z)
        return self.decoder.mid_block(self.decoder.conv_in(z)).astype(ms.float32)

    def add_encoder(self, config: Mapping[str, Any], kernels: Kernels) -> dict[str, ms.Parameter]:
        """Add what `encode` runs, of the same config; return {name in the checkpoint: parameter}, yet to be set."""
        form = VAEConfig.parse(config)
        self.encoder = Encoder(form, kernels)
        if form.quant_conv:
            self.quant_conv = Conv2d(2 * form.latent_channels, 2 * form.latent_channels, kernels, kernel=1, padding=0)
        return {name: each for name, each in self.parameters_and_names() if name.startswith(self.encoder_names)}

    def encode(self, image):
        """Pixels (B, 3, H, W) in -1 to 1 -> mean and log variance (B, 2·C, h, w) float32."""
        moments = self.encoder(image.astype(self.dtype))
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        return moments.astype(ms.float32)
