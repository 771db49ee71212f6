"""The interface of diffusers: names, signatures, results, places in a run."""

import inspect

import numpy as np
import pytest

from mdiff.errors import MdiffError
from mdiff.scheduler import (
    SCHEDULERS,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)

SAMPLE = np.random.default_rng(0).standard_normal((2, 3, 4, 4), dtype=np.float32)


def walk(scheduler, timesteps, **options):
    sample = SAMPLE
    for t in timesteps:
        sample = scheduler.step(sample * 0.2, t, sample, **options).prev_sample
    return sample


def test_signatures_say_what_a_class_takes():
    assert "use_karras_sigmas" in inspect.signature(HeunDiscreteScheduler).parameters
    assert tuple(DDIMScheduler.step_defaults) == ("eta", "use_clipped_model_output")
    assert tuple(TCDScheduler.step_defaults) == ("eta",)
    assert {"generator", "return_dict"} <= set(inspect.signature(DDIMScheduler().step).parameters)


def test_options_by_place_and_by_keyword():
    scheduler = DDPMScheduler(500, 0.001, beta_end=0.03)
    assert (len(scheduler), scheduler.config.beta_start, scheduler.config["beta_end"]) == (500, 0.001, 0.03)
    with pytest.raises(AttributeError):
        scheduler.config.beta_start = 1
    with pytest.raises(AttributeError):
        scheduler.config["beta_start"] = 1
    with pytest.raises(MdiffError, match="'beta_strat'; did you mean 'beta_start'"):
        DDPMScheduler(beta_strat=1)
    with pytest.raises(ValueError, match="must be true or false"):
        DDIMScheduler(clip_sample="no")


def test_results_are_objects_and_tuples():
    scheduler = EulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    result = scheduler.step(SAMPLE, scheduler.timesteps[0], SAMPLE)
    assert result.prev_sample is result[0]
    assert result.pred_original_sample is result[1]
    scheduler.set_timesteps(4)
    assert type(scheduler.step(SAMPLE, scheduler.timesteps[0], SAMPLE, return_dict=False)) is tuple
    for name, second in (("LCMScheduler", "denoised"), ("TCDScheduler", "pred_noised_sample")):
        scheduler = SCHEDULERS[name]()
        scheduler.set_timesteps(4)
        assert hasattr(scheduler.step(SAMPLE, scheduler.timesteps[0], SAMPLE), second)


def test_noise_comes_from_a_generator_one_or_one_an_image():
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(4)

    def step(generator):
        return scheduler.step(SAMPLE, scheduler.timesteps[0], SAMPLE, eta=1.0, generator=generator).prev_sample

    assert np.array_equal(step(np.random.default_rng(1)), step(np.random.default_rng(1)))
    assert not np.array_equal(step(np.random.default_rng(1)), step(np.random.default_rng(2)))
    each = step([np.random.default_rng(1), np.random.default_rng(2)])
    other = step([np.random.default_rng(1), np.random.default_rng(3)])
    assert np.array_equal(each[0], other[0])
    assert not np.array_equal(each[1], other[1])
    given = scheduler.step(SAMPLE, scheduler.timesteps[0], SAMPLE, eta=1.0, variance_noise=0 * SAMPLE).prev_sample
    assert not np.array_equal(given, each)


def test_image_to_image_enters_where_it_is_told_or_finds_the_timestep():
    for solver in (HeunDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler):
        told, finds = solver(), solver()
        for scheduler in (told, finds):
            scheduler.set_timesteps(10)
        first = 4 * solver.order
        told.set_begin_index(first)
        a, b = walk(told, told.timesteps[first:]), walk(finds, finds.timesteps[first:])
        assert np.array_equal(a, b)
        assert told.step_index == len(told.timesteps)
        with pytest.raises(MdiffError, match="evaluations of this run are done"):
            told.step(SAMPLE, told.timesteps[-1], SAMPLE)


def test_memoryless_solvers_step_from_any_timestep():
    ddim = DDIMScheduler(clip_sample=False)
    ddim.set_timesteps(10)
    forth = [ddim.step(SAMPLE, t, SAMPLE).prev_sample for t in (900, 500, 123)]
    back = [ddim.step(SAMPLE, t, SAMPLE).prev_sample for t in (123, 500, 900)]
    assert all(np.array_equal(a, b) for a, b in zip(forth, back[::-1], strict=True))
    ddpm = DDPMScheduler()
    ddpm.set_timesteps(10)
    with pytest.raises(MdiffError, match="timestep 123 is not in this schedule"):
        ddpm.step(SAMPLE, 123, SAMPLE)


