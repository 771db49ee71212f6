"""The `model` group: which weights, from where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError, nearest


@dataclass(frozen=True)
class Lora:
    """A low-rank change of the weights: `path` of a safetensors file (or a folder or Hub id with `file` in it)."""

    path: str
    weight: float = 1.0
    file: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise MdiffError(f"a LoRA's path is {self.path!r}; it takes a safetensors file, a folder or a Hub id")
        number = isinstance(self.weight, int | float) and not isinstance(self.weight, bool)
        if not number or not abs(self.weight) < float("inf"):
            raise MdiffError(f"the weight of LoRA {self.path} is {self.weight!r}; it takes a finite number")
        for name in ("file", "revision"):
            _check_text(f"{name} of LoRA {self.path}", getattr(self, name))


@dataclass(frozen=True)
class Part:
    """A component from elsewhere: a folder or Hub id with its config.json, or one weight file (`file` in it)."""

    path: str
    file: str | None = None
    revision: str | None = None
    variant: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise MdiffError(f"a component's path is {self.path!r}; it takes a safetensors file, a folder or a Hub id")
        for name in ("file", "revision", "variant"):
            _check_text(f"{name} of {self.path}", getattr(self, name))


@dataclass(frozen=True)
class ModelSource:
    """Plain values that say which model to load; nothing is read yet.

    `path` is a folder in the Hugging Face layout, a single ``.safetensors`` checkpoint, a Hub id such as
    ``"stabilityai/sdxl-turbo"``, or ``"bundled:emoji"``. `revision` is a branch, tag or commit of a Hub id, `variant`
    the ending of its weight files such as ``"fp16"`` (``"auto"``: that where there is such). `loras` are merged in
    order. `unet` and `vae` take the place of the model's own: a path, or ``{path, file, revision, variant}``.
    `tokenizer` and `prediction_type` supply what a single file does not hold (the folder or Hub id of a tokenizer;
    ``"epsilon"`` or ``"v_prediction"``).
    """

    path: str
    revision: str | None = None
    variant: str | None = None
    loras: Sequence[Any] = ()
    unet: Any = None
    vae: Any = None
    tokenizer: str | None = None
    prediction_type: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.strip():
            raise MdiffError("model.path is not given: set it to a folder, a .safetensors file or a Hub id")
        for name in ("revision", "variant", "tokenizer"):
            _check_text(f"model.{name}", getattr(self, name))
        if self.variant is not None and not all(letter.isalnum() or letter in "-_" for letter in self.variant):
            raise MdiffError(
                f"model.variant is {self.variant!r}; it takes letters, digits, '-' and '_', such as 'fp16'"
            )
        if self.prediction_type not in (None, *PREDICTIONS):
            choices = nearest(self.prediction_type, PREDICTIONS)
            raise MdiffError(f"model.prediction_type is {self.prediction_type!r}{choices}")
        object.__setattr__(self, "loras", tuple(_made(Lora, "model.loras", entry) for entry in _sequence(self.loras)))
        for name in ("unet", "vae"):
            entry = getattr(self, name)
            object.__setattr__(self, name, None if entry is None else _made(Part, f"model.{name}", entry))


PREDICTIONS = ("epsilon", "v_prediction", "sample")


def _made(kind: type[Lora] | type[Part], name: str, entry: Any) -> Any:
    """A `Lora` or `Part` from itself, a path, or a mapping of its fields."""
    if isinstance(entry, kind):
        return entry
    if isinstance(entry, str):
        return kind(entry)
    if not isinstance(entry, Mapping):
        raise MdiffError(f"{name} has {entry!r}; an entry is a path, or {{path: …}}")
    for key in entry:
        if key not in kind.__dataclass_fields__:
            raise MdiffError(f"{name} has no key {key!r}{nearest(key, kind.__dataclass_fields__)}")
    if "path" not in entry:
        raise MdiffError(f"{name} has an entry without a path: {dict(entry)!r}")
    return kind(**entry)


def _sequence(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise MdiffError(f"model.loras is {value!r}; it takes a list such as [{{path: …, weight: 0.8}}]")
    return value


def _check_text(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise MdiffError(f"{name} is {value!r}; it takes text, or null")
