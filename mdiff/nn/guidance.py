"""The guidance scale as a network's input, in numpy."""

from math import log

import numpy as np


def guidance_embedding(guidance_scale: np.ndarray, width: int) -> np.ndarray:
    """Return the vectors (B, width) float32 that networks distilled with guidance take for scales (B,).

    Luo et al. 2023 (Latent Consistency Models), section 4.2: the sinusoid of 1000 · (guidance_scale − 1).
    """
    half = width // 2
    frequency = np.exp(np.arange(half, dtype=np.float32) * np.float32(-log(10000.0) / (half - 1)))
    phase = (np.asarray(guidance_scale, np.float32) - 1).reshape(-1, 1) * np.float32(1000) * frequency[None]
    vectors = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
    return np.pad(vectors, ((0, 0), (0, width - 2 * half)))
