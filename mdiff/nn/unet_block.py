"""The levels of the UNet: residual blocks, each followed by a transformer where the level attends to the prompt."""

from mindspore import nn, ops

from mdiff.device import Kernels
from mdiff.nn.attention import Transformer2DModel
from mdiff.nn.resnet import Downsample2D, ResnetBlock2D, Upsample2D
from mdiff.nn.unet_config import UNetConfig


class Layout:
    """Makes the UNet's parts in the order of use, and tells each its place in what the stages hand to `denoise`.

    Those are the shifts (B, T) of all residual blocks side by side, the projections (two tensors a transformer layer)
    and the skips of the way down.
    """

    def __init__(self, config: UNetConfig, kernels: Kernels):
        self.config, self.kernels = config, kernels
        self.shifts = 0
        self.projections = 0

    def resnet(self, in_channels: int, out_channels: int) -> ResnetBlock2D:
        """The next residual block."""
        config, first = self.config, self.shifts
        self.shifts += out_channels
        return ResnetBlock2D(in_channels, out_channels, config.groups, config.eps, self.kernels, config.time_dim, first)

    def transformer(self, level: int) -> Transformer2DModel:
        """The next transformer, of a level."""
        config, first = self.config, self.projections
        self.projections += 2 * config.transformer_layers[level]
        return Transformer2DModel(
            channels=config.channels[level],
            context_width=config.context_dims[level],
            heads=config.heads[level],
            layers=config.transformer_layers[level],
            groups=config.groups,
            kernels=self.kernels,
            linear_projection=config.linear_projection,
            upcast=config.upcast_attention,
            place=first,
        )


class Block(nn.Cell):
    """What the levels share: the stages that do not see the sample."""

    attends: bool

    def time_shifts(self, activated):
        """The shifts (B, C) of the residual blocks for the activated time embedding (B, T)."""
        shifts: tuple = ()
        for resnet in self.resnets:
            shifts = (*shifts, resnet.time_shift(activated))
        return shifts

    def project_context(self, context, batch: int):
        """Keys and values of the transformers for context rows (B·T, D)."""
        projections: tuple = ()
        if self.attends:
            for attention in self.attentions:
                projections = (*projections, *attention.project_context(context, batch))
        return projections


class DownBlock(Block):
    """One level on the way down: DownBlock2D, or CrossAttnDownBlock2D where `config` says that the level attends."""

    def __init__(self, level: int, layout: Layout):
        super().__init__()
        config = layout.config
        before, width = config.channels[max(level - 1, 0)], config.channels[level]
        layers = range(config.layers[level])
        self.resnets = nn.CellList([layout.resnet(before if i == 0 else width, width) for i in layers])
        self.attends = config.down_attention[level]
        if self.attends:
            self.attentions = nn.CellList([layout.transformer(level) for _ in layers])
        self.last = level == len(config.channels) - 1
        if not self.last:
            self.downsamplers = nn.CellList([Downsample2D(width, layout.kernels)])

    def construct(self, x, shifts, projections):
        """Feature map (B, C, h, w) -> what the way up will want again; the last of it goes on down."""
        made: tuple = ()
        for i in range(len(self.resnets)):
            x = self.resnets[i](x, shifts)
            if self.attends:
                x = self.attentions[i](x, projections)
            made = (*made, x)
        if not self.last:
            made = (*made, self.downsamplers[0](x))
        return made


class UNetMidBlock2DCrossAttn(Block):
    """The coarsest level's transformer between two residual blocks."""

    def __init__(self, layout: Layout):
        super().__init__()
        width = layout.config.channels[-1]
        self.resnets = nn.CellList([layout.resnet(width, width) for _ in range(2)])
        self.attends = True
        self.attentions = nn.CellList([layout.transformer(len(layout.config.channels) - 1)])

    def construct(self, x, shifts, projections):
        x = self.resnets[0](x, shifts)
        x = self.attentions[0](x, projections)
        return self.resnets[1](x, shifts)


class UpBlock(Block):
    """One level on the way up: UpBlock2D or CrossAttnUpBlock2D, with one more layer than on the way down."""

    def __init__(self, place: int, layout: Layout):
        super().__init__()
        config = layout.config
        level = len(config.channels) - 1 - place
        width, below = config.channels[level], config.channels[min(level + 1, len(config.channels) - 1)]
        layers = range(config.layers[level] + 1)
        # The skips come back in reverse: the level's own, then its input on the way down
        skip = [*(width for _ in layers[1:]), config.channels[max(level - 1, 0)]]
        self.resnets = nn.CellList([layout.resnet((below if i == 0 else width) + skip[i], width) for i in layers])
        self.attends = config.up_attention[place]
        if self.attends:
            self.attentions = nn.CellList([layout.transformer(level) for _ in layers])
        # The way down made conv_in's output, then a tensor a layer and one a change of resolution
        self.first = sum(config.layers[: level + 1]) + level
        self.last = level == 0
        if not self.last:
            self.upsamplers = nn.CellList([Upsample2D(width, layout.kernels)])

    def construct(self, x, skips, shifts, projections):
        """Feature map (B, C, h, w) and all skips -> the next map, of the size of the next skip."""
        at = self.first
        for i in range(len(self.resnets)):
            x = self.resnets[i](ops.concat((x, skips[at]), 1), shifts)
            if self.attends:
                x = self.attentions[i](x, projections)
            at = at - 1
        if not self.last:
            x = self.upsamplers[0](x, skips[at].shape[2], skips[at].shape[3])
        return x
