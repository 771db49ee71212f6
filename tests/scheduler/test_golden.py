"""Every solver against float64 trajectories of diffusers, without PyTorch; and every coefficient counts."""

import dataclasses
import json

import numpy as np
import pytest

from mdiff.scheduler import SCHEDULERS
from mdiff.scheduler.table import OUT, SAVED, H, M
from tests.scheduler.grid import GROUPS
from tests.scheduler.make_golden import FILE, STEPS, golden_cases
from tests.scheduler.trajectory import SAMPLE, Impulses, lively_network, run

COLUMNS = ("t", "s", "a", "b", "c", "e", "r", "churn", "next", "keep", "init_scale")
PROBED = [group for group in GROUPS if not any(group.options.get(key) for key in ("clip_sample", "thresholding"))]

# Coefficients of which 1% moves no dependence of a run by a few roundings of float32, and what holds them instead.
HARDLY_SEEN = {
    "LCMScheduler": {"c"},  # 2.5e-9 of x: test_small_coefficients_by_their_formulas
    "EDMEulerScheduler": {"a"},  # 4e-5 of x at sigma_max: the same
    "EDMDPMSolverMultistepScheduler": {"a"},
    "EulerDiscreteScheduler": {"a"},  # 6e-8 of x after rescale_betas_zero_snr: the same
    "DPMSolverMultistepScheduler": {"a"},
    "UniPCMultistepScheduler": {"a"},
    "IPNDMScheduler": {"s", "b"},  # none at u = 1, where the data prediction has weight alpha = 0
    "FlowMatchEulerDiscreteScheduler": {"s"},  # none where invert_sigmas ends in a step of no length
}


@pytest.fixture(scope="module")
def golden():
    """For each group: (options, prediction, path, responses) of every case."""
    with np.load(FILE, allow_pickle=False) as stored:
        names, paths, flat = json.loads(str(stored["names"])), stored["paths"], stored["responses"]
    cases = [[] for _ in GROUPS]
    for index, options, prediction, length, rows, inputs in names:
        path, paths = paths[:length], paths[length:]
        responses, flat = flat[: rows * inputs], flat[rows * inputs :]
        cases[index].append((options, prediction, path.reshape(length, *SAMPLE.shape), responses.reshape(rows, inputs)))
    return cases


def table_for(group, options, prediction):
    options = options if prediction is None else options | {"prediction_type": prediction}
    return SCHEDULERS[group.name](**options).table(STEPS, **group.step_options, **group.run_options)


def path_distance(table, reference) -> float:
    """Return the largest difference of a step in float64, relative to that step's largest sample."""
    difference = np.abs(run(table, SAMPLE.astype(np.float64), lively_network) - reference).max((1, 2, 3, 4))
    return float((difference / np.maximum(np.abs(reference).max((1, 2, 3, 4)), 1e-3)).max())


def response_distance(table, reference) -> float:
    """Return the largest difference in how a step depends on an input, relative to that dependence.

    Below a thousandth of the run's largest dependence the measure is absolute: a last step of no length is one ulp.
    """
    impulses = Impulses(len(table), int(table.draw.sum()))
    responses = run(table, impulses.start, impulses.network, impulses).reshape(len(table), -1)
    scale = np.maximum(np.abs(reference), 1e-3 * np.abs(reference).max())
    return float(np.nan_to_num(np.abs(responses - reference) / scale, nan=np.inf).max())


def tolerance(group) -> float:
    """Return how near the responses come: to the last digits where diffusers' code runs wholly in float64.

    Elsewhere it rounds to float32 on its way: flow levels and 1 - sigma, EDM levels, a last step of one ulp in sigma
    (whose noise is the root of that), lambdas between equal levels.
    """
    kind = group.options.get("algorithm_type")
    if group.name == "DPMSolverMultistepScheduler" and kind in ("dpmsolver", "sde-dpmsolver"):
        return 3e-2 if kind == "sde-dpmsolver" else 5e-4
    exact = ("Heun", "LMS", "KDPM2", "DPMSolverSDE", "DEIS", "DPMSolverSinglestep", "SASolver", "PNDM", "TCD", "UniPC")
    if group.name.startswith(exact) and "rescale_betas_zero_snr" not in group.betas[0]:
        return 1e-9
    if group.name.startswith("EDM"):
        return 5e-6 if group.options.get("solver_order") == 3 else 1e-6
    return 1e-4 if group.name.startswith("FlowMatch") else 2e-5


def path_tolerance(group) -> float:
    loose = group.options.get("algorithm_type") == "sde-dpmsolver" or group.options.get("use_dynamic_shifting")
    return 1e-4 if loose else 2e-6


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_golden_trajectories(group, golden):
    held = golden[GROUPS.index(group)]
    assert golden_cases(group) == [(options, prediction) for options, prediction, *_ in held]
    for options, prediction, path, _ in held:
        table = table_for(group, options, prediction)
        assert np.isfinite(run(table)).all()
        if len(path):
            assert path_distance(table, path) < path_tolerance(group), (options, prediction)


