"""The Python API: load a model, make images."""

from mdiff.pipeline.diffusion import DiffusionPipeline, ImageOutput
from mdiff.pipeline.guide import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, make_image_grid
from mdiff.pipeline.request import Conditioning, ImageRequest

__all__ = [
    "AutoencoderKL",
    "Conditioning",
    "DiffusionPipeline",
    "ImageOutput",
    "ImageRequest",
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "make_image_grid",
]
