"""The Python API: load a model, make images."""

from mdiff.pipeline.diffusion import DiffusionPipeline, ImageOutput
from mdiff.pipeline.request import Conditioning, ImageRequest

__all__ = ["Conditioning", "DiffusionPipeline", "ImageOutput", "ImageRequest"]
