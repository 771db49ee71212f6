"""Configs of a single-file checkpoint: what shapes say, and what every checkpoint of a family has in common."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mdiff.errors import MdiffError
from mdiff.weights import Weights

_HEAD_DIM = 64  # of CLIP's encoders, and of the UNets since Stable Diffusion 2
_SAMPLE_SIZE = {"sd1": 64, "sd2": 96, "sdxl": 128}  # latents of the images that the family was trained on
_SIZES = 6  # SDXL is told the original size, the crop and the target size
_CLASSES = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
_TRAINING = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def class_of(component: str) -> str:
    """The class of a component."""
    return _CLASSES[component]


def unet_config(unet: Weights, family: str) -> dict[str, Any]:
    """Read the UNet's config off its tensors (under the names used here)."""
    levels = _count(unet, r"down_blocks\.(\d+)\.")
    layers = _count(unet, r"down_blocks\.0\.resnets\.(\d+)\.")
    channels = [_shape(unet, f"down_blocks.{level}.resnets.0.conv1.weight")[0] for level in range(levels)]
    down = [_count(unet, rf"down_blocks\.{n}\.attentions\.0\.transformer_blocks\.(\d+)\.") for n in range(levels)]
    up = [_count(unet, rf"up_blocks\.{n}\.attentions\.0\.transformer_blocks\.(\d+)\.") for n in range(levels)]
    middle = _count(unet, r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")
    depth = [count if count else 1 for count in down]
    depth[-1] = middle if middle else depth[-1]
    if family == "sd1":
        heads: Any = 8
    else:
        heads = [max(1, width // _HEAD_DIM) for width in channels]
    return {
        "sample_size": _SAMPLE_SIZE[family],
        "in_channels": _shape(unet, "conv_in.weight")[1],
        "out_channels": _shape(unet, "conv_out.weight")[0],
        "down_block_types": ["CrossAttnDownBlock2D" if count else "DownBlock2D" for count in down],
        "up_block_types": ["CrossAttnUpBlock2D" if count else "UpBlock2D" for count in up],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "transformer_layers_per_block": depth,
        "attention_head_dim": heads,
        "cross_attention_dim": _shape(unet, "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight")[1],
        "use_linear_projection": len(_shape(unet, "mid_block.attentions.0.proj_in.weight")) == 2,
        "upcast_attention": family == "sd2",
        **({"time_cond_proj_dim": dim} if (dim := _optional(unet, "time_embedding.cond_proj.weight", 1)) else {}),
    }


def add_time_embedding(found: dict[str, dict[str, Any]], unet: Weights) -> None:
    """Add to SDXL's UNet config what it takes beside the text states: the pooled state and six sizes."""
    width = _shape(unet, "add_embedding.linear_1.weight")[1]
    found["unet"] |= {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - found["text_encoder_2"]["projection_dim"]) // _SIZES,
        "projection_class_embeddings_input_dim": width,
    }


def vae_config(vae: Weights, family: str) -> dict[str, Any]:
    """Read the VAE's config off its tensors."""
    levels = _count(vae, r"encoder\.down_blocks\.(\d+)\.")
    channels = [_shape(vae, f"encoder.down_blocks.{n}.resnets.0.conv1.weight")[0] for n in range(levels)]
    return {
        "in_channels": _shape(vae, "encoder.conv_in.weight")[1],
        "out_channels": _shape(vae, "decoder.conv_out.weight")[0],
        "latent_channels": _shape(vae, "decoder.conv_in.weight")[1],
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": _count(vae, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
        "scaling_factor": 0.13025 if family == "sdxl" else 0.18215,
        "force_upcast": family == "sdxl",
    }


def text_config(encoder: Weights, open_clip: bool) -> dict[str, Any]:
    """Read a text encoder's config off its tensors; OpenAI's activation is the quick GELU, OpenCLIP's the exact one."""
    vocabulary, width = _shape(encoder, "text_model.embeddings.token_embedding.weight")
    projection = _optional(encoder, "text_projection.weight", 0)
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": _shape(encoder, "text_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": _count(encoder, r"text_model\.encoder\.layers\.(\d+)\."),
        "num_attention_heads": max(1, width // _HEAD_DIM),
        "max_position_embeddings": _shape(encoder, "text_model.embeddings.position_embedding.weight")[0],
        "hidden_act": "gelu" if open_clip else "quick_gelu",
        "projection_dim": projection if projection else width,
        "eos_token_id": vocabulary - 1,
    }


def scheduler_config(family: str, names: Sequence[str], metadata: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The scheduler that the family's own repositories name, with the prediction that marks in the file tell.

    A v-predicting SDXL checkpoint carries an empty tensor ``v_pred`` (and ``ztsnr`` where its noise reaches zero
    signal); of Stable Diffusion 2 most checkpoints predict v and carry no mark.
    """
    if any(name.startswith("edm_") for name in names):
        raise MdiffError("the checkpoint was trained with EDM's preconditioning, which is not supported")
    prediction = "v_prediction" if family == "sd2" or "v_pred" in names else "epsilon"
    declared = metadata.get("modelspec.prediction_type")
    prediction = {"epsilon": "epsilon", "v": "v_prediction"}.get(declared or "", prediction)
    config = {**_TRAINING, "prediction_type": prediction}
    if "ztsnr" in names:
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if family == "sd1":
        return "PNDMScheduler", {**config, "set_alpha_to_one": False, "skip_prk_steps": True}
    if family == "sd2":
        return "DDIMScheduler", {**config, "set_alpha_to_one": False, "clip_sample": False}
    return "EulerDiscreteScheduler", {"timestep_spacing": "leading", **config}


def _count(weights: Weights, pattern: str) -> int:
    """How many modules of a list there are; 0 for none."""
    found = (re.match(pattern, name) for name in weights.names)
    return max((int(match[1]) + 1 for match in found if match is not None), default=0)


def _shape(weights: Weights, name: str) -> tuple[int, ...]:
    if name not in weights.names:
        raise MdiffError(f"{weights.files[0]} is no whole model: it lacks what is {name!r} here")
    return weights.shape(name)


def _optional(weights: Weights, name: str, axis: int) -> int | None:
    return weights.shape(name)[axis] if name in weights.names else None
