"""Names of the CompVis / Stability code base (single-file checkpoints) and those of the networks here.

A UNet there is a flat list of `input_blocks` and `output_blocks`: with L layers a level, L resnets and one resampler
make a level, and a block holds a resnet at place 0, its attention at 1.
"""

import re

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_OUTSIDE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "time_embed.cond_proj": "time_embedding.cond_proj",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}


def unet_module(name: str, layers: int) -> str | None:
    """The module here of a UNet module there (both without ``.weight``), with `layers` resnets a level; None if none.

    ``unet_module("input_blocks.4.1.proj_in", 2)`` is ``"down_blocks.1.attentions.0.proj_in"``.
    """
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    if match := re.fullmatch(r"input_blocks\.(\d+)\.(\d)\.(.+)", name):
        level, layer = divmod(int(match[1]) - 1, layers + 1)
        if match[3] == "op":
            return f"down_blocks.{level}.downsamplers.0.conv"
        return _inside(f"down_blocks.{level}", layer, match[2], match[3])
    if match := re.fullmatch(r"middle_block\.(\d)\.(.+)", name):
        place = _MIDDLE.get(match[1])
        if place is None:
            return None
        inner = match[2] if place.startswith("attentions") else RESNET.get(match[2])
        return None if inner is None else f"mid_block.{place}.{inner}"
    if match := re.fullmatch(r"output_blocks\.(\d+)\.(\d)\.(.+)", name):
        level, layer = divmod(int(match[1]), layers + 1)
        if match[3] == "conv":
            return f"up_blocks.{level}.upsamplers.0.conv"
        return _inside(f"up_blocks.{level}", layer, match[2], match[3])
    return None


def _inside(block: str, layer: int, place: str, rest: str) -> str | None:
    if place == "1":
        return f"{block}.attentions.{layer}.{rest}"
    inner = RESNET.get(rest)
    return None if inner is None else f"{block}.resnets.{layer}.{inner}"


_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_VAE_MIDDLE = {"block_1": "resnets.0", "attn_1": "attentions.0", "block_2": "resnets.1"}


def vae_module(name: str, levels: int) -> str | None:
    """The module here of a VAE module there; the decoder's levels are numbered from the finest there."""
    if name in ("quant_conv", "post_quant_conv"):
        return name
    match = re.fullmatch(r"(encoder|decoder)\.(.+)", name)
    if match is None:
        return None
    half, rest = match[1], match[2]
    if rest in ("conv_in", "conv_out"):
        return name
    if rest == "norm_out":
        return f"{half}.conv_norm_out"
    if match := re.fullmatch(r"mid\.(block_1|block_2|attn_1)\.(\w+)", rest):
        place = _VAE_MIDDLE[match[1]]
        inner = _VAE_ATTENTION.get(match[2]) if match[1] == "attn_1" else _shortcut(match[2])
        return None if inner is None else f"{half}.mid_block.{place}.{inner}"
    if match := re.fullmatch(r"(down|up)\.(\d+)\.block\.(\d+)\.(\w+)", rest):
        return f"{half}.{_vae_level(match[1], int(match[2]), levels)}.resnets.{match[3]}.{_shortcut(match[4])}"
    if match := re.fullmatch(r"(down|up)\.(\d+)\.(downsample|upsample)\.conv", rest):
        return f"{half}.{_vae_level(match[1], int(match[2]), levels)}.{match[3]}rs.0.conv"
    return None


def _vae_level(way: str, level: int, levels: int) -> str:
    return f"down_blocks.{level}" if way == "down" else f"up_blocks.{levels - 1 - level}"


def _shortcut(name: str) -> str:
    return "conv_shortcut" if name == "nin_shortcut" else name


_OPEN_CLIP = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def open_clip_module(name: str) -> str | None:
    """The module here of a module of OpenCLIP's text transformer; its joint q, k, v are not among them."""
    if name == "ln_final":
        return "text_model.final_layer_norm"
    if name == "token_embedding":
        return "text_model.embeddings.token_embedding"
    if match := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name):
        inner = _OPEN_CLIP.get(match[2])
        return None if inner is None else f"text_model.encoder.layers.{match[1]}.{inner}"
    return None