def test_custom_timesteps_and_sigmas():
    points = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
    given, usual = DPMSolverMultistepScheduler(), DPMSolverMultistepScheduler()
    given.set_timesteps(timesteps=points)
    assert given.timesteps.tolist() == points
    assert given.num_inference_steps == 10
    euler = EulerDiscreteScheduler()
    euler.set_timesteps(sigmas=[14.6, 3.0, 1.0, 0.0])
    assert np.allclose(euler.sigmas, [14.6, 3.0, 1.0, 0.0])
    flow = FlowMatchEulerDiscreteScheduler()
    flow.set_timesteps(sigmas=[1.0, 0.5])
    assert np.allclose(flow.timesteps, [1000, 500])
    usual.set_timesteps(10)
    with pytest.raises(MdiffError, match="takes no custom sigmas"):
        usual.set_timesteps(sigmas=[1.0, 0.5])
    with pytest.raises(MdiffError, match="re-spaced"):
        DPMSolverMultistepScheduler(use_karras_sigmas=True).set_timesteps(timesteps=points)


def test_noise_is_added_at_the_level_of_each_image():
    for solver in (DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler):
        scheduler = solver()
        scheduler.set_timesteps(10)
        noise = np.ones_like(SAMPLE)
        both = scheduler.add_noise(SAMPLE, noise, scheduler.timesteps[[2, 7]])
        alone = scheduler.add_noise(SAMPLE[1:], noise[1:], scheduler.timesteps[[7]])
        assert both.dtype == np.float32
        assert np.allclose(both[1:], alone, rtol=1e-6)
        assert np.abs(both[0] - SAMPLE[0]).mean() > np.abs(both[1] - SAMPLE[1]).mean()


@pytest.mark.parametrize("steps", [0, -1, 2.5, None])
def test_step_counts_that_cannot_be(steps):
    with pytest.raises(MdiffError, match="steps="):
        EulerDiscreteScheduler().table(steps)


def test_more_steps_than_there_are():
    with pytest.raises(MdiffError, match="use 999"):
        DPMSolverMultistepScheduler(timestep_spacing="leading").table(1000)
    with pytest.raises(MdiffError, match="more than the 50 that the model was distilled on"):
        TCDScheduler().table(60)
    with pytest.raises(MdiffError, match=r"lie within 0 \.\. 999"):
        DDIMScheduler(steps_offset=1).table(1000)


def test_values_of_other_solvers_mean_the_usual_and_unknown_ones_are_errors():
    deis = SCHEDULERS["DEISMultistepScheduler"].from_config(DPMSolverMultistepScheduler().config, solver_type="heun")
    assert (deis.config.algorithm_type, deis.config.solver_type) == ("deis", "logrho")
    with pytest.raises(MdiffError, match="did you mean 'dpmsolver"):
        DPMSolverMultistepScheduler(algorithm_type="dpmsolver+")
    with pytest.raises(MdiffError, match="cannot end at 0"):
        DPMSolverMultistepScheduler(algorithm_type="dpmsolver")
    with pytest.raises(MdiffError, match="only one of"):
        HeunDiscreteScheduler(use_karras_sigmas=True, use_beta_sigmas=True)


def test_defaults_of_one_class_do_not_become_options_of_another():
    heun = HeunDiscreteScheduler()
    euler = EulerDiscreteScheduler.from_config(heun)
    assert (heun.config.beta_start, euler.config.beta_start) == (0.00085, 0.0001)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_options_that_only_others_have_change_nothing(name):
    """They stay in the config for the way back, whatever they say."""
    foreign = {
        "timestep_spacing": "trailing",
        "steps_offset": 1,
        "clip_sample": True,
        "thresholding": True,
        "set_alpha_to_one": False,
        "rescale_betas_zero_snr": True,
        "final_sigmas_type": "sigma_min",
        "lambda_min_clipped": -5.1,
        "sigma_min": 0.1,
        "sigma_max": 10.0,
        "use_lu_lambdas": True,
        "use_dynamic_shifting": True,
        "invert_sigmas": True,
        "shift_terminal": 0.1,
        "stochastic_sampling": True,
    }
    solver = SCHEDULERS[name]
    foreign = {key: value for key, value in foreign.items() if key not in solver.defaults}
    given, usual = solver.from_config(foreign), solver()
    assert foreign.items() <= given.config.items()
    for column in ("t", "a", "b", "next", "sigma"):
        assert np.array_equal(getattr(given.table(6), column), getattr(usual.table(6), column))
    assert (given.table(6).clip is None) == (usual.table(6).clip is None)
