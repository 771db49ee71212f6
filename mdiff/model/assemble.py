"""From a description to networks with their weights. Imports MindSpore."""

from dataclasses import dataclass
from typing import Any

from mdiff import nn
from mdiff.device import Kernels, kernels
from mdiff.model.description import Component, Description
from mdiff.model.tokenizers import open_tokenizers
from mdiff.prompt import Tokenizer
from mdiff.weights.assign import assign

_CLASSES = ("CLIPTextModel", "CLIPTextModelWithProjection", "UNet2DConditionModel", "AutoencoderKL")


@dataclass
class Model:
    """The networks of a model; `text_encoders` and `tokenizers` in the order in which their states are joined.

    Latents are scaled for the UNet as ``(z − shift_factor) · scaling_factor``.
    """

    description: Description
    tokenizers: tuple[Tokenizer, ...]
    text_encoders: tuple[Any, ...]
    unet: Any
    vae: Any

    @property
    def scaling_factor(self) -> float:
        """What the VAE's latents are multiplied by to have a deviation of about 1."""
        return self.description.config("vae").get("scaling_factor", 0.18215)

    @property
    def shift_factor(self) -> float:
        """What is taken from the VAE's latents before."""
        shift = self.description.config("vae").get("shift_factor")
        return 0.0 if shift is None else shift


def load(description: Description, device: Any, precision: Any, formulations: Kernels) -> Model:
    """Build each network and set its weights, one component after the other, straight in its number format.

    Parameters have the format of `formulations` (the VAE's that of `precision.vae`), their values those of
    `precision.weights`. Raises MdiffError for a tensor that is missing, unexpected or of the wrong shape.
    """
    tokenizers = open_tokenizers(description)
    description.fetch()
    vae_kernels = formulations if precision.vae == formulations.dtype else kernels(device, precision, precision.vae)

    def build(part: Component) -> Any:
        return build_network(part, vae_kernels if part.name == "vae" else formulations, precision.weights)

    networks = {name: build(part) for name, part in description.components.items()}
    encoders = tuple(networks[part.name] for part in description.text_encoders)
    return Model(description, tokenizers, encoders, networks["unet"], networks["vae"])


def build_network(part: Component, formulations: Kernels, round_to: str) -> Any:
    """Build the cell of one component with its weights."""
    if part.class_name not in _CLASSES:
        raise KeyError(part.class_name)
    cell = getattr(nn, part.class_name)(part.config, formulations)
    cell.set_train(False)
    parameters = nn.renames(cell)
    # Values coarser than the format in memory are rounded to; a finer one would change nothing.
    assign(parameters, part.weights, formulations.dtype, round_to=round_to, ignore=nn.ignored(cell))
    return cell
