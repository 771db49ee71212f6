"""Assembling a model: which files, what they say, and the networks built from them."""

from typing import Any

from mdiff.model.describe import describe
from mdiff.model.description import Description
from mdiff.model.source import Lora, ModelSource

__all__ = ["Description", "Lora", "ModelSource", "describe", "load"]


def load(description: Description, device: Any, precision: Any, kernels: Any) -> Any:
    """Build the networks and read their weights; see `mdiff.model.assemble.load`. Imports MindSpore."""
    from mdiff.model.assemble import load as assemble

    return assemble(description, device, precision, kernels)
