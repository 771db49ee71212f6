"""Every step of every solver against diffusers 0.42.1, over the whole grid of settings that diffusers accepts."""

import numpy as np
import pytest

from mdiff.scheduler import SCHEDULERS
from mdiff.scheduler.config import SchedulerError
from tests.scheduler.grid import GROUPS, STEPS
from tests.scheduler.trajectory import SAMPLE, run

pytestmark = pytest.mark.parity
SHORT = tuple(steps for steps in STEPS if steps <= 10)


def compare(group, steps) -> None:
    """Compare all settings of `group` at `steps`.

    A run must come within 1e-4 of the largest sample of the trajectory (1e-2 where a sigma exceeds 1e4), in float32 on
    both sides. Where it does not, float32 may be too coarse for the setting: then both run in float64, and must agree
    there. Where diffusers ends in NaN, mdiff must not.
    """
    from tests.scheduler.reference import Reference

    for options in group.schedules():
        reference, exact = Reference(group.name, options), Reference(group.name, options)
        try:
            SCHEDULERS[group.name](**options).table(steps, **group.step_options, **group.run_options)
        except SchedulerError:  # more steps than leading spacing has timesteps: diffusers stays at one timestep
            assert options.get("timestep_spacing") == "leading" and steps >= 1000
            continue
        reference.set_timesteps(steps, **group.run_options)
        exact.scheduler = None
        for prediction in group.predictions:
            chosen = options if prediction is None else options | {"prediction_type": prediction}
            table = SCHEDULERS[group.name](**chosen).table(steps, **group.step_options, **group.run_options)
            path, expected = run(table), reference.run(prediction, group.step_options)
            assert path.shape == expected.shape
            assert np.isfinite(path).all(), (chosen, steps)
            if not np.isfinite(expected).all():
                continue
            largest = max(np.abs(expected).max(), np.abs(SAMPLE).max() * table.init_scale)
            allowed = 1e-2 if table.sigma.max() > 1e4 else 1e-4
            error = np.abs(path - expected).max() / largest
            if error > allowed:
                if exact.scheduler is None:
                    exact.set_timesteps(steps, double=True, **group.run_options)
                path = run(table, SAMPLE.astype(np.float64))
                error = np.abs(path - exact.run(prediction, group.step_options)).max() / largest
            assert error <= allowed, (chosen, steps, error)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_few_steps(group):
    pytest.importorskip("diffusers")
    for steps in group.steps:
        if steps in SHORT:
            compare(group, steps)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [steps for steps in STEPS if steps not in SHORT])
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_many_steps(group, steps):
    pytest.importorskip("diffusers")
    if steps in group.steps:
        compare(group, steps)
