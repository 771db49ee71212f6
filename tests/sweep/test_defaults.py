"""One walk of Hydra's serves files that are alike, and the config is still exactly what Hydra's own loader gives."""

import functools
import itertools
import random

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mdiff.config.start import start_hydra
from mdiff.sweep.compose import Composer
from tests.sweep.test_compose import outcome

GLOBAL = "# @package _global_\n"
FILES = {
    "prompt/one": "defaults: [default]\ntext: first\n",
    "prompt/two": "defaults: [default]\ntext: second\nnegative: dull\n",
    "prompt/three": "defaults: [default]\n",
    "prompt/late": "defaults: [_self_, default]\ntext: late\n",
    "prompt/later": "defaults: [_self_, default]\ntext: later\n",
    "prompt/bare": "text: bare\nnegative: ''\n",
    "prompt/bald": "text: bald\nnegative: ''\n",
    "prompt/whole": GLOBAL + "prompt: {text: whole}\n",
    "prompt/sub/one": "defaults: [/prompt/default@_here_]\ntext: below\n",
    "prompt/sub/two": "defaults: [/prompt/default@_here_]\ntext: below too\n",
    "prompt/packed": GLOBAL + "defaults: [/prompt/default@_global_.prompt]\nprompt: {text: packed}\nseed: 3\n",
    "prompt/parcel": GLOBAL + "defaults: [/prompt/default@_global_.prompt]\nprompt: {text: parcel}\nseed: 4\n",
    "prompt/loop": "defaults: [one]\nnegative: of loop\n",
    "prompt/named": "defaults: [default, {/note@_global_.note: '${prompt}'}]\ntext: named\n",
    "prompt/noted": "defaults: [default, {/note@_global_.note: '${prompt}'}]\ntext: noted\n",
    "note/named": "said: one\n",
    "note/noted": "said: two\n",
    "experiment/a": GLOBAL + "defaults: [override /prompt: one, override /scheduler: heun]\nsteps: 3\n",
    "experiment/b": GLOBAL + "defaults: [override /prompt: two, override /scheduler: heun]\nsteps: 4\n",
    "experiment/c": GLOBAL + "defaults: [/prompt/two]\nsteps: 5\n",
    "experiment/d": GLOBAL + "steps: 6\n",
    "experiment/e": GLOBAL + "steps: 7\nnot_there: 1\n",
}
PROMPTS = [name.removeprefix("prompt/") for name in FILES if name.startswith("prompt/")]


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    hydra = start_hydra(str(folder))
    master = hydra.config_loader.load_configuration("config", ["hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
    HydraConfig.instance().set_config(master)
    return lambda: Composer(hydra.config_loader, master)


@pytest.fixture(scope="module")
def by_hydra(make):
    """Hydra's own outcome, which no order changes."""
    return functools.cache(lambda *lines: outcome(make().compose_by_hydra, lines, 0))


@pytest.mark.parametrize("order", range(4))
def test_equals_hydras_own_in_any_order(make, by_hydra, order):
    """Whichever of the files that are alike comes first, and whatever was chosen beside it."""
    composer, draw = make(), random.Random(order)
    prompts = [f"prompt={name}" for name in [*PROMPTS, "default", "nowhere"]]
    cells = [[prompt] for prompt in prompts] + [["precision=bf16"], ["scheduler=heun"], ["prompt=bald", "seed=1"]]
    cells += [["experiment=c", "prompt=one"], ["experiment=c", "prompt=two"]]  # where one file is reached twice
    for experiment in ("a", "b", "c", "d", "e"):
        cells += [[f"experiment={experiment}"], [f"experiment={experiment}", draw.choice(prompts)]]
    for scheduler in ("scheduler=heun", "scheduler=ddim"):
        cells += [[scheduler, prompt] for prompt in draw.sample(prompts, 6)]
    draw.shuffle(cells)
    for lines in cells:
        assert outcome(composer.compose, lines, 0) == by_hydra(*lines), lines


def test_files_that_are_alike_need_one_walk(make):
    composer = make()
    walks, walk = [], composer._lists._walk
    composer._lists._walk = lambda groups: walks.append(groups) or walk(groups)
    composer.composed_by_hydra = 0
    for prompt, scheduler in itertools.product(["one", "two"], ["euler", "heun", "ddim"]):
        config = composer.compose([f"prompt={prompt}", f"scheduler={scheduler}"])
        assert config["prompt"]["text"] == {"one": "first", "two": "second"}[prompt]
    assert len(walks) <= 2 and composer.composed_by_hydra == 0
    for prompt in ("named", "noted"):  # these refer to the choice, so each needs its own
        assert composer.compose([f"prompt={prompt}"])["note"]["said"] == {"named": "one", "noted": "two"}[prompt]
