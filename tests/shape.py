"""Names and shapes of the tensors of a checkpoint, written from the architecture and apart from the cells."""

from collections.abc import Iterator, Mapping
from typing import Any

Shape = tuple[int, ...]


def tensor_shapes(class_name: str, config: Mapping[str, Any]) -> dict[str, Shape]:
    """Every tensor of a component as {name: shape}."""
    makers = {
        "CLIPTextModel": _clip,
        "CLIPTextModelWithProjection": _clip,
        "UNet2DConditionModel": _unet,
        "AutoencoderKL": _vae,
    }
    shapes = dict(makers[class_name](config))
    if class_name == "CLIPTextModelWithProjection":
        shapes["text_projection.weight"] = (config["projection_dim"], config["hidden_size"])
    return shapes


def _linear(name: str, into: int, out: int, bias: bool = True) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (out, into)
    if bias:
        yield f"{name}.bias", (out,)


def _conv(name: str, into: int, out: int, kernel: int = 3) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (out, into, kernel, kernel)
    yield f"{name}.bias", (out,)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _clip(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    yield "text_model.embeddings.token_embedding.weight", (config["vocab_size"], width)
    yield "text_model.embeddings.position_embedding.weight", (config["max_position_embeddings"], width)
    for i in range(config["num_hidden_layers"]):
        layer = f"text_model.encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{part}", width, width)
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _linear(f"{layer}.mlp.fc1", width, inner)
        yield from _linear(f"{layer}.mlp.fc2", inner, width)
        yield from _norm(f"{layer}.layer_norm2", width)
    yield from _norm("text_model.final_layer_norm", width)


def _resnet(name: str, into: int, out: int, time: int | None) -> Iterator[tuple[str, Shape]]:
    yield from _norm(f"{name}.norm1", into)
    yield from _conv(f"{name}.conv1", into, out)
    if time is not None:
        yield from _linear(f"{name}.time_emb_proj", time, out)
    yield from _norm(f"{name}.norm2", out)
    yield from _conv(f"{name}.conv2", out, out)
    if into != out:
        yield from _conv(f"{name}.conv_shortcut", into, out, 1)


def _transformer(name: str, width: int, context: int, layers: int, linear: bool) -> Iterator[tuple[str, Shape]]:
    project = _linear if linear else lambda name, into, out: _conv(name, into, out, 1)
    yield from _norm(f"{name}.norm", width)
    yield from project(f"{name}.proj_in", width, width)
    for i in range(layers):
        block = f"{name}.transformer_blocks.{i}"
        for j, source in ((1, width), (2, context)):
            yield from _norm(f"{block}.norm{j}", width)
            yield from _linear(f"{block}.attn{j}.to_q", width, width, False)
            yield from _linear(f"{block}.attn{j}.to_k", source, width, False)
            yield from _linear(f"{block}.attn{j}.to_v", source, width, False)
            yield from _linear(f"{block}.attn{j}.to_out.0", width, width)
        yield from _norm(f"{block}.norm3", width)
        yield from _linear(f"{block}.ff.net.0.proj", width, 8 * width)
        yield from _linear(f"{block}.ff.net.2", 4 * width, width)
    yield from project(f"{name}.proj_out", width, width)


def _unet(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    widths = config["block_out_channels"]
    levels, time = len(widths), 4 * widths[0]
    spread = {
        key: value if isinstance(value := config.get(key, 1), list) else [value] * levels
        for key in ("layers_per_block", "transformer_layers_per_block", "cross_attention_dim")
    }
    layers, depths, contexts = spread.values()
    linear = config.get("use_linear_projection", False)

    yield from _conv("conv_in", config["in_channels"], widths[0])
    yield from _linear("time_embedding.linear_1", widths[0], time)
    yield from _linear("time_embedding.linear_2", time, time)
    if config.get("time_cond_proj_dim") is not None:
        yield from _linear("time_embedding.cond_proj", config["time_cond_proj_dim"], widths[0], False)
    if config.get("addition_embed_type") == "text_time":
        yield from _linear("add_embedding.linear_1", config["projection_class_embeddings_input_dim"], time)
        yield from _linear("add_embedding.linear_2", time, time)

    skips = [widths[0]]
    current = widths[0]
    for i, kind in enumerate(config["down_block_types"]):
        for j in range(layers[i]):
            yield from _resnet(f"down_blocks.{i}.resnets.{j}", current, widths[i], time)
            current = widths[i]
            skips.append(current)
            if kind.startswith("CrossAttn"):
                name = f"down_blocks.{i}.attentions.{j}"
                yield from _transformer(name, current, contexts[i], depths[i], linear)
        if i < levels - 1:
            yield from _conv(f"down_blocks.{i}.downsamplers.0.conv", current, current)
            skips.append(current)

    for j in range(2):
        yield from _resnet(f"mid_block.resnets.{j}", current, current, time)
    yield from _transformer("mid_block.attentions.0", current, contexts[-1], depths[-1], linear)

    for i, kind in enumerate(config["up_block_types"]):
        level = levels - 1 - i
        for j in range(layers[level] + 1):
            yield from _resnet(f"up_blocks.{i}.resnets.{j}", current + skips.pop(), widths[level], time)
            current = widths[level]
            if kind.startswith("CrossAttn"):
                name = f"up_blocks.{i}.attentions.{j}"
                yield from _transformer(name, current, contexts[level], depths[level], linear)
        if level > 0:
            yield from _conv(f"up_blocks.{i}.upsamplers.0.conv", current, current)
    yield from _norm("conv_norm_out", current)
    yield from _conv("conv_out", current, config["out_channels"])


def _vae(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    latent = config["latent_channels"]
    for side in ("encoder", "decoder"):
        widths = config["block_out_channels"][:: 1 if side == "encoder" else -1]
        into, out = (config["in_channels"], 2 * latent) if side == "encoder" else (latent, config["out_channels"])
        blocks, sampler = ("down_blocks", "downsamplers") if side == "encoder" else ("up_blocks", "upsamplers")
        yield from _conv(f"{side}.conv_in", into, widths[0])
        current = widths[0]
        for i, width in enumerate(widths):
            for j in range(config["layers_per_block"] + (side == "decoder")):
                yield from _resnet(f"{side}.{blocks}.{i}.resnets.{j}", current, width, None)
                current = width
            if i < len(widths) - 1:
                yield from _conv(f"{side}.{blocks}.{i}.{sampler}.0.conv", width, width)
        coarsest = config["block_out_channels"][-1]
        for j in range(2):
            yield from _resnet(f"{side}.mid_block.resnets.{j}", coarsest, coarsest, None)
        if config.get("mid_block_add_attention", True):
            yield from _norm(f"{side}.mid_block.attentions.0.group_norm", coarsest)
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                yield from _linear(f"{side}.mid_block.attentions.0.{part}", coarsest, coarsest)
        yield from _norm(f"{side}.conv_norm_out", current)
        yield from _conv(f"{side}.conv_out", current, out)
    if config.get("use_quant_conv", True):
        yield from _conv("quant_conv", 2 * latent, 2 * latent, 1)
    if config.get("use_post_quant_conv", True):
        yield from _conv("post_quant_conv", latent, latent, 1)
