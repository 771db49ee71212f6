"""Measured convergence orders on Gaussian data, where the exact solution is known: an independent truth."""

import numpy as np
import pytest

from mdiff.scheduler import SCHEDULERS, Registers
from tests.scheduler.gaussian import network, noise_levels, transported

LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
KARRAS = LATENT | {"use_karras_sigmas": True}
FULL = {"lower_order_final": False}


def no_noise(t):
    """SA-Solver's tau where it is an ordinary differential equation's."""
    return 0.0


SA = KARRAS | FULL | {"tau_func": no_noise}
EDM = {"sigma_max": 20.0}


def dpm(order, **options):
    return KARRAS | FULL | {"solver_order": order, "final_sigmas_type": "sigma_min"} | options


# (class, options, options of step, order); the order is the paper's but where a remark says otherwise.
CASES = [
    ("EulerDiscreteScheduler", KARRAS, {}, 1),
    ("HeunDiscreteScheduler", KARRAS, {}, 2),
    ("KDPM2DiscreteScheduler", KARRAS, {}, 2),
    *[("LMSDiscreteScheduler", KARRAS, {"order": k}, k) for k in (1, 2, 3, 4)],
    ("DDIMScheduler", LATENT | {"clip_sample": False}, {}, 1),
    ("PNDMScheduler", LATENT | {"skip_prk_steps": True}, {}, 2),
    ("PNDMScheduler", LATENT, {}, 2),
    *[("DEISMultistepScheduler", KARRAS | FULL | {"solver_order": k}, {}, k) for k in (1, 2, 3)],
    *[("DPMSolverMultistepScheduler", dpm(k), {}, k) for k in (1, 2)],
    ("DPMSolverMultistepScheduler", dpm(2, solver_type="heun"), {}, 2),
    *[("DPMSolverMultistepScheduler", dpm(k, algorithm_type="dpmsolver"), {}, k) for k in (1, 2)],
    # The authors' multistep formula of order 3, which diffusers shares, halves the second difference.
    *[("DPMSolverMultistepScheduler", dpm(3, algorithm_type=kind), {}, 2) for kind in ("dpmsolver", "dpmsolver++")],
    ("EDMDPMSolverMultistepScheduler", EDM | FULL | {"solver_order": 3}, {}, 2),
    *[("DPMSolverSinglestepScheduler", dpm(k), {}, k) for k in (1, 2, 3)],
    *[("DPMSolverSinglestepScheduler", dpm(k, algorithm_type="dpmsolver"), {}, k) for k in (1, 2, 3)],
    ("DPMSolverSinglestepScheduler", dpm(3, solver_type="heun"), {}, 3),
    # The corrector adds one to the order of the predictor.
    *[("UniPCMultistepScheduler", dpm(k), {}, k + 1) for k in (1, 2, 3)],
    ("UniPCMultistepScheduler", dpm(2, solver_type="bh1", predict_x0=False), {}, 3),
    *[("SASolverScheduler", SA | {"predictor_order": k, "corrector_order": k}, {}, k) for k in (1, 2, 3)],
    # Adams-Bashforth of order 4 begins with one step of order 1, whose error stays.
    ("IPNDMScheduler", {}, {}, 2),
    ("EDMEulerScheduler", EDM, {}, 1),
    *[("EDMDPMSolverMultistepScheduler", EDM | FULL | {"solver_order": k}, {}, k) for k in (1, 2)],
    ("FlowMatchEulerDiscreteScheduler", {}, {}, 1),
    ("FlowMatchHeunDiscreteScheduler", {}, {}, 2),
]


def error(name, options, step_options, steps, begin=0):
    """Return the root mean square error where steps begin, of samples spread over the start's law."""
    scheduler = SCHEDULERS[name](**options)
    table = scheduler.table(steps, begin=begin, **step_options)
    alpha, sigma = noise_levels(scheduler, table)
    start = np.linspace(-2, 2, 5) * np.hypot(alpha[0], sigma[0])
    block = scheduler.config.get("solver_order", 1) if name == "DPMSolverSinglestepScheduler" else 1
    begins = np.append(True, table.step[1:] != table.step[:-1]) & (table.step % block == 0)
    registers, best, errors = Registers(start), network(scheduler, table), []
    for row in range(len(table)):
        if begins[row]:
            exact = transported(start, (alpha[0], sigma[0]), (alpha[row], sigma[row]))
            errors.append((registers.x - exact) / np.hypot(alpha[row], sigma[row]))
        registers = table.apply(row, registers, best(table.input(row, registers), row))
    return np.sqrt(np.mean(np.square(errors)))


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=lambda case: "-".join(
        [case[0][:-9], *(getattr(value, "__name__", str(value)) for value in case[1].values()), str(case[3])]
    ),
)
def test_order(case):
    name, options, step_options, order = case
    counts, begin = (48, 72, 108, 162), 0
    if name in ("DDIMScheduler", "PNDMScheduler"):  # divisors of the training timesteps
        counts = (20, 40, 100, 200)
    elif name == "SASolverScheduler" or (options.get("solver_order") == 3 and order == 2):  # slow to show their order
        counts = (160, 240, 360, 540)
    elif name == "IPNDMScheduler":  # at u = 1 it takes the data prediction to be zero
        begin = 1
    errors = [error(name, options, step_options, count, begin) for count in counts]
    slope = np.polyfit(np.log(counts), -np.log(errors), 1)[0]
    assert abs(slope - order) < 0.3, (slope, errors)
