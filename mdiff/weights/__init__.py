"""Weights on disk: safetensors in the Hugging Face layout, read strictly; `assign` alone knows MindSpore."""

from mdiff.weights.digest import cache_folder, file_digest
from mdiff.weights.files import WeightFiles, Weights, open_weights, variants
from mdiff.weights.header import read_header

__all__ = ["WeightFiles", "Weights", "cache_folder", "file_digest", "open_weights", "read_header", "variants"]
