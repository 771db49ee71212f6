"""LoRAs merged into the weights of a model while they are read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdiff.errors import MdiffError
from mdiff.model.description import Component, Description
from mdiff.model.find import find_file
from mdiff.model.ldm import RESNET, unet_module
from mdiff.weights import Weights
from mdiff.weights.hub import HubOptions
from mdiff.weights.lora import LoraFile, LoraLayer
from mdiff.weights.memory import Arena

_SHOWN = 5


@dataclass(frozen=True)
class LoadedLora:
    """A LoRA of the source with its file; `weight` scales all of it."""

    file: LoraFile
    weight: float

    def digest(self) -> str:
        """The sha256 of the file."""
        return self.file.weights.digest()


class Merged(Weights):
    """The tensors of `base` with low-rank changes added in float32, before they are rounded to any other type."""

    def __init__(self, base: Weights, changes: Mapping[str, Sequence[Callable[[], np.ndarray]]]):
        self.base, self.files, self.names = base, base.files, base.names
        self._changes = changes

    def shape(self, name: str) -> tuple[int, ...]:
        return self.base.shape(name)

    def dtype(self, name: str) -> str:
        return "float32" if name in self._changes else self.base.dtype(name)

    def read(self, name: str) -> np.ndarray:
        if name not in self._changes:
            return self.base.read(name)
        values = self.base.read_as(name, "float32").copy()
        for change in self._changes[name]:
            values += change()
        return values

    def read_as(self, name: str, dtype: str, round_to: str | None = None, arena: Arena | None = None) -> np.ndarray:
        if name not in self._changes:
            return self.base.read_as(name, dtype, round_to, arena)
        return super().read_as(name, dtype, round_to)

    def digest(self) -> str:
        return self.base.digest()


def with_loras(description: Description, hub: HubOptions) -> Description:
    """Return the description with the source's LoRAs merged into its components, in their order.

    Raises MdiffError for a file that is no LoRA, and for layers that match nothing in the model or have other shapes
    than its weights, naming them.
    """
    if not description.source.loras:
        return description
    loras = tuple(
        LoadedLora(LoraFile(find_file(f"LoRA {lora.path}", lora, hub)), lora.weight)
        for lora in description.source.loras
    )
    for lora in loras:
        if strangers := [part for part in lora.file.layers if part not in description.components]:
            names = [layer.down for part in strangers for layer in lora.file.layers[part]]
            raise MdiffError(f"LoRA {lora.file.path} is for another kind of model: it changes {_some(names)}")
    components = {name: _merge(part, loras) for name, part in description.components.items()}
    return replace(description, components=components, loras=loras)


def _merge(part: Component, loras: Sequence[LoadedLora]) -> Component:
    """The component with the LoRAs merged when its weights are opened."""
    if not any(part.name in lora.file.layers for lora in loras):
        return part

    def opened() -> Weights:
        weights = part.weights
        changes: dict[str, list[Callable[[], np.ndarray]]] = {}
        for lora in loras:
            for target, layer in match_layers(lora.file, part.name, weights).items():
                changes.setdefault(target, []).append(_change(lora, layer, part.name, weights.shape(target)))
        return Merged(weights, changes)

    return replace(part, open=opened)


def _change(lora: LoadedLora, layer: LoraLayer, component: str, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    return lambda: lora.file.delta(layer, component, shape) * np.float32(lora.weight)


def match_layers(file: LoraFile, component: str, weights: Weights) -> dict[str, LoraLayer]:
    """Return the tensor that each layer changes; MdiffError names layers that match nothing or do not fit."""
    modules = [name.removesuffix(".weight") for name in weights.names if name.endswith(".weight")]
    dotted, joined = set(modules), {module.replace(".", "_"): module for module in modules}
    depth = 1 + max(
        (int(name.split(".")[3]) for name in modules if name.startswith("down_blocks.0.resnets.")), default=0
    )
    matched: dict[str, LoraLayer] = {}
    lost, misfits = [], []
    for layer in file.layers.get(component, []):
        module = _find(layer, dotted, joined, depth)
        if module is None:
            lost.append(layer.down)
        elif not file.fits(layer, weights.shape(f"{module}.weight")):
            misfits.append(f"{module} ({file.width(layer)} for {list(weights.shape(f'{module}.weight'))})")
        elif f"{module}.weight" in matched:
            raise MdiffError(f"LoRA {file.path} changes {module} of {component} twice: {layer.down} is the second")
        else:
            matched[f"{module}.weight"] = layer
    if lost:
        raise MdiffError(f"LoRA {file.path} changes what this model's {component} does not have: {_some(lost)}")
    if misfits:
        raise MdiffError(f"LoRA {file.path} is for another architecture: {_some(misfits)}")
    return matched


def _find(layer: LoraLayer, dotted: set[str], joined: Mapping[str, str], layers: int) -> str | None:
    if layer.dotted is not None:
        candidates = (layer.dotted, f"text_model.{layer.dotted}")
        return next((name for name in candidates if name in dotted), None)
    name = str(layer.joined)
    if name in joined:
        return joined[name]
    return joined.get(_from_ldm(name, layers) or "")


def _from_ldm(name: str, layers: int) -> str | None:
    """A UNet module of the original code with underscores for dots, as kohya's scripts name those of SDXL."""
    match = re.fullmatch(r"(input_blocks_\d+_\d+|middle_block_\d+|output_blocks_\d+_\d+)(?:_(.+))?", name)
    if match is None:
        found = unet_module(
            name.replace("embed_", "embed.").replace("out_", "out.").replace("emb_0_", "emb.0."), layers
        )
        return None if found is None else found.replace(".", "_")
    place = re.sub(r"_(?=\d)", ".", match[1])
    inner = "" if match[2] is None else match[2]
    resnet = next((there for there in RESNET if there.replace(".", "_") == inner), None)
    if resnet is not None or inner in ("op", "conv", ""):
        found = unet_module(f"{place}.{resnet if resnet is not None else inner}".rstrip("."), layers)
        return None if found is None else found.replace(".", "_")
    found = unet_module(f"{place}.x", layers)  # an attention: everything inside has the same name here and there
    return None if found is None else found.replace(".", "_").removesuffix("x") + inner


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
