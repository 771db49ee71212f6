"""One piece of code, written for diffusers with PyTorch tensors, run on diffusers' schedulers and on mdiff's."""

import inspect

import pytest

from mdiff.scheduler import SCHEDULERS

pytestmark = pytest.mark.parity
OPTIONS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
# Its noise is a Brownian tree of torchsde, seeded by itself: compared with injected noise in test_parity.
OWN_NOISE = {"DPMSolverSDEScheduler"}
NAMES = [name for name in SCHEDULERS if name not in OWN_NOISE]


def options_of(name):
    return {key: value for key, value in OPTIONS.items() if key in SCHEDULERS[name].defaults}


def dummy_sample(torch):
    return (torch.arange(4 * 3 * 8 * 8) / 768).reshape(3, 8, 8, 4).permute(3, 0, 1, 2)


def loop(scheduler, steps, torch, takes_generator, first=0):
    """Denoise as a pipeline does; return the sample."""
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    sample = dummy_sample(torch) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    for t in scheduler.timesteps[first:]:
        seen = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        options = {"generator": generator} if takes_generator else {}
        sample = scheduler.step(seen * t / (t + 1), t, sample, **options, return_dict=False)[0]
    return sample


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("first", [0, 4])
def test_a_pipelines_loop_gives_the_same(name, first):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted, takes

    if first and name in ("PNDMScheduler", "LMSDiscreteScheduler", "LCMScheduler", "TCDScheduler", "IPNDMScheduler"):
        pytest.skip("begun in the middle, diffusers loses history or the last step: test_issues")
    theirs = getattr(diffusers, name)(**options_of(name))
    draws = takes(theirs, "generator")
    expected = loop(theirs, 10, torch, draws, first)
    found = loop(adapted(name)(**options_of(name)), 10, torch, draws, first)
    assert (found - expected).abs().max() < 1e-4 * max(expected.abs().max(), 1)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_saved_and_loaded_it_steps_the_same(name, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted

    first = adapted(name)(**options_of(name))
    first.save_config(tmp_path)
    second = adapted(name).from_pretrained(tmp_path)
    sample = dummy_sample(torch)
    for scheduler in (first, second):
        scheduler.set_timesteps(10)
    results = []
    for scheduler in (first, second):
        generator, t = torch.Generator().manual_seed(0), scheduler.timesteps[0]
        results.append(scheduler.step(0.1 * scheduler.scale_model_input(sample, t), t, sample, generator=generator))
    assert torch.equal(results[0].prev_sample, results[1].prev_sample)
    assert results[0].prev_sample.shape == sample.shape


@pytest.mark.parametrize("name", NAMES)
def test_configs_load_in_diffusers_and_back(name, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted

    adapted(name)(**options_of(name)).save_config(tmp_path / "ours")
    theirs = getattr(diffusers, name).from_pretrained(tmp_path / "ours")
    assert all(theirs.config[key] == value for key, value in options_of(name).items())
    theirs.save_pretrained(tmp_path / "theirs")
    again = SCHEDULERS[name].from_pretrained(tmp_path / "theirs", subfolder=None)
    assert all(again.config[key] == value for key, value in options_of(name).items())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_options_and_their_defaults_are_those_of_diffusers(name):
    diffusers = pytest.importorskip("diffusers")
    parameters = dict(inspect.signature(getattr(diffusers, name).__init__).parameters)
    for other in ("self", "kwargs"):
        parameters.pop(other, None)
    ours = SCHEDULERS[name].defaults
    assert parameters.keys() <= ours.keys()
    for key, parameter in parameters.items():
        listed = list if isinstance(parameter.default, list | tuple) else lambda value: value
        assert listed(ours[key]) == listed(parameter.default), key


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_config_survives_the_disk_and_every_other_class(name, tmp_path):
    pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted

    first = adapted(name)(**options_of(name))
    first.save_pretrained(tmp_path)
    loaded = adapted(name).from_pretrained(tmp_path)
    assert loaded.config == {key: value for key, value in first.config.items() if key != "_use_default_values"}
    assert len(first.compatibles) == len(SCHEDULERS)
    for other in first.compatibles:
        again = adapted(name).from_config(other.from_config(first.config).config)
        assert first.config.items() <= again.config.items()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_results_read_as_objects_mappings_and_tuples(name):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted

    scheduler, results, sample = adapted(name)(**options_of(name)), [], dummy_sample(torch)
    for return_dict in (True, False):
        scheduler.set_timesteps(20)
        generator = torch.Generator().manual_seed(0)
        t = scheduler.timesteps[0]
        results.append(scheduler.step(0.1 * sample, t, sample, generator=generator, return_dict=return_dict))
    assert torch.equal(results[0]["prev_sample"], results[0].prev_sample)
    assert all(torch.equal(a, b) for a, b in zip(results[0].values(), results[1], strict=True))
    theirs = getattr(diffusers, name)(**options_of(name))
    assert (scheduler.order, len(scheduler)) == (theirs.order, len(theirs))


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "IPNDMScheduler"])  # which has none
def test_noise_is_added_as_in_diffusers(name):
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    from tests.scheduler.adapter import adapted

    theirs, ours = getattr(diffusers, name)(**options_of(name)), adapted(name)(**options_of(name))
    sample, noise = dummy_sample(torch), torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(40)
    if hasattr(theirs, "add_noise"):
        places = [2, 12, 20, 36]  # where steps begin, also of two evaluations each
        found = ours.add_noise(sample, noise, ours.timesteps[places])
        expected = theirs.add_noise(sample, noise, theirs.timesteps[places])
    else:  # one timestep for all
        found = ours.add_noise(sample, noise, ours.timesteps[[12]])
        expected = theirs.scale_noise(sample, theirs.timesteps[[12]], noise)
    assert torch.allclose(found, expected.to(found.dtype), rtol=1e-4, atol=1e-4)
