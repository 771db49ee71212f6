"""Classifier-free guidance, on the host in float32."""

import numpy as np


def guide(negative: np.ndarray, positive: np.ndarray, scale: float, rescale: float = 0.0) -> np.ndarray:
    """Return the guided prediction (C, h, w): negative + scale · (positive − negative), Ho and Salimans 2022, eq. 6.

    `rescale` (0 to 1) blends in the prediction whose standard deviation was brought back to that of `positive`
    (Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", section 3.4).
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told by the trajectory
        guided = negative + np.float32(scale) * (positive - negative)
    if rescale == 0:
        return guided
    restored = guided * (positive.std() / guided.std())
    return np.float32(rescale) * restored + np.float32(1 - rescale) * guided
