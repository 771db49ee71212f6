"""Stochastic solvers reproduce the mean and the variance of Gaussian data within three standard errors."""

import numpy as np
import pytest

from mdiff.scheduler import SCHEDULERS, Registers
from tests.scheduler.gaussian import DEVIATION, MEAN, distilled_network, network, noise_levels
from tests.scheduler.test_convergence import CASES as ORDERS

LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
KARRAS = LATENT | {"use_karras_sigmas": True}
SDE = KARRAS | {"algorithm_type": "sde-dpmsolver++"}
NOISE_SDE = KARRAS | {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}
SAMPLES = 4000
CASES = [
    ("EulerDiscreteScheduler", KARRAS, {"s_churn": 40.0}, 1000),
    ("EulerAncestralDiscreteScheduler", LATENT, {}, 1000),
    ("KDPM2AncestralDiscreteScheduler", KARRAS, {}, 200),
    ("DPMSolverSDEScheduler", KARRAS, {}, 200),
    ("DDIMScheduler", LATENT | {"clip_sample": False}, {"eta": 1.0}, 1000),
    ("DDPMScheduler", LATENT | {"clip_sample": False}, {}, 1000),
    ("DDPMScheduler", LATENT | {"clip_sample": False, "variance_type": "fixed_large"}, {}, 1000),
    ("DPMSolverMultistepScheduler", SDE | {"solver_order": 1}, {}, 1000),
    *[("DPMSolverMultistepScheduler", SDE | {"solver_order": order}, {}, 200) for order in (2, 3)],
    *[("DPMSolverMultistepScheduler", NOISE_SDE | {"solver_order": order}, {}, 200) for order in (1, 2, 3)],
    *[("DPMSolverSinglestepScheduler", SDE | {"solver_order": order}, {}, 1000) for order in (1, 2, 3)],
    ("SASolverScheduler", KARRAS, {}, 200),
    ("SASolverScheduler", KARRAS | {"algorithm_type": "noise_prediction"}, {}, 200),
    ("EDMEulerScheduler", {"sigma_max": 20.0}, {"s_churn": 10.0}, 1000),
    ("EDMDPMSolverMultistepScheduler", {"sigma_max": 20.0, "algorithm_type": "sde-dpmsolver++"}, {}, 200),
]


# Solvers that denoise at once, for networks distilled to lead along the whole ODE: exact in a few steps.
DISTILLED = [
    ("LCMScheduler", LATENT, {}, 1),
    ("LCMScheduler", LATENT, {}, 4),
    ("LCMScheduler", LATENT | {"prediction_type": "v_prediction"}, {}, 8),
    *[("TCDScheduler", LATENT, {"eta": eta}, 4) for eta in (0.0, 0.3, 1.0)],
    ("TCDScheduler", LATENT | {"prediction_type": "sample"}, {}, 8),
    ("FlowMatchLCMScheduler", {"shift": 3.0}, {}, 4),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "stochastic_sampling": True}, {}, 4),
]


def sampled(scheduler, table, make_network):
    """Return what a run makes of SAMPLES draws from the start's exact law."""
    stream = np.random.default_rng(7)
    alpha, sigma = (level[0] for level in noise_levels(scheduler, table))
    start = alpha * MEAN + np.hypot(alpha * DEVIATION, sigma) * stream.standard_normal(SAMPLES)
    best, registers = make_network(scheduler, table), Registers(start)
    for row in range(len(table)):
        noise = stream.standard_normal(SAMPLES) if table.draw[row] else None
        registers = table.apply(row, registers, best(table.input(row, registers), row), noise)
    return registers.x


def assert_law_of_the_data(x):
    assert abs(x.mean() - MEAN) < 3 * DEVIATION / SAMPLES**0.5
    assert abs(x.var(ddof=1) - DEVIATION**2) < 3 * DEVIATION**2 * (2 / (SAMPLES - 1)) ** 0.5


def named(case):
    return "-".join([case[0][:-9], *map(str, [*case[1].values(), *case[2].values()])])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_mean_and_variance(case):
    name, options, step_options, steps = case
    scheduler = SCHEDULERS[name](**options)
    assert_law_of_the_data(sampled(scheduler, scheduler.table(steps, **step_options), network))


@pytest.mark.parametrize("case", DISTILLED, ids=lambda case: f"{named(case)}-{case[3]}")
def test_mean_and_variance_of_distilled_networks(case):
    name, options, step_options, steps = case
    scheduler = SCHEDULERS[name](**options)
    table, ends = scheduler.table(steps, **step_options), (1.0, 0.0)
    if name == "TCDScheduler":  # leads to s = (1 - eta) t', t' the next timestep
        eta = step_options.get("eta", scheduler.step_defaults["eta"])
        level = scheduler.alphas_cumprod[((1 - eta) * np.append(table.t[1:], 0)).astype(int)].astype(np.float64)
        ends = np.sqrt(level), np.sqrt(1 - level)
    assert_law_of_the_data(sampled(scheduler, table, lambda *of: distilled_network(*of, *ends)))


def test_every_solver_has_an_independent_truth():
    """Deterministic ones have an order, stochastic ones a law; some are both."""
    orders = {case[0] for case in ORDERS}
    laws = {case[0] for case in CASES + DISTILLED}
    assert orders | laws == set(SCHEDULERS)
    for name, solver in SCHEDULERS.items():
        options = {"clip_sample": False} if "clip_sample" in solver.defaults else {}
        assert name in (laws if solver(**options).table(8).draw.any() else orders), name
