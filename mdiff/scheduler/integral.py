"""Weights that solvers share: Adams integrals, exponential integrals, and the small rules around them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mdiff.scheduler.table import Table


def adams_weights(start: Any, stop: Any, past: Sequence[Any], orders: Any, kernel: Callable[[Any], Any]) -> list[Any]:
    """Return, for each j, the integral over start .. stop of kernel(u) times the Lagrange basis L_j(u).

    L_j runs through the first `orders` of the points `past`; all arguments are arrays of one entry a step. Twenty
    Gauss-Legendre points are exact for polynomials, and for the exponentials of any step in use to 1e-12.
    """
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = (stop - start) / 2
    u = (start + stop) / 2 + nodes[:, None] * half
    measure, integrals = kernel(u) * weights[:, None] * half, []
    for j, own in enumerate(past):
        others = [(k, other) for k, other in enumerate(past) if k != j]
        basis = np.prod([np.where(orders > k, (u - other) / (own - other), 1) for k, other in others], axis=0)
        integrals.append(np.where(orders > j, (measure * basis).sum(0), 0.0))
    return integrals


def lagged(values: np.ndarray, lag: int) -> np.ndarray:
    """Return `values` shifted so that each entry sees the one `lag` places before it, NaN where there is none."""
    return np.append(np.full(lag, np.nan), values)[: len(values)]


def multistep_orders(h: np.ndarray, order: int, last: int = 9, last_but_one: int = 9) -> np.ndarray:
    """Return the order of each step of length `h`: at most one more than the steps before it, and less at the end.

    A step of no length (a repeated level) adds nothing to the past, so the count starts again after it.
    """
    orders, known = np.ones(len(h), int), 1
    for i, length in enumerate(h):
        orders[i] = min(order, known) if length != 0 else 1
        known = known + 1 if length != 0 else 1
    orders[-1:], orders[-2:-1] = np.minimum(orders[-1:], last), np.minimum(orders[-2:-1], last_but_one)
    return orders


def exponential_weights(kind: str, alpha: Any, sigma: Any, alpha0: Any, sigma0: Any, h: Any) -> tuple:
    """Return the weights of x, noise, D0, D1 and D2 for a step of length `h` in lambda.

    From (alpha0, sigma0) to (alpha, sigma); D0 is the prediction, D1 and D2 its differences scaled to the step. Lu et
    al. 2022: https://arxiv.org/abs/2206.00927 (noise prediction), https://arxiv.org/abs/2211.01095 (data prediction).
    """
    if kind in ("dpmsolver++", "sde-dpmsolver++"):
        z = 2 * h if kind == "sde-dpmsolver++" else h
        x, noise = sigma / sigma0 * (np.exp(-h) if kind == "sde-dpmsolver++" else 1), -np.expm1(-2 * h)
        weights = alpha * -np.expm1(-z), alpha * (np.expm1(-z) / z + 1), -alpha * ((np.expm1(-z) + z) / z**2 - 0.5)
    else:
        scale, x, noise = -2 * sigma if kind == "sde-dpmsolver" else -sigma, alpha / alpha0, np.expm1(2 * h)
        weights = scale * np.expm1(h), scale * (np.expm1(h) / h - 1), scale * ((np.expm1(h) - h) / h**2 - 0.5)
    return x, sigma * np.sqrt(np.maximum(noise, 0)) * kind.startswith("sde"), *weights


def multistep(table: Table, config: Any, alpha: Any, sigma: Any, log_snr: Any, steps: int, to_zero: bool) -> Table:
    """Fill in DPM-Solver's steps, whose differences are of past outputs; lower orders at the end of short runs."""
    h, few = np.diff(log_snr), config.lower_order_final and steps < 15
    last = 1 if config.euler_at_final or few or to_zero else 9
    orders = multistep_orders(h, config.solver_order, last, 2 if few else 9)
    x, noise, d0, d1, d2 = exponential_weights(config.algorithm_type, alpha[1:], sigma[1:], alpha[:-1], sigma[:-1], h)
    r0, r1 = lagged(h, 1) / h, lagged(h, 2) / h
    # D1 = D10 + q (D10 - D11) and D2 = w (D10 - D11), where D10 = (m0 - m1) / r0 and D11 = (m1 - m2) / r1.
    q, w, second = r0 / (r0 + r1), 1 / (r0 + r1), d0 / 2 if config.solver_type == "midpoint" else d1
    near = np.select([orders == 2, orders == 3], [second / r0, (d1 * (1 + q) + d2 * w) / r0], 0.0)
    far = np.where(orders == 3, (d1 * q + d2 * w) / r1, 0.0)
    return table.mix(x=x, n=noise).add([d0 + near, -near - far, far]).put(draw=config.algorithm_type.startswith("sde"))


def two_stage(count: int, begin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the step of each row, and whether the row is its second evaluation; the last of `count` steps has one."""
    row = np.arange(begin // 2 * 2, 2 * count - 1)
    return row // 2, row % 2 == 1


def ancestral(start: Any, stop: Any) -> tuple[Any, Any]:
    """Return (down, up): go from sigma `start` to down, then add noise of deviation up to be at `stop`.

    A step that rises (as the first of 1000 after rescale_betas_zero_snr) has no room for noise; diffusers' is NaN.
    """
    return np.minimum(stop**2 / start, stop), stop * np.sqrt(np.maximum(1 - (stop / start) ** 2, 0))


def trapezoid(table: Table, second: np.ndarray, dt: np.ndarray) -> Table:
    """Fill in x + dt m, then S + dt (h0 + m) / 2, where m is the derivative and S the x that the step began from."""
    half = np.where(second, dt / 2, 0)
    table.mix(x=~second, s=second, m=dt - half, h=half).mix("keep", x=~second, s=second)
    return table.put(dst=np.where(second, -1, 0))


def churned(sigma: np.ndarray, steps: int, asked: Any) -> tuple:
    """Return the raised sigmas and the deviation of the noise that takes x there: Karras et al. 2022, Algorithm 2."""
    within, most = (sigma >= asked.s_tmin) & (sigma <= asked.s_tmax), 2**0.5 - 1
    raised = sigma * np.where(within, 1 + min(asked.s_churn / steps, most), 1)
    return raised, asked.s_noise * np.sqrt(raised**2 - sigma**2)
