"""Gaussian data, for which the best network and the exact solution of the diffusion ODE are formulas."""

import numpy as np

from mdiff.scheduler import Scheduler, Table
from mdiff.scheduler.edm import EDMScheduler
from mdiff.scheduler.family import SigmaScheduler
from mdiff.scheduler.flow import FlowScheduler
from mdiff.scheduler.pndm import IPNDMScheduler

MEAN, DEVIATION = 0.7, 0.4


def noise_levels(scheduler: Scheduler, table: Table, sigma=None) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, sigma) with x = alpha x0 + sigma n at every row, as the solver's kind of process has them."""
    sigma = table.sigma if sigma is None else np.asarray(sigma)
    if isinstance(scheduler, SigmaScheduler | EDMScheduler):
        return np.ones_like(sigma), sigma
    if isinstance(scheduler, FlowScheduler) or scheduler.config.get("use_flow_sigmas"):
        return 1 - sigma, sigma
    if isinstance(scheduler, IPNDMScheduler):
        return np.sqrt(1 - sigma**2), sigma
    alpha = 1 / np.sqrt(1 + sigma**2)
    return alpha, sigma * alpha


def transported(x, start, stop):
    """Return where the ODE takes x from (alpha, sigma) = `start` to `stop`: it keeps its quantile."""
    (a, s), (b, r) = start, stop
    return b * MEAN + np.sqrt((b**2 * DEVIATION**2 + r**2) / (a**2 * DEVIATION**2 + s**2)) * (x - a * MEAN)


def network(scheduler: Scheduler, table: Table):
    """Return the best network for the Gaussian, a function of its input and the row."""
    alphas, sigmas = noise_levels(scheduler, table)

    def best(seen, row):
        alpha, sigma, x = alphas[row], sigmas[row], seen / table.s[row]
        x0 = MEAN + alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2) * (x - alpha * MEAN)
        return said(scheduler, alpha, sigma, x, x0)

    return best


def distilled_network(scheduler: Scheduler, table: Table, alpha_end=1.0, sigma_end=0.0):
    """Return a network that leads from every row along the ODE to the levels `alpha_end`, `sigma_end` (one a row)."""
    alphas, sigmas = noise_levels(scheduler, table)
    alpha_ends, sigma_ends = np.broadcast_to(alpha_end, alphas.shape), np.broadcast_to(sigma_end, alphas.shape)

    def consistent(seen, row):
        alpha, sigma, b, r, x = alphas[row], sigmas[row], alpha_ends[row], sigma_ends[row], seen / table.s[row]
        y = transported(x, (alpha, sigma), (b, r))
        # x = alpha x0 + sigma n and y = b x0 + r n
        return said(scheduler, alpha, sigma, x, (r * x - sigma * y) / (alpha * r - sigma * b))

    return consistent


def said(scheduler: Scheduler, alpha, sigma, x, x0):
    """Return the output by which a network says, in the scheduler's prediction type, that x is x0 with noise."""
    prediction = scheduler.config.get("prediction_type")
    prediction = prediction or ("v_prediction" if isinstance(scheduler, IPNDMScheduler) else "flow_prediction")
    noise = (x - alpha * x0) / sigma
    if isinstance(scheduler, EDMScheduler):  # Karras et al. 2022, Table 1: D = c_skip x + c_out F
        data, sign = scheduler.config.sigma_data, 1 if prediction == "epsilon" else -1
        return (x0 - data**2 / (sigma**2 + data**2) * x) / (sign * sigma * data / np.sqrt(sigma**2 + data**2))
    v = (alpha * noise - sigma * x0) / np.hypot(alpha, sigma)
    return {"epsilon": noise, "sample": x0, "v_prediction": v, "flow_prediction": noise - x0}[prediction]
