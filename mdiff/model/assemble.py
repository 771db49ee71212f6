"""From a description to networks with their weights. Imports MindSpore."""

from collections.abc import Iterable
from typing import Any

from mdiff import nn
from mdiff.device import Kernels, kernels
from mdiff.model.description import Component, Description
from mdiff.model.tokenizers import open_tokenizers
from mdiff.weights.assign import Reading, assign, readers

_CLASSES = ("CLIPTextModel", "CLIPTextModelWithProjection", "UNet2DConditionModel", "AutoencoderKL")


class Model:
    """The networks of a model, each loaded when it is first asked for and kept until it is released.

    Parameters have the format of the arithmetic (the VAE's that of `precision.vae`), their values those of
    `precision.weights`. `sliced` asks for attention that saves memory. Latents are scaled for the UNet as
    ``(z − shift_factor) · scaling_factor``.
    """

    def __init__(self, description: Description, device: Any, precision: Any, sliced: bool = False):
        self.description = description
        self.tokenizers = open_tokenizers(description)
        self._device, self._precision, self._sliced = device, precision, sliced
        self._networks: dict[tuple[str, str], Any] = {}
        description.fetch()

    def network(self, name: str, number: str | None = None) -> Any:
        """Return the cell of a component; MdiffError for a tensor that is missing, unexpected or of the wrong shape.

        `number` is another number format than the one chosen for it ("float32" for a VAE that overflows).
        """
        if number is None:
            number = self._number(name)
        self._load([(name, number)])
        return self._networks[name, number]

    def load(self, names: Iterable[str]) -> None:
        """Load several components, the files of all being read while cells are built; errors as of `network`."""
        self._load((name, self._number(name)) for name in names)

    def _number(self, name: str) -> str:
        return self._precision.vae if name == "vae" else self._precision.compute

    def _load(self, wanted: Iterable[tuple[str, str]]) -> None:
        with readers() as pool:
            begun = {}
            for name, number in wanted:
                if (name, number) not in self._networks:
                    part, chosen = self.description.components[name], self._kernels(number)
                    network = _network_class(part)
                    # Values coarser than the format in memory are rounded to; a finer one would change nothing.
                    rounded = self._precision.weights
                    reading = Reading(pool, part.weights, chosen.dtype, rounded, nn.ignored(network))
                    begun[name, number] = network, part.config, chosen, reading
            for key, (network, config, chosen, reading) in begun.items():
                cell = network(config, chosen)
                cell.set_train(False)
                reading.assign(nn.renames(cell))
                self._networks[key] = cell

    def _kernels(self, number: str) -> Kernels:
        return kernels(self._device, self._precision, number, self._sliced)

    def release(self, name: str) -> None:
        """Let the cells of a component go."""
        for key in [key for key in self._networks if key[0] == name]:
            del self._networks[key]

    def exchange(self, description: Description, precision: Any) -> None:
        """Load what is not loaded yet from another description of the same kind of model."""
        description.fetch()
        self.description, self._precision = description, precision

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """The text encoders, in the order in which their states are joined."""
        return tuple(self.network(part.name) for part in self.description.text_encoders)

    @property
    def unet(self) -> Any:
        """The network that denoises."""
        return self.network("unet")

    @property
    def vae(self) -> Any:
        """The autoencoder with its encoder, which is read when first asked for: an image is made without it."""
        vae = self.network("vae")
        if vae.encoder is None:
            part, chosen = self.description.components["vae"], self._kernels(self._precision.vae)
            added = vae.add_encoder(part.config, chosen)
            vae.set_train(False)
            others = tuple(name for name in part.weights.names if not name.startswith(vae.encoder_names))
            try:
                assign(added, part.weights, chosen.dtype, round_to=self._precision.weights, ignore=others)
            except BaseException:
                vae.encoder = None  # whoever asks again reads again, and never runs one that is half read
                raise
        return vae

    @property
    def scaling_factor(self) -> float:
        """What the VAE's latents are multiplied by to have a deviation of about 1."""
        return self.description.config("vae").get("scaling_factor", 0.18215)

    @property
    def shift_factor(self) -> float:
        """What is taken from the VAE's latents before."""
        shift = self.description.config("vae").get("shift_factor")
        return 0.0 if shift is None else shift


def _network_class(part: Component) -> Any:
    if part.class_name not in _CLASSES:
        raise KeyError(part.class_name)
    return getattr(nn, part.class_name)
