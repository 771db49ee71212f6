"""The eight named colours that prompts and backgrounds use, as RGB in 0…1."""

import numpy as np

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.18, 0.18),
    "orange": (0.97, 0.58, 0.12),
    "yellow": (0.99, 0.88, 0.25),
    "green": (0.22, 0.66, 0.30),
    "blue": (0.18, 0.42, 0.88),
    "purple": (0.52, 0.26, 0.74),
    "pink": (0.98, 0.62, 0.80),
    "grey": (0.58, 0.58, 0.58),
}
NAMES = tuple(COLOURS)
WHITE = (1.0, 1.0, 1.0)


def nearest_colour(rgb: np.ndarray) -> str:
    """Name the colour nearest to `rgb` (3 values in 0…1) by Euclidean distance."""
    table = np.array([COLOURS[name] for name in NAMES])
    return NAMES[int(np.argmin(((table - np.asarray(rgb)) ** 2).sum(axis=1)))]
