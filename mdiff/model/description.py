"""What is known of a model before any of its weights is read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mdiff.model.source import ModelSource
from mdiff.weights import Weights
from mdiff.weights.files import digest_of


@dataclass(frozen=True)
class Component:
    """A network of the model: the class and config that it is built from, and where its weights are."""

    name: str
    class_name: str
    config: Mapping[str, Any]
    open: Callable[[], Weights] = field(compare=False)
    digest: Callable[[], str] = field(compare=False)

    @cached_property
    def weights(self) -> Weights:
        """The component's tensors, opened (and for a Hub id downloaded) when first asked for."""
        return self.open()


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of one tokenizer, either of a folder or OpenAI's own vocabulary file, and its length in tokens.

    `pad` is the token that fills up a prompt where the files do not say it right.
    """

    name: str
    path: Path
    max_length: int
    pad: str | None = None

    def digest(self) -> str:
        """The sha256 of the file, or of the list of the folder's files."""
        if self.path.is_file():
            return digest_of((self.path,))
        return digest_of(tuple(self.path / name for name in TOKENIZER_FILES if (self.path / name).exists()))


TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Description:
    """A checked model: every config is one that the networks follow, every weight file on disk is whole.

    `kind` is ``"sd"`` (Stable Diffusion 1 and 2, LCM) or ``"sdxl"``; sizes are in pixels.
    """

    source: ModelSource
    kind: str
    folder: Path
    commit: str | None
    components: Mapping[str, Component]
    tokenizers: tuple[TokenizerFiles, ...]
    scheduler_class: str
    scheduler_config: Mapping[str, Any]
    zero_empty_prompt: bool = False
    loras: tuple[Any, ...] = ()

    def config(self, component: str) -> Mapping[str, Any]:
        """The config of ``"unet"``, ``"vae"``, ``"text_encoder"`` or ``"text_encoder_2"``."""
        return self.components[component].config

    @property
    def text_encoders(self) -> tuple[Component, ...]:
        """The text encoders, in the order in which their states are joined."""
        return tuple(part for name, part in self.components.items() if name.startswith("text_encoder"))

    @property
    def vae_scale_factor(self) -> int:
        """Pixels a latent, in each direction."""
        return 2 ** (len(self.config("vae")["block_out_channels"]) - 1)

    @property
    def size_multiple(self) -> int:
        """What width and height must be a multiple of: whole latents; the UNet takes any number of them."""
        return self.vae_scale_factor

    @property
    def default_width(self) -> int:
        """The width that the model was trained for."""
        return self._sample_size[1] * self.vae_scale_factor

    @property
    def default_height(self) -> int:
        """The height that the model was trained for."""
        return self._sample_size[0] * self.vae_scale_factor

    @property
    def _sample_size(self) -> tuple[int, int]:
        """Latents (h, w) that the UNet was trained for."""
        size = self.config("unet").get("sample_size")
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[0]), int(size[1])
        side = int(size) if isinstance(size, int) and size > 0 else (128 if self.kind == "sdxl" else 64)
        return side, side

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.config("vae").get("latent_channels", 4)

    @property
    def training_steps(self) -> int:
        """Timesteps of the diffusion that the model was trained on."""
        return self.scheduler_config.get("num_train_timesteps", 1000)

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: ``"epsilon"``, ``"v_prediction"`` or ``"sample"``."""
        return self.scheduler_config.get("prediction_type", "epsilon")

    @property
    def max_tokens(self) -> int:
        """Tokens of a prompt that the text encoders see at once, start and end included."""
        return min(tokenizer.max_length for tokenizer in self.tokenizers)

    @property
    def guidance_embedded(self) -> bool:
        """Whether the UNet takes the guidance scale as an input (LCM), so that none is applied outside."""
        return self.config("unet").get("time_cond_proj_dim") is not None

    @property
    def force_upcast_vae(self) -> bool:
        """Whether the VAE overflows in fp16; as in diffusers, only SDXL's says so and means it."""
        return self.kind == "sdxl" and bool(self.config("vae").get("force_upcast", True))

    @property
    def pixel_options(self) -> dict[str, Any]:
        """What of the source affects pixels beyond configs and digests."""
        return {
            "loras": [[f"lora_{place}", lora.weight] for place, lora in enumerate(self.loras, 1)],
            "zero_empty_prompt": self.zero_empty_prompt,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors as stored; for an estimate of the memory that the model needs."""
        return sum(math.ceil(part.weights.nbytes) for part in self.components.values())

    def digests(self) -> dict[str, str]:
        """The sha256 of each component's weight file (of the list of shards), tokenizer and LoRA, looked up once."""
        return dict(self._digests)

    @cached_property
    def _digests(self) -> dict[str, str]:
        digests = {name: part.digest() for name, part in self.components.items()}
        digests |= {tokenizer.name: tokenizer.digest() for tokenizer in self.tokenizers}
        return digests | {f"lora_{place}": lora.digest() for place, lora in enumerate(self.loras, 1)}

    def fetch(self) -> "Description":
        """Open every weight file, downloading what a Hub id still lacks; every fault of a file is told here."""
        for part in self.components.values():
            part.weights.names  # noqa: B018 (opening is what is wanted)
        return self
