"""Stochastic solvers reproduce the mean and the variance of Gaussian data within three standard errors."""

import numpy as np
import pytest

from mdiff.scheduler import SCHEDULERS
from tests.scheduler.gaussian import DEVIATION, MEAN, network, noise_levels

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


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join([case[0][:-9], *map(str, case[1].values())]))
def test_mean_and_variance(case):
    name, options, step_options, steps = case
    scheduler = SCHEDULERS[name](**options)
    table, stream = scheduler.table(steps, **step_options), np.random.default_rng(7)
    alpha, sigma = (level[0] for level in noise_levels(scheduler, table))
    start = alpha * MEAN + np.hypot(alpha * DEVIATION, sigma) * stream.standard_normal(SAMPLES)
    best, registers = network(scheduler, table), table.begin(start)
    for row in range(len(table)):
        noise = stream.standard_normal(SAMPLES) if table.draw[row] else None
        registers = table.apply(row, registers, best(table.input(row, registers), row), noise)
    assert abs(registers.x.mean() - MEAN) < 3 * DEVIATION / SAMPLES**0.5
    assert abs(registers.x.var(ddof=1) - DEVIATION**2) < 3 * DEVIATION**2 * (2 / (SAMPLES - 1)) ** 0.5
