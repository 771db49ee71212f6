"""Names that guides for diffusers use around a pipeline: another autoencoder for it, a sheet of its images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mdiff.errors import MdiffError
from mdiff.model import Part
from mdiff.pipeline.argument import refuse_pickles
from mdiff.pipeline.diffusion import DiffusionPipeline

StableDiffusionPipeline = StableDiffusionXLPipeline = DiffusionPipeline  # the checkpoint says which model it is


class AutoencoderKL:
    """Another autoencoder for a pipeline: ``pipeline.vae = AutoencoderKL.from_pretrained(path)``.

    ``DiffusionPipeline.from_pretrained(…, vae=AutoencoderKL.from_pretrained(path))`` loads it in the first place.
    """

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        mindspore_dtype: Any = None,
        use_safetensors: bool = True,
    ) -> Part:
        """Return what names a folder, Hub id or file; it is read by the pipeline, in the pipeline's precision.

        `subfolder` is one of a folder on disk. Whatever `mindspore_dtype` says, a pipeline has one precision.
        """
        path = Path(pretrained_model_name_or_path)
        refuse_pickles(use_safetensors)
        if subfolder and not path.is_dir():
            raise MdiffError(f"subfolder={subfolder!r} needs a folder on disk, and {path} is none")
        return Part(str(path / subfolder if subfolder else path), None, revision, variant)


def make_image_grid(images: Sequence[Image.Image], rows: int, cols: int, resize: int | None = None) -> Image.Image:
    """Paste images of one size row by row into one; `resize` is the side in pixels that each gets before."""
    if len(images) != rows * cols:
        raise MdiffError(f"{len(images)} images do not fill {rows} rows of {cols}")
    shown = [image if resize is None else image.resize((resize, resize)) for image in images]
    width, height = shown[0].size
    sheet = Image.new("RGB", (cols * width, rows * height))
    for place, image in enumerate(shown):
        sheet.paste(image, (place % cols * width, place // cols * height))
    return sheet
