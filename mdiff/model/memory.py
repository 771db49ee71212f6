"""The `memory` group: what is given up for less memory; and what of a model stays loaded."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError, nearest

STAGES = ("text_encoders", "unet", "vae")  # the parts of a model, in the order in which an image needs them


@dataclass(frozen=True)
class Memory:
    """How memory is saved.

    `vae_tiling` decodes in tiles, with ``"auto"`` only images larger than the model's own size, so that decoding takes
    no more than it does for what the model was made for. `attention_slicing` takes the queries in parts.
    `free_text_encoders` lets the text encoders go once the prompts are encoded. `vae_slicing` says that images are
    decoded one at a time, which is always so.
    """

    vae_tiling: bool | str = False
    vae_slicing: bool = True
    attention_slicing: bool = False
    free_text_encoders: bool = False

    def __post_init__(self) -> None:
        if self.vae_tiling != "auto":
            _check_flag("memory.vae_tiling", self.vae_tiling, "true, false or auto")
        for name in ("attention_slicing", "free_text_encoders"):
            _check_flag(f"memory.{name}", getattr(self, name), "true or false")
        if self.vae_slicing is not True:
            raise MdiffError(f"memory.vae_slicing cannot be {self.vae_slicing!r}: images are always decoded one by one")

    def tiles(self, description: Any, width: int, height: int) -> bool:
        """Whether an image of this size, in pixels, is decoded in tiles."""
        if self.vae_tiling == "auto":
            return width * height > description.default_width * description.default_height
        return bool(self.vae_tiling)


def check_keep(keep: object) -> tuple[str, ...]:
    """Return the stages that stay loaded, of ``"all"``, ``"none"``, one stage or a list of them."""
    if keep in ("all", None):
        return STAGES
    if keep == "none":
        return ()
    names = [keep] if isinstance(keep, str) else keep
    if not isinstance(names, Collection):
        raise MdiffError(f"model.keep is {keep!r}; it takes all, none, or a list of {', '.join(STAGES)}")
    for name in names:
        if name not in STAGES:
            raise MdiffError(f"model.keep has {name!r}{nearest(name, (*STAGES, 'all', 'none'))}")
    return tuple(name for name in STAGES if name in names)


def _check_flag(key: str, value: object, choices: str) -> None:
    if not isinstance(value, bool):
        raise MdiffError(f"{key} must be {choices}, got {value!r}")


DEFAULT_MEMORY = Memory()
