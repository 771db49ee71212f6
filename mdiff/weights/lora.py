"""LoRA files (Hu et al. 2022): low-rank changes of weights, in the layouts of diffusers and of kohya's scripts.

A layer with the factors A (r × in) and B (out × r) changes a weight W to W + weight · alpha / r · B A.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdiff.errors import MdiffError
from mdiff.weights.files import WeightFiles
from mdiff.weights.header import read_header

# (what a name ends with, the part it is of); the first matching ending counts
_ENDINGS = (
    (re.compile(r"(.+)\.lora_(?:A|down)(?:\.default)?\.weight"), "down"),
    (re.compile(r"(.+)\.lora_(?:B|up)(?:\.default)?\.weight"), "up"),
    (re.compile(r"(.+)\.lora(?:_linear_layer)?\.down\.weight"), "down"),
    (re.compile(r"(.+)\.lora(?:_linear_layer)?\.up\.weight"), "up"),
    (re.compile(r"(.+\.processor\..+)_lora\.down\.weight"), "down"),
    (re.compile(r"(.+\.processor\..+)_lora\.up\.weight"), "up"),
    (re.compile(r"(.+?)(?:\.lora)?\.alpha"), "alpha"),
)
_UNSUPPORTED = {
    "lora_mid": "LoCon with a Tucker core",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "diff": "a full difference of weights",
}
_JOINED = {"lora_unet_": "unet", "lora_te_": "text_encoder", "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2"}
_DOTTED = ("unet", "text_encoder", "text_encoder_2")
_METADATA = "lora_adapter_metadata"


@dataclass(frozen=True)
class LoraLayer:
    """One changed module: `joined` is its name with underscores for dots (kohya's), `dotted` the real one."""

    name: str
    joined: str | None
    dotted: str | None
    down: str
    up: str
    alpha: str | None


class LoraFile:
    """A LoRA with its layers by component, ``layers["unet"]``; the tensors are read when a delta is asked for."""

    def __init__(self, path: Path):
        header = read_header(path)
        self.path, self.weights = path, WeightFiles([header])
        self.layers = _layers(path, self.weights)
        self._declared = _declared(path, header.metadata)

    def delta(self, layer: LoraLayer, component: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return alpha / r · B A in float32, in the shape of the weight that it changes."""
        down = self.weights.read_as(layer.down, "float32")
        up = self.weights.read_as(layer.up, "float32")
        rank = down.shape[0]
        product = up.reshape(up.shape[0], rank) @ down.reshape(rank, -1)
        return (product * np.float32(self._scale(layer, component, rank))).reshape(shape)

    def fits(self, layer: LoraLayer, shape: tuple[int, ...]) -> bool:
        """Whether the layer's factors make a change of a weight of this shape."""
        down, up = self.weights.shape(layer.down), self.weights.shape(layer.up)
        ranks = len(down) > 1 and len(up) > 1 and up[1] == down[0] and math.prod(up[2:]) == 1
        return ranks and up[0] == shape[0] and math.prod(down[1:]) == math.prod(shape[1:])

    def width(self, layer: LoraLayer) -> list[int]:
        """The out × in of the weight that the layer is for; for messages."""
        return [self.weights.shape(layer.up)[0], math.prod(self.weights.shape(layer.down)[1:])]

    def _scale(self, layer: LoraLayer, component: str, rank: int) -> float:
        if layer.alpha is not None:
            return float(self.weights.read_as(layer.alpha, "float32").reshape(-1)[0]) / rank
        declared = {key.removeprefix(f"{component}."): value for key, value in self._declared.items()}
        alpha = declared.get("lora_alpha", rank)
        pattern = declared.get("alpha_pattern")
        if isinstance(pattern, dict):
            alpha = next((value for key, value in pattern.items() if layer.name.endswith(key)), alpha)
        return alpha / math.sqrt(rank) if declared.get("use_rslora") else alpha / rank


def _layers(path: Path, weights: WeightFiles) -> dict[str, list[LoraLayer]]:
    """Group the tensors by module; a name that belongs to none is an error that names it."""
    modules: dict[str, dict[str, str]] = {}
    for name in weights.names:
        module, part = _split(path, name)
        modules.setdefault(module, {})[part] = name
    layers: dict[str, list[LoraLayer]] = {}
    for module, parts in modules.items():
        if not {"down", "up"} <= parts.keys():
            missing = "down" if "down" not in parts else "up"
            raise MdiffError(f"LoRA {path} has {next(iter(parts.values()))!r} but not the {missing} factor beside it")
        component, joined, dotted = _place(module)
        if component is None:
            raise MdiffError(f"LoRA {path} has {next(iter(parts.values()))!r}, which is for no component known here")
        layer = LoraLayer(module, joined, dotted, parts["down"], parts["up"], parts.get("alpha"))
        layers.setdefault(component, []).append(layer)
    if not layers:
        raise MdiffError(f"LoRA {path} has no layer in it")
    return layers


def _split(path: Path, name: str) -> tuple[str, str]:
    """The module and the part (``"down"``, ``"up"``, ``"alpha"``) that a tensor's name says."""
    for ending, part in _ENDINGS:
        if match := ending.fullmatch(name):
            return match[1], part
    last = name.split(".")
    for mark, what in _UNSUPPORTED.items():
        if any(piece.startswith(mark) for piece in last[1:]):
            raise MdiffError(f"LoRA {path} has {name!r}: it is {what}, which is not supported")
    raise MdiffError(f"LoRA {path} has {name!r}, which is no part of a LoRA in the layout of diffusers or kohya")


def _place(module: str) -> tuple[str | None, str | None, str | None]:
    """The component of a module, and its name within in either spelling."""
    for prefix, component in _JOINED.items():
        if module.startswith(prefix):
            return component, module.removeprefix(prefix), None
    head, _, rest = module.partition(".")
    if head in _DOTTED:
        return head, None, _plain(rest)
    if module.startswith("base_model.model."):  # saved by the PEFT library from a bare UNet
        return "unet", None, _plain(module.removeprefix("base_model.model."))
    if module.startswith(("down_blocks.", "mid_block.", "up_blocks.")):  # the first LoRAs had attention alone
        return "unet", None, _plain(module)
    return None, None, None


def _plain(module: str) -> str:
    """Undo the detour of the first layouts over attention processors: ``attn1.processor.to_q`` is ``attn1.to_q``."""
    module = module.replace(".processor.", ".")
    return f"{module}.0" if module.endswith(".to_out") else module


def _declared(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """What newer diffusers says of the adapter in the file's metadata."""
    if _METADATA not in metadata:
        return {}
    try:
        declared = json.loads(metadata[_METADATA])
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"LoRA {path} has adapter metadata that is not valid JSON: {error}") from None
    if not isinstance(declared, dict):
        raise MdiffError(f"LoRA {path} has adapter metadata that is no JSON object")
    if any(key.endswith("use_dora") and value for key, value in declared.items()):
        raise MdiffError(f"LoRA {path} is DoRA, which is not supported")
    return declared
