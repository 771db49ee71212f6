"""Attention over image tokens, as Stable Diffusion's spatial transformers have it (Rombach et al. 2022, appendix E)."""

from mindspore import nn, ops

from mdiff.device import Kernels
from mdiff.nn.layer import GroupNorm, LayerNorm, Linear, Pointwise


class Attention(nn.Cell):
    """Multi-head attention whose keys and values are made apart, so that those of a prompt are made once."""

    def __init__(self, width: int, context_width: int, heads: int, kernels: Kernels, upcast: bool):
        super().__init__()
        self.to_q = Linear(width, width, kernels, bias=False)
        self.to_k = Linear(context_width, width, kernels, bias=False)
        self.to_v = Linear(context_width, width, kernels, bias=False)
        self.to_out = nn.CellList([Linear(width, width, kernels)])
        self.kernel = kernels.attention(heads, width // heads, upcast)
        self.width = width

    def project(self, context, batch: int):
        """Return keys and values (B, H, T, D) of context rows (B·T, context_width)."""
        keys, values = self.to_k(context), self.to_v(context)
        keys = self.kernel.split(ops.reshape(keys, (batch, -1, self.width)))  # (B, T, C) -> (B, H, T, D)
        values = self.kernel.split(ops.reshape(values, (batch, -1, self.width)))
        return keys, values

    def construct(self, x, keys, values):
        """Attend from rows x (B·S, C)."""
        queries = ops.reshape(self.to_q(x), (keys.shape[0], -1, self.width))  # (B, S, C)
        mixed = self.kernel.attend(self.kernel.split(queries), keys, values)  # (B, S, C)
        return self.to_out[0](ops.reshape(mixed, (-1, self.width)))  # (B·S, C)


class GEGLU(nn.Cell):
    """A linear map gated by the GELU of another (Shazeer 2020)."""

    def __init__(self, width: int, inner: int, kernels: Kernels):
        super().__init__()
        self.proj = Linear(width, 2 * inner, kernels)
        self.inner = inner
        self.gelu = kernels.gelu

    def construct(self, x):
        both = self.proj(x)  # (N, 2·inner)
        return both[:, : self.inner] * self.gelu(both[:, self.inner :])


class FeedForward(nn.Cell):
    """The transformer's two-layer network; place 1 of `net` is the dropout of training."""

    def __init__(self, width: int, kernels: Kernels):
        super().__init__()
        self.net = nn.CellList([GEGLU(width, 4 * width, kernels), nn.Identity(), Linear(4 * width, width, kernels)])

    def construct(self, x):
        return self.net[2](self.net[0](x))


class BasicTransformerBlock(nn.Cell):
    """Attention among the image's tokens, attention to the prompt's, then the feed-forward network.

    `place` is where the prompt's keys and values for this block are among all projections.
    """

    def __init__(self, width: int, context_width: int, heads: int, kernels: Kernels, upcast: bool, place: int):
        super().__init__()
        self.norm1 = LayerNorm(width, kernels)
        self.attn1 = Attention(width, width, heads, kernels, upcast)
        self.norm2 = LayerNorm(width, kernels)
        self.attn2 = Attention(width, context_width, heads, kernels, upcast)
        self.norm3 = LayerNorm(width, kernels)
        self.ff = FeedForward(width, kernels)
        self.keys, self.values = place, place + 1

    def construct(self, x, projections):
        """Rows x (B·S, C); keys and values (B, H, T, D) of the prompt at this block's places in `projections`."""
        keys, values = projections[self.keys], projections[self.values]
        normal = self.norm1(x)
        own_keys, own_values = self.attn1.project(normal, keys.shape[0])
        x = x + self.attn1(normal, own_keys, own_values)
        x = x + self.attn2(self.norm2(x), keys, values)
        return x + self.ff(self.norm3(x))


class Transformer2DModel(nn.Cell):
    """Transformer blocks over the pixels of a feature map, as a residual."""

    def __init__(
        self,
        channels: int,
        context_width: int,
        heads: int,
        layers: int,
        groups: int,
        kernels: Kernels,
        linear_projection: bool,
        upcast: bool,
        place: int,
    ):
        super().__init__()
        projection = Linear if linear_projection else Pointwise
        self.norm = GroupNorm(groups, channels, 1e-6, kernels)
        self.proj_in = projection(channels, channels, kernels)
        self.transformer_blocks = nn.CellList(
            [
                BasicTransformerBlock(channels, context_width, heads, kernels, upcast, place + 2 * i)
                for i in range(layers)
            ]
        )
        self.proj_out = projection(channels, channels, kernels)

    def project_context(self, context, batch: int):
        """Keys and values of every block, (B, H, T, D) each, for context rows (B·T, context_width)."""
        projections: tuple = ()
        for block in self.transformer_blocks:
            projections = (*projections, *block.attn2.project(context, batch))
        return projections

    def construct(self, x, projections):
        """Feature map x (B, C, h, w); the projections of the whole network."""
        tokens = self.proj_in.from_pixels(self.norm(x))  # (B·h·w, C)
        for block in self.transformer_blocks:
            tokens = block(tokens, projections)
        return self.proj_out.to_pixels(tokens, x.shape[2], x.shape[3]) + x
