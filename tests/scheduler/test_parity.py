"""Every step of every solver against diffusers 0.42.1, over the whole grid of settings that diffusers accepts.

Up to 20 steps every setting of the grid is compared in every run of these tests. At 50, 100 and 1000 steps a run
compares SAMPLED settings of each group, chosen by a seed that depends on the group and the steps alone; all of them
take hours of one core, with

    pytest -m slow tests/scheduler/test_parity.py --full-grid
"""

import itertools
import random

import numpy as np
import pytest

from mdiff.errors import SchedulerError
from mdiff.scheduler import SCHEDULERS
from tests.scheduler.grid import GROUPS, STEPS
from tests.scheduler.trajectory import SAMPLE, run

pytestmark = pytest.mark.parity
SHORT = tuple(steps for steps in STEPS if steps <= 10)
SAMPLED = {50: 6, 100: 3, 1000: 1}  # steps: settings of a group


def compare(group, steps, options, predictions) -> int:
    """Compare the runs of one schedule; return how many there were: none where it has not so many steps.

    A run must come within 1e-4 of the largest sample of the trajectory (1e-2 where a sigma exceeds 1e4), in float32 on
    both sides. Where it does not, float32 may be too coarse for the setting: then both run in float64, and must agree
    there. Where diffusers ends in NaN, mdiff must not.
    """
    from tests.scheduler.reference import Reference

    reference, exact = Reference(group.name, options), None
    try:
        SCHEDULERS[group.name](**options).table(steps, **group.step_options, **group.run_options)
    except SchedulerError:  # more steps than leading spacing has timesteps: diffusers stays at one timestep
        assert options.get("timestep_spacing") == "leading" and steps >= 1000
        return 0
    reference.set_timesteps(steps, **group.run_options)
    for prediction in predictions:
        chosen = options if prediction is None else options | {"prediction_type": prediction}
        table = SCHEDULERS[group.name](**chosen).table(steps, **group.step_options, **group.run_options)
        path = run(table, model=group.network)
        expected = reference.run(prediction, group.step_options, model=group.network)
        assert path.shape == expected.shape
        assert np.isfinite(path).all(), (chosen, steps)
        if not np.isfinite(expected).all():
            continue
        assert timesteps_agree(table.t, reference.scheduler.timesteps.numpy(), group.name), (chosen, steps, table.t)
        largest = max(np.abs(expected).max(), np.abs(SAMPLE).max() * table.init_scale)
        allowed = 1e-2 if table.sigma.max() > 1e4 else 1e-4
        error = np.abs(path - expected).max() / largest
        if error > allowed:
            if exact is None:
                exact = Reference(group.name, options)
                exact.set_timesteps(steps, double=True, **group.run_options)
            path = run(table, SAMPLE.astype(np.float64), group.network)
            expected = exact.run(prediction, group.step_options, model=group.network)
            error = np.abs(path - expected).max() / largest
        assert error <= allowed, (chosen, steps, error)
    return len(predictions)


def timesteps_agree(ours, theirs, name) -> bool:
    """Whether all timesteps are diffusers' but for rounding.

    Not so the midpoints of KDPM2's ancestral steps: they come from differences of float32 squares, nothing where the
    sigmas are far apart; their effect on the path is compared.
    """
    ancestral = slice(None, None, 2 if name == "KDPM2AncestralDiscreteScheduler" else 1)
    return ours.shape == theirs.shape and np.allclose(ours[ancestral], theirs[ancestral], rtol=1e-5, atol=1e-4)


def compare_all(group, steps) -> None:
    for options in group.schedules():
        compare(group, steps, options, group.predictions)


def compare_sampled(group, steps, count) -> None:
    settings = list(itertools.product(group.schedules(), group.predictions))
    random.Random(f"{group} at {steps} steps").shuffle(settings)
    for options, prediction in settings:
        count -= compare(group, steps, options, [prediction])
        if count == 0:
            break


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_few_steps(group):
    pytest.importorskip("diffusers")
    for steps in group.steps:
        if steps in SHORT:
            compare_all(group, steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [steps for steps in STEPS if steps not in SHORT])
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_many_steps(group, steps, request):
    pytest.importorskip("diffusers")
    if steps not in group.steps:
        pytest.skip(f"diffusers has no {steps} steps of this group, or its dummy network does not")
    if steps in SAMPLED and not request.config.getoption("--full-grid", False):
        compare_sampled(group, steps, SAMPLED[steps])
    else:
        compare_all(group, steps)
