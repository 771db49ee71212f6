"""Tensors of the original code's checkpoints, as views under the names of the networks here."""

import re
from collections.abc import Callable, Sequence

from mdiff.model.ldm import open_clip_module, unet_module, vae_module
from mdiff.weights import Weights
from mdiff.weights.view import Piece, View

UNET, VAE = "model.diffusion_model.", "first_stage_model."
VAE_PREFIXES = (VAE, "")


def has_original_unet(weights: Weights) -> bool:
    """Whether a UNet is there under its original names."""
    return any(name.startswith(f"{UNET}input_blocks.") for name in weights.names)


def has_original_vae(weights: Weights, prefix: str) -> bool:
    """Whether a VAE is there under its original names, below `prefix`."""
    return any(name.startswith(f"{prefix}encoder.down.0.") for name in weights.names)


def layers_per_level(names: Sequence[str]) -> int:
    """Resnets of a level: the first resampler stands right behind those of the finest level."""
    places = [int(found[1]) for name in names if (found := re.match(r"input_blocks\.(\d+)\.0\.op\.", name))]
    if places:
        return min(places) - 1
    return max(int(found[1]) for name in names if (found := re.match(r"input_blocks\.(\d+)\.", name)))


def unet_weights(weights: Weights) -> Weights:
    """The UNet's tensors under the names used here."""
    names = _below(weights, UNET)
    layers = layers_per_level(names)
    return _renamed(weights, UNET, names, lambda module: unet_module(module, layers))


def vae_weights(weights: Weights, prefix: str = VAE) -> Weights:
    """The VAE's tensors; its attention is made of 1×1 convolutions there and of linear maps here."""
    names = [name for name in _below(weights, prefix) if not name.startswith(("loss.", "model_ema."))]
    levels = 1 + max(int(found[1]) for name in names if (found := re.match(r"encoder\.down\.(\d+)", name)))
    view = _renamed(weights, prefix, names, lambda module: vae_module(module, levels))
    pieces = {}
    for name in view.names:
        shape = view.shape(name)
        linear = ".attentions." in name and shape[2:] == (1, 1)
        pieces[name] = Piece(name, shape=shape[:2]) if linear else Piece(name)
    return View(view, pieces)


def clip_weights(weights: Weights, prefix: str) -> Weights:
    """OpenAI's text encoder: only the prefix differs, and early files lack ``text_model.``."""
    pieces = {}
    for name in _below(weights, prefix):
        if not name.endswith("position_ids"):
            pieces[name if name.startswith("text_model.") else f"text_model.{name}"] = Piece(prefix + name)
    return View(weights, pieces)


def open_clip_weights(weights: Weights, prefix: str, family: str) -> Weights:
    """OpenCLIP's text transformer: q, k, v are one tensor there, the projection is transposed.

    Stable Diffusion 2 was trained on the last layer but one, so the last is left out; SDXL projects the last state.
    """
    pieces: dict[str, Piece] = {}
    names = _below(weights, prefix)
    blocks = [int(found[1]) for name in names if (found := re.match(r"transformer\.resblocks\.(\d+)\.", name))]
    unused = f"transformer.resblocks.{max(blocks)}." if family == "sd2" else None
    for name in names:
        if (unused is not None and name.startswith(unused)) or name in ("logit_scale", "attn_mask"):
            continue
        module, _, kind = name.rpartition(".")
        if name == "positional_embedding":
            pieces["text_model.embeddings.position_embedding.weight"] = Piece(prefix + name)
        elif name == "text_projection":
            if family == "sdxl":
                pieces["text_projection.weight"] = Piece(prefix + name, transpose=True)
        elif found := re.fullmatch(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", name):
            width = weights.shape(prefix + name)[0] // 3
            for place, part in enumerate("qkv"):
                target = f"text_model.encoder.layers.{found[1]}.self_attn.{part}_proj.{found[2]}"
                pieces[target] = Piece(prefix + name, rows=(place * width, (place + 1) * width))
        else:
            target_module = open_clip_module(module)
            pieces[f"{target_module}.{kind}" if target_module is not None else name] = Piece(prefix + name)
    return View(weights, pieces)


def _below(weights: Weights, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in weights.names if name.startswith(prefix)]


def _renamed(weights: Weights, prefix: str, names: list[str], module_of: Callable[[str], str | None]) -> View:
    """Rename module by module; a name that has no counterpart keeps its own and fails the strict check by it."""
    pieces = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        target = module_of(module)
        pieces[name if target is None else f"{target}.{kind}"] = Piece(prefix + name)
    return View(weights, pieces)
