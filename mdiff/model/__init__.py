"""Assembling a model: which files, what they say, and the networks built from them."""

from typing import Any

from mdiff.model.describe import describe
from mdiff.model.description import Description
from mdiff.model.memory import DEFAULT_MEMORY, STAGES, Memory, check_keep
from mdiff.model.source import Lora, ModelSource, Part

__all__ = [
    "DEFAULT_MEMORY",
    "STAGES",
    "Description",
    "Lora",
    "Memory",
    "ModelSource",
    "Part",
    "check_keep",
    "describe",
    "load",
    "open_model",
]


def open_model(description: Description, device: Any, precision: Any, sliced: bool = False) -> Any:
    """Return a `mdiff.model.assemble.Model`, whose networks read their weights when asked for. Imports MindSpore."""
    from mdiff.model.assemble import Model

    return Model(description, device, precision, sliced)


def load(description: Description, device: Any, precision: Any) -> Any:
    """Return the model with all its networks."""
    model = open_model(description, device, precision)
    model.load(description.components)
    return model
