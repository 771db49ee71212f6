"""How far one image is from another: PSNR on RGB, SSIM on luma."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2

_OFFSETS = np.arange(WINDOW) - WINDOW // 2
_GAUSSIAN = np.exp(-(_OFFSETS**2) / (2 * SIGMA**2))
_GAUSSIAN /= _GAUSSIAN.sum()
_BLOCK = 8  # of 18 rows in: small enough that BLAS does not share it out among threads
_BAND = np.zeros((_BLOCK, _BLOCK + WINDOW - 1))  # the window at each position of a block
for _row in range(_BLOCK):
    _BAND[_row, _row : _row + WINDOW] = _GAUSSIAN


@dataclass(frozen=True)
class Statistic:
    """What SSIM needs of one image alone: its luma and the local mean and variance, all (H-10, W-10) but the luma."""

    luma: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def mse(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean squared error of two (H, W, 3) images in units of 1/255; ValueError where the shapes differ."""
    if a.shape != b.shape:
        raise ValueError(f"images of different shapes: {a.shape} and {b.shape}")
    difference = a.astype(np.float32) - b.astype(np.float32)
    return float(np.mean(np.square(difference), dtype=np.float64))


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error on the scale of 255; infinite for identical images."""
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def statistic(image: NDArray[np.uint8]) -> Statistic | None:
    """Return the statistics of an (H, W, 3) image, or None where a side is shorter than the window of 11."""
    if min(image.shape[:2]) < WINDOW:
        return None
    luma = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    mean = _smooth(luma)
    return Statistic(luma, mean, _smooth(luma * luma) - mean * mean)


def ssim(a: Statistic, b: Statistic) -> float:
    """Mean structural similarity, in [-1, 1].

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity"
    (2004), equation 13: an 11 x 11 circular Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, averaged over the
    positions where the whole window lies inside the image.
    """
    covariance = _smooth(a.luma * b.luma) - a.mean * b.mean
    luminance = (2 * a.mean * b.mean + C1) / (a.mean**2 + b.mean**2 + C1)
    contrast = (2 * covariance + C2) / (a.variance + b.variance + C2)
    return float(np.mean(luminance * contrast))


def _smooth(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian-weighted local mean of (H, W), "valid" positions only: (H-10, W-10). The window is separable."""
    return _smooth_columns(_smooth_columns(plane).T).T


def _smooth_columns(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means along the first axis, a block of rows at a time: a product does in one pass what takes eleven sums."""
    height = plane.shape[0] - WINDOW + 1
    means = np.empty((height, plane.shape[1]))
    for start in range(0, height, _BLOCK):
        rows = min(_BLOCK, height - start)
        window = _BAND[:rows, : rows + WINDOW - 1]
        np.matmul(window, plane[start : start + rows + WINDOW - 1], out=means[start : start + rows])
    return means
