"""What the network predicts, as two numbers, and how a predicted image is bounded."""

from collections.abc import Callable
from typing import Any

import numpy as np


def data_weights(prediction: str, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return (a, b) with x0 = a x + b o, where x = alpha x0 + sigma n.

    epsilon = n and sample = x0: Ho et al. 2020. v = alpha n - sigma x0: https://arxiv.org/abs/2202.00512, section 4.
    flow = n - x0 with alpha = 1 - sigma: https://arxiv.org/abs/2210.02747.
    """
    one, zero = np.ones_like(sigma), np.zeros_like(sigma)
    known = {"v_prediction": (alpha, -sigma), "flow_prediction": (one, -sigma), "sample": (zero, one)}
    return np.array((1 / alpha, -sigma / alpha) if prediction == "epsilon" else known[prediction])


def noise_weights(prediction: str, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return (a, b) with n = a x + b o: from x0 = a' x + b' o, but where the network says it by itself."""
    a, b = data_weights(prediction, alpha, sigma)
    known = {"epsilon": (0 * sigma, 1 + 0 * sigma), "v_prediction": (sigma, alpha)}
    return np.array(known.get(prediction, ((1 - alpha * a) / sigma, -alpha * b / sigma)))


def clip_function(config: Any) -> Callable[[Any], Any] | None:
    """Return the function that bounds a predicted original sample, or None where the config asks for none."""
    if config.get("thresholding"):
        return lambda d: dynamic_threshold(d, config.dynamic_thresholding_ratio, config.sample_max_value)
    if config.get("clip_sample"):
        return lambda d: d.clip(-config.clip_sample_range, config.clip_sample_range)
    return None


def dynamic_threshold(d: Any, ratio: float, largest: float) -> Any:
    """Clip each image to its own quantile s of |d| (within 1 .. `largest`) and divide by s.

    Saharia et al. 2022, section 2.3 (https://arxiv.org/abs/2205.11487). A leading axis of a (B, C, H, W) array is the
    batch; anything with fewer axes is one image.
    """
    values = np.asarray(d)
    axes = tuple(range(values.ndim > 3, values.ndim))
    level = np.quantile(np.abs(values), ratio, axis=axes, keepdims=True).clip(1, largest).astype(values.dtype)
    bounded = values.clip(-level, level) / level
    return bounded if isinstance(d, np.ndarray) else type(d)(bounded)
