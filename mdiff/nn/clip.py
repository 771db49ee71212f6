"""CLIP's text encoders (Radford et al. 2021)."""

from collections.abc import Mapping
from typing import Any

import mindspore as ms
from mindspore import nn, ops

from mdiff.device import Kernels
from mdiff.nn.clip_config import CLIPTextConfig
from mdiff.nn.layer import Embedding, LayerNorm, Linear

# Configs of early checkpoints state 2, and mean the largest number in the row.
LEGACY_EOS = 2


class CLIPTextEmbeddings(nn.Cell):
    """A vector for each token plus one for its position."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.token_embedding = Embedding(config.vocab_size, config.width, kernels)
        self.position_embedding = Embedding(config.positions, config.width, kernels)

    def construct(self, input_ids):
        """Ids (n, S) -> (n, S, D)."""
        return self.token_embedding(input_ids) + self.position_embedding.weight[: input_ids.shape[1]]


class CLIPAttention(nn.Cell):
    """Multi-head attention of each token to those before it and itself."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.q_proj = Linear(config.width, config.width, kernels)
        self.k_proj = Linear(config.width, config.width, kernels)
        self.v_proj = Linear(config.width, config.width, kernels)
        self.out_proj = Linear(config.width, config.width, kernels)
        self.kernel = kernels.masked_attention(config.heads, config.width // config.heads)

    def construct(self, x, mask):
        """Rows x (n·S, D), mask (S, S) added to the scores."""
        length, width = mask.shape[0], x.shape[1]
        q = self.kernel.split(self.q_proj(x).reshape(-1, length, width))  # (n, S, D) -> (n, H, S, d)
        k = self.kernel.split(self.k_proj(x).reshape(-1, length, width))
        v = self.kernel.split(self.v_proj(x).reshape(-1, length, width))
        return self.out_proj(self.kernel.attend(q, k, v, mask).reshape(x.shape))  # (n, S, D) -> (n·S, D)


class CLIPMLP(nn.Cell):
    """The transformer's two-layer network."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.fc1 = Linear(config.width, config.mlp_width, kernels)
        self.fc2 = Linear(config.mlp_width, config.width, kernels)
        self.activation = {"gelu": kernels.gelu, "quick_gelu": kernels.quick_gelu}[config.activation]

    def construct(self, x):
        return self.fc2(self.activation(self.fc1(x)))


class CLIPEncoderLayer(nn.Cell):
    """A transformer layer, normalised before each half."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.self_attn = CLIPAttention(config, kernels)
        self.layer_norm1 = LayerNorm(config.width, kernels, config.eps)
        self.mlp = CLIPMLP(config, kernels)
        self.layer_norm2 = LayerNorm(config.width, kernels, config.eps)

    def construct(self, x, mask):
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class CLIPEncoder(nn.Cell):
    """The layers in a row."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.layers = nn.CellList([CLIPEncoderLayer(config, kernels) for _ in range(config.layers)])

    def construct(self, x, mask):
        """Rows x (n·S, D) -> the last layer's output, and its input."""
        penultimate = x
        for layer in self.layers:
            penultimate = x
            x = layer(x, mask)
        return x, penultimate


class CLIPTextTransformer(nn.Cell):
    """Embeddings, layers and the last normalisation."""

    def __init__(self, config: CLIPTextConfig, kernels: Kernels):
        super().__init__()
        self.embeddings = CLIPTextEmbeddings(config, kernels)
        self.encoder = CLIPEncoder(config, kernels)
        self.final_layer_norm = LayerNorm(config.width, kernels, config.eps)
        self.eos = config.eos_token_id

    def construct(self, input_ids):
        count, length = input_ids.shape
        embedded = self.embeddings(input_ids)  # (n, S, D)
        place = ops.arange(0, length)
        later = place.reshape(1, length) > place.reshape(length, 1)
        mask = later.astype(ms.float32) * -1e30  # (S, S): a token does not see those after it
        x, penultimate = self.encoder(embedded.reshape(count * length, -1), mask)
        last = self.final_layer_norm(x)
        # The pooled state is that of the first end-of-text token
        found = input_ids if self.eos == LEGACY_EOS else (input_ids == self.eos).astype(ms.int32)
        highest = found.astype(ms.float32) * length - place.astype(ms.float32).reshape(1, length)
        end = ops.argmax(highest, 1).astype(ms.int32) + ops.arange(0, count).astype(ms.int32) * length
        pooled = ops.gather(last, end, 0)  # (n, D)
        return last.reshape(embedded.shape), penultimate.reshape(embedded.shape), pooled


class CLIPTextModel(nn.Cell):
    """Encode token ids; activations have the type `kernels.dtype`, results are float32."""

    class_name = "CLIPTextModel"
    # A table of 0, 1, 2 … that older files carry along
    ignored_names = ("text_model.embeddings.position_ids",)

    def __init__(self, config: Mapping[str, Any], kernels: Kernels):
        super().__init__()
        form = CLIPTextConfig.parse(config, self.class_name)
        self.text_model = CLIPTextTransformer(form, kernels)
        self.text_projection = None
        if form.projection_dim is not None:
            self.text_projection = Linear(form.width, form.projection_dim, kernels, bias=False)

    def construct(self, input_ids):
        """Ids (n, S) int32 -> last_hidden_state (n, S, D), the last layer's input (n, S, D), pooled (n, P).

        The first is normalised, the second not; `pooled` is the state of the end-of-text token, projected where the
        model has a projection.
        """
        last, penultimate, pooled = self.text_model(input_ids)
        if self.text_projection is not None:
            pooled = self.text_projection(pooled)
        return last.astype(ms.float32), penultimate.astype(ms.float32), pooled.astype(ms.float32)


class CLIPTextModelWithProjection(CLIPTextModel):
    """CLIP's text encoder with the projection to the space shared with images."""

    class_name = "CLIPTextModelWithProjection"
