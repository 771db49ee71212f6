"""Single-file checkpoints of Stable Diffusion 1, 2 and XL in little, under the names of their original code."""

import re
from typing import Any

import numpy as np

from tests.checkpoint import random_tensors

_CROSS, _DOWN, _CROSS_UP, _UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
VOCABULARY = 49408
_VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 2,
}


def _text(width: int, layers: int, **changes: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "projection_dim": width,
        **changes,
    }


def _unet(**changes: Any) -> dict[str, Any]:
    return {
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": [32, 64],
        "down_block_types": [_CROSS, _DOWN],
        "up_block_types": [_UP, _CROSS_UP],
        "layers_per_block": 2,
        "attention_head_dim": 8,
        **changes,
    }


# What the configs must come out as, in the keys that matter; the classes are told by the names.
FAMILIES: dict[str, dict[str, dict[str, Any]]] = {
    "sd1": {"text_encoder": _text(64, 2), "unet": _unet(cross_attention_dim=64), "vae": _VAE},
    "sd2": {
        "text_encoder": _text(128, 2, hidden_act="gelu"),
        "unet": _unet(
            block_out_channels=[64, 128],
            attention_head_dim=[1, 2],
            cross_attention_dim=128,
            use_linear_projection=True,
        ),
        "vae": _VAE,
    },
    "sdxl": {
        "text_encoder": _text(64, 2),
        "text_encoder_2": _text(128, 2, hidden_act="gelu", projection_dim=96),
        "unet": _unet(
            block_out_channels=[64, 64, 128],
            down_block_types=[_DOWN, _CROSS, _CROSS],
            up_block_types=[_CROSS_UP, _CROSS_UP, _UP],
            transformer_layers_per_block=[1, 1, 3],
            attention_head_dim=[1, 1, 2],
            cross_attention_dim=192,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=16,
            projection_class_embeddings_input_dim=96 + 6 * 16,
        ),
        "vae": _VAE,
    },
}
CLASSES = {
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
}


def components(family: str, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """The components' tensors under the usual names; a vocabulary of CLIP's size costs little at these widths."""
    return {name: random_tensors(CLASSES[name], config, seed) for name, config in FAMILIES[family].items()}


def single_file(family: str, seed: int = 0) -> dict[str, np.ndarray]:
    """All tensors of `components` in one mapping under their original names, with the extras of real files."""
    parts = components(family, seed)
    tensors = {}
    for name, tensor in parts["unet"].items():
        tensors["model.diffusion_model." + _unet_name(name, FAMILIES[family]["unet"])] = tensor
    for name, tensor in parts["vae"].items():
        tensors["first_stage_model." + _vae_name(name)] = (
            tensor[:, :, None, None] if ".attentions." in name and tensor.ndim == 2 else tensor
        )
    if family == "sd1":
        tensors |= {"cond_stage_model.transformer." + name: tensor for name, tensor in parts["text_encoder"].items()}
        tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = np.arange(77)[None]
    elif family == "sd2":
        tensors |= _open_clip("cond_stage_model.model.", parts["text_encoder"], seed, spare_layer=2)
    else:
        first = "conditioner.embedders.0.transformer."
        tensors |= {first + name: tensor for name, tensor in parts["text_encoder"].items()}
        tensors |= _open_clip("conditioner.embedders.1.model.", parts["text_encoder_2"], seed)
    tensors["betas"] = np.linspace(0, 1, 1000, dtype=np.float32)
    tensors["model_ema.decay"] = np.array(0.9999, np.float32)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _unet_name(name: str, config: dict[str, Any]) -> str:
    layers, levels = config["layers_per_block"], len(config["block_out_channels"])
    outside = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    module, _, kind = name.rpartition(".")
    if module in outside:
        return f"{outside[module]}.{kind}"
    for here, there in (
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("time_emb_proj", "emb_layers.1"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("conv_shortcut", "skip_connection"),
    ):
        name = re.sub(rf"(resnets\.\d+)\.{here}\.", rf"\1.{there}.", name)
    if match := re.match(r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        number = 1 + int(match[1]) * (layers + 1) + int(match[3])
        return f"input_blocks.{number}.{int(match[2] == 'attentions')}.{match[4]}"
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{(int(match[1]) + 1) * (layers + 1)}.0.op.{match[2]}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}.{match[3]}"
    if match := re.match(r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        number = int(match[1]) * (layers + 1) + int(match[3])
        return f"output_blocks.{number}.{int(match[2] == 'attentions')}.{match[4]}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", name):
        place = 2 if config["up_block_types"][int(match[1])] == _CROSS_UP else 1
        return f"output_blocks.{(int(match[1]) + 1) * (layers + 1) - 1}.{place}.conv.{match[2]}"
    raise KeyError((name, levels))


def _vae_name(name: str) -> str:
    levels = len(_VAE["block_out_channels"])
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
    for here, there in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{here}.", f"attn_1.{there}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    up = r"up_blocks\.(\d)\.(resnets|upsamplers\.0)\."
    return re.sub(
        up,
        lambda match: f"up.{levels - 1 - int(match[1])}.{'block' if match[2] == 'resnets' else 'upsample'}.",
        name,
    ).replace("conv_norm_out", "norm_out")


def _open_clip(prefix: str, tensors: dict[str, np.ndarray], seed: int, spare_layer: int | None = None) -> dict:
    out = {}
    inner = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            block = f"{prefix}transformer.resblocks.{match[1]}."
            if match[2] == "self_attn.q_proj":
                joint = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
                out[f"{block}attn.in_proj_{match[3]}"] = np.concatenate(joint)
            elif match[2] in inner:
                out[f"{block}{inner[match[2]]}.{match[3]}"] = tensor
    embeddings = "text_model.embeddings."
    out[prefix + "token_embedding.weight"] = tensors[embeddings + "token_embedding.weight"]
    out[prefix + "positional_embedding"] = tensors[embeddings + "position_embedding.weight"]
    for kind in ("weight", "bias"):
        out[f"{prefix}ln_final.{kind}"] = tensors[f"text_model.final_layer_norm.{kind}"]
    width = tensors[embeddings + "token_embedding.weight"].shape[1]
    projection = tensors.get("text_projection.weight", np.eye(width, dtype=np.float32))
    out[prefix + "text_projection"] = projection.T
    out[prefix + "logit_scale"] = np.array(4.6, np.float32)
    if spare_layer is not None:  # Stable Diffusion 2 stops at the last layer but one
        rng = np.random.default_rng(seed)
        for name in [name for name in out if ".resblocks.0." in name]:
            tensor = rng.standard_normal(out[name].shape).astype(np.float32)
            out[name.replace(".resblocks.0.", f".resblocks.{spare_layer}.")] = tensor
    return out