@pytest.mark.parametrize("group", PROBED, ids=str)
def test_golden_responses(group, golden):
    for options, prediction, _, responses in golden[GROUPS.index(group)]:
        if responses.size:
            assert response_distance(table_for(group, options, prediction), responses) < tolerance(group)


def mutants(table):
    """Yield (column, place, table) with one coefficient that is not zero changed by 1%."""
    for column in COLUMNS:
        values = np.asarray(getattr(table, column))
        for place in zip(*np.nonzero(values), strict=True) if values.ndim else [()]:
            changed = values.astype(np.float64).copy()
            changed[place] *= 1.01
            yield column, place, dataclasses.replace(table, **{column: changed if values.ndim else float(changed)})


def unread(table, column, place) -> bool:
    """Whether a coefficient only makes a saved sample or an m that nothing reads before it is overwritten."""
    row = place[0] if place else 0
    later = range(row + 1, len(table))
    if column == "keep":
        dead = next((k for k in later if table.keep[k, SAVED] == 0), len(table))
        return not any(table.next[k, SAVED] for k in range(row + 1, min(dead + 1, len(table))))
    if column in ("s", "a", "b", "c", "e", "r"):
        slot = H + table.dst[row] if table.dst[row] >= 0 else None
        read = table.next[row, [M, OUT]].any() or table.keep[row, [M, OUT]].any()
        return not read and (slot is None or not any(table.next[k, slot] or table.keep[k, slot] for k in later))
    return False


def invisible(table, mutant) -> bool:
    """Whether a change moves no dependence of the run by as much as a few roundings of float32."""
    impulses = Impulses(len(table), int(table.draw.sum()))
    before, after = (
        run(t, impulses.start, impulses.network, Impulses(len(table), int(t.draw.sum()))) for t in (table, mutant)
    )
    return bool((np.abs(after - before) <= 1e-6 * np.maximum(np.abs(before), 1e-3 * np.abs(before).max())).all())


@pytest.mark.parametrize("group", PROBED, ids=str)
def test_every_coefficient_counts(group, golden):
    """A change of 1% in any one coefficient parts the run from diffusers': on impulses, or on the dummy network.

    The network hardly sees some timesteps; test_parity compares them with diffusers' one by one.
    """
    options, prediction, path, responses = next(case for case in golden[GROUPS.index(group)] if case[3].size)
    table, missed = table_for(group, options, prediction), []
    excused = HARDLY_SEEN.get(group.name, set()) | {"t"}
    for column, place, mutant in mutants(table):
        try:
            seen = response_distance(mutant, responses) > tolerance(group)
            seen = seen or path_distance(mutant, path) > path_tolerance(group)
        except TypeError:  # a register that was never filled is read: the run fails
            seen = True
        if not seen and not unread(table, column, place) and not (column in excused and invisible(table, mutant)):
            missed.append((column, tuple(map(int, place)), float(np.asarray(getattr(table, column))[place])))
    assert not missed, (options, prediction, missed)


def test_every_solver_is_probed(golden):
    assert {group.name for group in PROBED if any(case[3].size for case in golden[GROUPS.index(group)])} == set(
        SCHEDULERS
    )


def small_coefficients():
    """Yield (column, table, its values by the formula) of what HARDLY_SEEN excuses."""
    lcm = SCHEDULERS["LCMScheduler"]().table(STEPS)  # the boundary scalings of consistency models, sigma_data = 1/2
    yield "c", lcm, 0.25 / ((10 * lcm.t) ** 2 + 0.25)
    for name in ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"):
        for prediction in ("epsilon", "v_prediction"):  # c_skip of Karras et al. 2022, Table 1
            edm = SCHEDULERS[name](prediction_type=prediction).table(STEPS)
            yield "a", edm, 0.25 / (edm.sigma**2 + 0.25)
    zero = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    for name, power in (
        ("EulerDiscreteScheduler", 1.0),  # x / (sigma^2 + 1) in x0 = alpha (alpha x) - sigma v
        ("DPMSolverMultistepScheduler", 0.5),
        ("UniPCMultistepScheduler", 0.5),
    ):
        table = SCHEDULERS[name](**zero).table(STEPS)
        assert table.sigma[0] == pytest.approx((2.0**24 - 1) ** 0.5)
        yield "a", table, (1 / (table.sigma**2 + 1)) ** power


def test_small_coefficients_by_their_formulas():
    for column, table, values in small_coefficients():
        assert np.allclose(getattr(table, column), values, rtol=1e-6, atol=0)
