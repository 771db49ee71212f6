"""Random LoRAs for the little checkpoints, in each layout that is found in the wild."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.checkpoint import random_tensors
from tests.checkpoint_config import KINDS
from tests.model.ldm_checkpoint import _unet_name

CLASSES = {
    "unet": "UNet2DConditionModel",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
LAYOUTS = ("peft", "old", "processor", "kohya", "kohya_ldm")
_TARGETS = re.compile(
    r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2|q_proj|v_proj|out_proj|fc1|fc2)\.weight"
)
_CONVOLUTIONS = re.compile(
    r".*(conv1|conv2|conv_shortcut|downsamplers\.0\.conv|upsamplers\.0\.conv|time_emb_proj)\.weight"
)


def changed(kind: str, part: str, layout: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that a LoRA of this layout changes."""
    shapes = {name: tensor.shape for name, tensor in random_tensors(CLASSES[part], KINDS[kind][part]).items()}
    if layout == "processor":
        pattern = re.compile(r".*attn[12]\.(to_q|to_k|to_v|to_out\.0)\.weight")
        return {name: shape for name, shape in shapes.items() if pattern.fullmatch(name)}
    both = layout.startswith("kohya") and part == "unet"
    return {
        name: shape
        for name, shape in shapes.items()
        if _TARGETS.fullmatch(name) or (both and _CONVOLUTIONS.fullmatch(name))
    }


def write_lora(
    path: Path,
    kind: str,
    layout: str,
    parts: tuple[str, ...],
    rank: int = 2,
    seed: int = 0,
    kohya_alpha: float | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Write a LoRA and return the changes that it stands for: {component: {weight: alpha / rank · B A}}.

    In kohya's layouts each layer has its own random alpha unless `kohya_alpha` is the one of all.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    changes: dict[str, dict[str, np.ndarray]] = {}
    metadata: dict[str, Any] = {}
    for part in parts:
        changes[part] = {}
        for name, shape in changed(kind, part, layout).items():
            down = rng.standard_normal((rank, *shape[1:])).astype(np.float32)
            up = rng.standard_normal((shape[0], rank, *[1] * (len(shape) - 2))).astype(np.float32) * np.float32(0.1)
            alpha = float(rank)
            module = name.removesuffix(".weight")
            keys = _keys(kind, part, module, layout)
            tensors[keys[0]], tensors[keys[1]] = down, up
            if layout.startswith("kohya"):
                alpha = float(rng.integers(1, 9)) if kohya_alpha is None else kohya_alpha
                tensors[keys[2]] = np.array(alpha, np.float32)
            product = (up.reshape(shape[0], rank) @ down.reshape(rank, -1)).reshape(shape)
            changes[part][name] = product * np.float32(alpha / rank)
    save_file(tensors, path, metadata=metadata)
    return changes


def write_declared(path: Path, kind: str, alpha: float, rank: int, rslora: bool) -> dict[str, np.ndarray]:
    """A LoRA of the newest diffusers, whose alpha stands in the file's metadata; returns the changes of the UNet."""
    changes = write_lora(path, kind, "peft", ("unet",), rank)["unet"]
    declared = {"unet.r": rank, "unet.lora_alpha": alpha, "unet.use_rslora": rslora, "unet.use_dora": False}
    from safetensors.numpy import load_file

    save_file(load_file(path), path, metadata={"format": "pt", "lora_adapter_metadata": json.dumps(declared)})
    scale = np.float32(alpha / (np.sqrt(rank) if rslora else rank))
    return {name: change * scale for name, change in changes.items()}


def _keys(kind: str, part: str, module: str, layout: str) -> tuple[str, str, str]:
    if layout == "peft":
        return f"{part}.{module}.lora_A.weight", f"{part}.{module}.lora_B.weight", ""
    if layout == "old":
        inner = "lora" if part == "unet" else "lora_linear_layer"
        return f"{part}.{module}.{inner}.down.weight", f"{part}.{module}.{inner}.up.weight", ""
    if layout == "processor":
        head, _, last = module.removesuffix(".0").rpartition(".")
        stem = f"{part}.{head}.processor.{last}_lora"
        return f"{stem}.down.weight", f"{stem}.up.weight", ""
    if layout == "kohya_ldm" and part == "unet":
        module = _unet_name(f"{module}.weight", KINDS[kind]["unet"]).removesuffix(".weight")
    second = "text_encoder_2" in KINDS[kind]
    prefix = {
        "unet": "lora_unet_",
        "text_encoder": "lora_te1_" if second else "lora_te_",
        "text_encoder_2": "lora_te2_",
    }
    stem = prefix[part] + module.replace(".", "_")
    return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", f"{stem}.alpha"
