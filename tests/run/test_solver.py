"""From config files to solvers: every file builds and runs, every mistake is told with the nearest choice."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mdiff.errors import MdiffError
from mdiff.noise import Generator
from mdiff.run.solver import build, check
from mdiff.scheduler import SCHEDULERS, DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler, Registers

CONF = Path(__file__).parents[2] / "conf" / "scheduler"
FILES = sorted(path.stem for path in CONF.glob("*.yaml"))
CHECKPOINT = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
}


def group(name):
    options = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return options.pop("_target_"), options


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_every_file_builds_and_runs(name, steps):
    target, options = group(name)
    check(target, options)
    scheduler = build(target, options, CHECKPOINT)
    table = scheduler.table(steps, **scheduler.step_options)
    registers = Registers(Generator(0).randn((4, 4)) * np.float32(table.init_scale))
    for row in range(len(table)):
        output = table.input(row, registers) * np.float32(0.1)
        noise = Generator(row).randn((4, 4)) if table.draw[row] else None
        registers = table.apply(row, registers, output, noise)
    assert registers.x.dtype == np.float32
    assert np.isfinite(registers.x).all()


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_its_solver_costs_and_when_to_choose_it(name):
    advice = (CONF / f"{name}.yaml").read_text().partition("_target_")[0]
    assert all(line.startswith("# ") for line in advice.splitlines())
    assert advice.count(".") >= 2 if name != "default" else "checkpoint" in advice
    table = None if name == "default" else build(*group(name), CHECKPOINT).table(10)
    two = table is not None and len(table) > 11
    assert name == "default" or ("two evaluations a step" if two else "one evaluation a step") in advice


def test_what_a_solver_costs():
    costs = {name: len(build(*group(name), CHECKPOINT).table(10)) for name in FILES}
    assert {name for name, cost in costs.items() if cost == 19} >= {"heun", "kdpm2", "kdpm2_ancestral"}
    assert {name for name, cost in costs.items() if cost == 10} >= {"dpmpp_2m", "lms", "euler", "ddim", "unipc", "deis"}


def test_the_checkpoint_decides_what_the_file_leaves_open():
    default = build(None, {"spacing": None}, CHECKPOINT)
    assert type(default).__name__ == "PNDMScheduler"
    assert default.config.skip_prk_steps is True
    karras = build("DPMSolverMultistepScheduler", {"sigmas": "karras", "spacing": "trailing"}, CHECKPOINT)
    assert karras.config.use_karras_sigmas
    assert karras.config.timestep_spacing == "trailing"
    assert karras.config.beta_schedule == "scaled_linear"
    plain = build("DPMSolverMultistepScheduler", {"sigmas": "default"}, CHECKPOINT | {"use_karras_sigmas": True})
    assert not plain.config.use_karras_sigmas


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("HeunScheduler", {}, "no scheduler class 'HeunScheduler'; did you mean 'HeunDiscreteScheduler'"),
        ("HeunDiscreteScheduler", {"sigma": "karras"}, "no option 'sigma'; did you mean 'sigmas'"),
        ("HeunDiscreteScheduler", {"sigmas": "karas"}, "karas.*did you mean 'karras'"),
        ("HeunDiscreteScheduler", {"spacing": "trail"}, "trail.*did you mean 'trailing'"),
        ("HeunDiscreteScheduler", {"eta": 1.0}, "no option 'eta'"),
        ("LMSDiscreteScheduler", {"prediction": "noise"}, "noise.*epsilon"),
        ("DPMSolverMultistepScheduler", {"solver_order": 4}, "solver_order.*4"),
    ],
)
def test_mistakes_are_told(target, options, said):
    with pytest.raises(MdiffError, match=said):
        check(target, options)
    with pytest.raises(MdiffError, match=said):
        build(target, options, CHECKPOINT)


def test_options_go_from_class_to_class_and_to_disk_and_back(tmp_path):
    first = DPMSolverMultistepScheduler(use_karras_sigmas=True, solver_order=3, beta_schedule="scaled_linear")
    heun = HeunDiscreteScheduler.from_config(first.config)
    assert heun.config.use_karras_sigmas
    assert heun.config.solver_order == 3, "kept aside"
    again = DPMSolverMultistepScheduler.from_config(heun.config)
    assert again.config.solver_order == 3
    again.save_pretrained(tmp_path / "scheduler")
    loaded = DPMSolverMultistepScheduler.from_pretrained(tmp_path)
    assert np.array_equal(loaded.table(7).next, first.table(7).next)
    with pytest.raises(MdiffError, match="beta_schedule"):
        DDIMScheduler.from_config(first.config, beta_schedule="linaer")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_step_walks_the_table(name):
    scheduler = SCHEDULERS[name]()
    scheduler.set_timesteps(6)
    table = scheduler.table(6)
    sample = Generator(0).randn((1, 3, 4, 4)) * np.float32(scheduler.init_noise_sigma)
    registers, ours, theirs = Registers(sample), Generator(9), Generator(9)
    assert len(scheduler.timesteps) == len(table)
    for row, timestep in enumerate(scheduler.timesteps):
        output = scheduler.scale_model_input(sample, timestep) * np.float32(0.05)
        sample = scheduler.step(output, timestep, sample, generator=ours).prev_sample
        noise = theirs.randn(sample.shape) if table.draw[row] else None
        registers = table.apply(row, registers, output, noise)
        assert np.allclose(sample, registers.x, rtol=1e-6, atol=1e-6), row
