"""The noise predictor of Stable Diffusion (Rombach et al. 2022) and SDXL (Podell et al. 2023)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import mindspore as ms
from mindspore import nn, ops

from mdiff.device import Kernels
from mdiff.nn.embedding import Sinusoid, TimestepEmbedding
from mdiff.nn.layer import Conv2d, GroupNorm
from mdiff.nn.unet_block import DownBlock, Layout, UNetMidBlock2DCrossAttn, UpBlock
from mdiff.nn.unet_config import UNetConfig


class UNet2DConditionModel(nn.Cell):
    """Predict noise (or velocity, or data) from a noisy sample, its timestep and the prompt.

    `construct` is three stages in a row, each of which compiles on its own: `time_embedding` depends on the timestep
    alone, `project_context` on the prompt alone, and only `denoise` on the sample, so that a loop calls the others
    once. Weights and activations have the type `kernels.dtype`; the result is float32.
    """

    # The stage has the name that the checkpoint gives to a part of it.
    checkpoint_names: ClassVar = {"time_mlp": "time_embedding"}

    def __init__(self, config: Mapping[str, Any], kernels: Kernels):
        super().__init__()
        form = UNetConfig.parse(config)
        self.dtype = getattr(ms, kernels.dtype)
        width, levels = form.channels[0], len(form.channels)
        layout = Layout(form, kernels)
        self.conv_in = Conv2d(
            form.in_channels, width, kernels, kernel=form.conv_in_kernel, padding=form.conv_in_kernel // 2
        )
        self.time_proj = Sinusoid(width, form.flip_sin_to_cos, form.freq_shift)
        self.time_mlp = TimestepEmbedding(width, form.time_dim, kernels, form.time_cond_dim)
        self.takes_added = form.added is not None
        if form.added is not None:
            self.added_dim, self.added_time_dim = form.added
            self.add_time_proj = Sinusoid(self.added_time_dim, form.flip_sin_to_cos, form.freq_shift)
            self.add_embedding = TimestepEmbedding(self.added_dim, form.time_dim, kernels)
        self.down_blocks = nn.CellList([DownBlock(level, layout) for level in range(levels)])
        self.mid_block = UNetMidBlock2DCrossAttn(layout)
        self.up_blocks = nn.CellList([UpBlock(place, layout) for place in range(levels)])
        self.conv_norm_out = GroupNorm(form.groups, width, form.eps, kernels)
        self.conv_out = Conv2d(
            width, form.out_channels, kernels, kernel=form.conv_out_kernel, padding=form.conv_out_kernel // 2
        )
        self.silu = kernels.silu

    def construct(self, sample, timesteps, encoder_hidden_states, added=None, timestep_cond=None):
        """Sample (B, C, h, w), timesteps (B,), encoder_hidden_states (B, S, D) -> (B, C, h, w) float32.

        `added` and `timestep_cond` as in `time_embedding`.
        """
        temb = self.time_embedding(timesteps, added, timestep_cond)
        return self.denoise(sample, temb, *self.project_context(encoder_hidden_states))

    def time_embedding(self, timesteps, added=None, timestep_cond=None):
        """Return the shifts (B, T) of all residual blocks, side by side, for timesteps (B,).

        `added` (B, P + n) is SDXL's conditioning: the pooled text (B, P), then n numbers (sizes and crop in pixels).
        `timestep_cond` (B, time_cond_proj_dim) is the guidance scale's vector for networks distilled with guidance.
        """
        condition = None if timestep_cond is None else timestep_cond.astype(self.dtype)
        temb = self.time_mlp(self.time_proj(timesteps).astype(self.dtype), condition)  # (B, T')
        if self.takes_added:
            temb = temb + self.add_embedding(self.added_vector(added))
        activated = self.silu(temb)
        shifts: tuple = ()
        for block in self.down_blocks:
            shifts = (*shifts, *block.time_shifts(activated))
        shifts = (*shifts, *self.mid_block.time_shifts(activated))
        for block in self.up_blocks:
            shifts = (*shifts, *block.time_shifts(activated))
        return ops.concat(shifts, 1)

    def added_vector(self, added):
        """Pooled text and n numbers (B, P + n) -> (B, P + n·d), each number as its sinusoid."""
        batch, given = added.shape
        # The widths decide n: P + n = given, P + n·d = added_dim
        numbers = (self.added_dim - given) // (self.added_time_dim - 1)
        pooled, sizes = added[:, : given - numbers], added[:, given - numbers :]
        waves = self.add_time_proj(sizes.reshape(batch * numbers)).reshape(batch, -1)  # (B·n, d) -> (B, n·d)
        return ops.concat((pooled.astype(self.dtype), waves.astype(self.dtype)), 1)

    def project_context(self, encoder_hidden_states):
        """Return the keys and values (B, H, S, D) of every attention to the prompt (B, S, D), in the order of use."""
        batch, length, width = encoder_hidden_states.shape
        context = encoder_hidden_states.astype(self.dtype).reshape(batch * length, width)  # (B·S, D)
        projections: tuple = ()
        for block in self.down_blocks:
            projections = (*projections, *block.project_context(context, batch))
        projections = (*projections, *self.mid_block.project_context(context, batch))
        for block in self.up_blocks:
            projections = (*projections, *block.project_context(context, batch))
        return projections

    def denoise(self, sample, temb, *projections):
        """Sample (B, C, h, w) with the two stages' results -> (B, C, h, w) float32."""
        x, temb = self.conv_in(sample.astype(self.dtype)), temb.astype(self.dtype)
        skips = (x,)
        for block in self.down_blocks:
            skips = (*skips, *block(skips[-1], temb, projections))
        x = self.mid_block(skips[-1], temb, projections)
        for block in self.up_blocks:
            x = block(x, skips, temb, projections)
        return self.conv_out(self.silu(self.conv_norm_out(x))).astype(ms.float32)
