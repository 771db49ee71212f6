"""What both sides of a comparison compute on: random numbers of the right shapes, the same for both."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOKENS = 77


@dataclass(frozen=True)
class StepInputs:
    """Inputs of a UNet call: sample (R, C, h, w), context (R, S, D); SDXL's pooled text with six sizes (R, P + 6)."""

    sample: np.ndarray
    context: np.ndarray
    added: np.ndarray | None


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The config of a component, empty where the folder has no such component."""
    path = folder / name / "config.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def step_inputs(folder: Path, width: int, height: int, rows: int) -> StepInputs:
    """Random inputs for a UNet step of `rows` rows at a size in pixels."""
    unet, vae, text = (read_config(folder, name) for name in ("unet", "vae", "text_encoder"))
    tokens = text.get("max_position_embeddings", TOKENS)
    random = np.random.default_rng(0)
    scale = _scale(vae)
    sample = random.standard_normal((rows, unet["in_channels"], height // scale, width // scale), dtype=np.float32)
    context = random.standard_normal((1, tokens, unet["cross_attention_dim"]), dtype=np.float32).repeat(rows, 0)
    added = None
    if unet.get("addition_embed_type") == "text_time":
        pooled = unet["projection_class_embeddings_input_dim"] - 6 * unet["addition_time_embed_dim"]
        sizes = np.asarray([height, width, 0, 0, height, width], np.float32)
        added = np.concatenate([random.standard_normal(pooled, dtype=np.float32), sizes])[None].repeat(rows, 0)
    return StepInputs(sample, context, added)


def latents(vae: Mapping[str, Any], width: int, height: int) -> np.ndarray:
    """Random latents (1, C, h, w) of an image of a size in pixels."""
    scale = _scale(vae)
    shape = (1, vae.get("latent_channels", 4), height // scale, width // scale)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _scale(vae: Mapping[str, Any]) -> int:
    """Pixels a latent; 8, as all public models have it, where only the UNet is there."""
    return 2 ** (len(vae["block_out_channels"]) - 1) if vae else 8
