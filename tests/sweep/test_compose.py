"""The quick composition of cells gives exactly what Hydra's own loader gives."""

import random
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode

from mdiff.config.start import start_hydra
from mdiff.sweep.compose import Composer

VALUES = [
    ["steps=5", "steps=20", "steps=${seed}", "++steps=7"],
    ["guidance=2.5", "guidance=1e-3", "guidance=nan", "guidance=null", "guidance='7'"],
    ["seed=0", "seed=12345678901", "seed=${num_images}"],
    ["prompt.text=cat", "prompt.text='a, b: {c} [d]'", "prompt.text=[cat,'a dog',null]", "prompt.text='${name} cat'"],
    ["+prompt.extra=1", "prompt.weighting=off", "++prompt.extra=[1,2]", "+prompt={extra: 2}"],
    ["engine.batch=4", "engine.batch=auto", "engine={batch: 3}"],
    ["name=portraits", "name='${hydra:job.num}'", "name='a b'", "output.dir='${name}/x'"],
    ["width=64", "~width", "width=true"],
]


@pytest.fixture(scope="module")
def composer():
    hydra = start_hydra(str(Path(__file__).parent / "conf"))
    master = hydra.config_loader.load_configuration("config", ["hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
    HydraConfig.instance().set_config(master)
    return Composer(hydra.config_loader, master)


@pytest.mark.parametrize("seed", range(24))
def test_equals_hydras_own(composer, seed):
    draw = random.Random(seed)
    groups = [
        [f"{group}={name}" for name in composer.loader.get_group_options(group)]
        for group in ("model", "scheduler", "precision", "prompt", "device", "experiment")
    ]
    lines = [draw.choice(choices) for choices in groups + VALUES if draw.random() < 0.5]
    draw.shuffle(lines)
    assert outcome(composer.compose, lines, seed) == outcome(composer.compose_by_hydra, lines, seed)


def outcome(compose, lines, number) -> str:
    try:
        return repr(compose(lines, number))
    except HydraException as error:
        return f"{type(error).__name__}: {error}"


def test_the_quick_way_is_taken(composer):
    composer.composed_by_hydra = 0
    for line in ["steps=5", "scheduler=heun", "prompt.text='a, b'", "prompt.text=[a,b]", "experiment=nested", "+x=1"]:
        composer.compose([line, "seed=1"])
    assert composer.composed_by_hydra == 0


@pytest.mark.parametrize("line", ["stesp=5", "scheduler=huen", "+seed=5", "~nothing", "steps.x=1", "hydra.nope=1"])
def test_errors_are_hydras_own(composer, line):
    with pytest.raises(Exception) as ours:
        composer.compose([line])
    with pytest.raises(Exception) as theirs:
        composer.compose_by_hydra([line])
    assert type(ours.value) is type(theirs.value) and str(ours.value) == str(theirs.value)
