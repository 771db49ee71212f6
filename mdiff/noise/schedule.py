"""Noise schedules: the one a network was trained with, and the timesteps and noise levels that a run visits.

Training betas, 1 - beta and their cumulative products are rounded to float32 as PyTorch rounds them (the product runs
in float64): a timestep found from a sigma would otherwise land on the other side of an integer.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from mdiff.errors import SchedulerError


def linspace(start: float, stop: float, count: int) -> np.ndarray:
    """Return `count` float32 points as PyTorch does: float32 steps from both ends, fused multiply-add."""
    first, last = np.float32(start), np.float32(stop)
    step = np.float64((last - first) / np.float32(max(count - 1, 1)))
    index = np.arange(count)
    points = np.where(index < max(count // 2, 1), first + step * index, last - step * (count - 1 - index))
    return points.astype(np.float32)


def training_betas(config: Any) -> np.ndarray:
    """Return the float32 betas (num_train_timesteps,) that `config` describes.

    Ho et al. 2020 (linear), Rombach et al. 2022 (scaled_linear), Nichol and Dhariwal 2021 (squaredcos_cap_v2);
    `rescale_betas_zero_snr` is Algorithm 1 of Lin et al. 2023, https://arxiv.org/abs/2305.08891.
    """
    start, end, count, kind = config.beta_start, config.beta_end, config.num_train_timesteps, config.beta_schedule
    if config.trained_betas is not None:
        betas: np.ndarray = np.asarray(config.trained_betas, np.float32)
    elif kind in ALPHA_BAR:
        levels = [ALPHA_BAR[kind](i / count) for i in range(count + 1)]
        betas = np.array([min(1 - then / now, 0.999) for now, then in pairwise(levels)], np.float32)
    elif kind == "sigmoid":
        betas = 1 / (1 + np.exp(-linspace(-6, 6, count))) * np.float32(end - start) + np.float32(start)
    else:
        betas = linspace(start, end, count) if kind == "linear" else linspace(start**0.5, end**0.5, count) ** 2
    if config.get("rescale_betas_zero_snr"):  # shift and stretch sqrt(alpha_bar) to end at zero
        root = np.sqrt(alphas_cumprod(betas))
        alpha_bar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
        betas = 1 - np.append(alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1])
    return betas


def alphas_cumprod(betas: np.ndarray) -> np.ndarray:
    """Return the cumulative products of 1 - beta, float32, accumulated in float64."""
    return np.cumprod((1 - betas).astype(np.float64)).astype(np.float32)


def _laplace(t: float) -> float:
    snr = math.exp(-0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * math.fabs(0.5 - t) + 1e-6))
    return math.sqrt(snr / (1 + snr))


ALPHA_BAR = {
    "squaredcos_cap_v2": lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2,
    "laplace": _laplace,
    "exp": lambda t: math.exp(-12.0 * t),
}


def spaced_timesteps(config: Any, steps: int, total: int, drop_last: bool) -> np.ndarray:
    """Return `steps` descending timesteps in float64 (not rounded for linspace): Table 2 of Lin et al. 2023.

    https://arxiv.org/abs/2305.08891. `total` is how many of the training timesteps may be visited; with `drop_last`
    the solver's own end point takes one more point, which is then left out.
    """
    train, spacing, points = config.num_train_timesteps, config.get("timestep_spacing", "linspace"), steps + drop_last
    if spacing == "linspace":
        return np.linspace(0, total - 1, points)[::-1][:steps]
    if spacing == "leading":
        if points > total:
            raise SchedulerError(f"steps={steps} is too many for leading spacing; use {total - drop_last}, or trailing")
        return np.arange(points - 1, points - 1 - steps, -1) * float(total // points) + config.steps_offset
    count = -(-total * steps // train)  # rounding of the step must not add a timestep below zero
    return np.round(total - np.arange(count) * (train / steps)) - 1


def respaced_sigmas(kind: str, high: float, low: float, ramp: np.ndarray, rho: float = 7.0) -> np.ndarray:
    """Return noise levels from `high` down to `low`, one for each point of the even `ramp` from 0 to 1.

    karras: eq. 5 of https://arxiv.org/abs/2206.00364. exponential: uniform in log sigma. lu: the same, the uniform
    log-SNR steps of https://arxiv.org/abs/2206.00927. beta: https://arxiv.org/abs/2407.12173, alpha = beta = 0.6.
    """
    if kind == "karras":
        return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    if kind in ("exponential", "lu"):  # lu takes the logarithms in float32
        first, last = (float(np.log(np.float32(v))) if kind == "lu" else math.log(v) for v in (high, low))
        return np.exp(np.linspace(first, last, len(ramp)))
    return low + (high - low) * symmetric_beta_quantile(1 - ramp, 0.6)


def symmetric_beta_quantile(p: np.ndarray, a: float) -> np.ndarray:
    """Return the quantiles x of the Beta(a, a) distribution: I_x(a, a) = p.

    With u = x^a the lower half of the integral is u times a power series in x <= 1/2, and almost a straight line, so
    Newton's method converges in a few steps; the upper half follows by symmetry.
    """
    whole, lower, k = math.gamma(a) ** 2 / math.gamma(2 * a), np.minimum(p, 1 - p), np.arange(64)
    series = np.cumprod(np.append(1.0, (k[1:] - a) / k[1:])) / (a + k)  # (1 - a)_k / k! / (a + k)
    u = lower * a * whole
    for _ in range(6):
        x = u ** (1 / a)
        u = u - (u * np.polynomial.polynomial.polyval(x, series) - lower * whole) * a * (1 - x) ** (1 - a)
    x = np.clip(u, 0, None) ** (1 / a)
    return np.where(p <= 0.5, x, 1 - x)


def timestep_of(sigmas: np.ndarray, training_sigmas: np.ndarray) -> np.ndarray:
    """Return the fractional training timesteps whose log sigma is that of `sigmas`, clipped to the trained range."""
    log_sigma, known = np.log(np.maximum(sigmas, 1e-10)), np.log(training_sigmas)
    low = np.clip(np.searchsorted(known, log_sigma, side="right") - 1, 0, len(known) - 2)
    weight = np.clip((known[low] - log_sigma) / (known[low] - known[low + 1]), 0, 1)
    return (1 - weight) * low + weight * (low + 1)


def shifted_levels(levels: np.ndarray, shift: float, mu: float | None, config: Any) -> np.ndarray:
    """Return flow levels moved towards noise by `shift`, or by `mu`, and stretched to end at `shift_terminal`.

    shift / (shift + 1 / sigma - 1), section 5.3.2 of https://arxiv.org/abs/2403.03206.
    """
    if mu is not None:
        shift = math.exp(mu) if config.get("time_shift_type") == "exponential" else mu
    levels, terminal = shift * levels / (1 + (shift - 1) * levels), config.get("shift_terminal")
    return levels if terminal is None or levels[-1] == 1 else 1 - (1 - levels) / ((1 - levels[-1]) / (1 - terminal))
