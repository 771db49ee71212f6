"""One image that is asked for."""

from dataclasses import dataclass

import numpy as np

from mdiff.noise import NoiseSource
from mdiff.scheduler import Table

WHOLE = (0.0, 1.0)  # every step is guided


@dataclass(frozen=True)
class Text:
    """A prompt: its words, whether brackets weigh words, whether more than one chunk is read.

    `absent` tells a negative prompt that was not given from an empty one (SDXL may take zeros for it).
    """

    words: str
    weighting: bool = False
    long: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Conditioning:
    """What the text encoders made of one prompt, float32.

    `context` (1, S, D); `added` (1, A), SDXL's pooled text and sizes, or None; `guidance` (1, G), the guidance scale's
    vector for networks that were distilled with it, or None.
    """

    context: np.ndarray
    added: np.ndarray | None = None
    guidance: np.ndarray | None = None


@dataclass(frozen=True)
class ImageRequest:
    """What an image is made from. Sizes are pixels; `latents` (C, h, w) replace the initial noise before scaling.

    Conditionings stand in for the prompts where they are given.
    """

    positive: Text
    negative: Text
    table: Table
    guidance: float
    width: int
    height: int
    noise: NoiseSource
    latents: np.ndarray | None = None
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = WHOLE
    positive_conditioning: Conditioning | None = None
    negative_conditioning: Conditioning | None = None
    sizes: tuple[int, ...] | None = None  # SDXL's, where they are not those of the image
