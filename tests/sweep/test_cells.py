"""The cells of a sweep: checked together, named by what varies, the same ones found again."""

import itertools

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from mdiff.config.problem import ConfigError
from mdiff.config.start import start_hydra
from mdiff.sweep.cells import cells_of


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Call `sweep(["steps=10"], ["steps=20"])`; returns the cells."""
    monkeypatch.chdir(tmp_path)
    hydra = start_hydra()

    def call(*overrides, common=()):
        master = hydra.config_loader.load_configuration("config", ["name=grid", *common], RunMode.MULTIRUN)
        HydraConfig.instance().set_config(master)
        return cells_of(hydra.config_loader, master, [["name=grid", *common, *each] for each in overrides])

    return call


def grid(**values):
    return [
        [f"{key}={value}" for key, value in zip(values, each, strict=True)]
        for each in itertools.product(*values.values())
    ]


def test_names_say_what_varies(sweep):
    cells = sweep(*grid(scheduler=["heun", "lms"], steps=[10, 20], guidance=[3]))
    names = [job.folder.name for job in cells.jobs]
    assert [name[:-9] for name in names] == [
        "scheduler=heun,steps=10",
        "scheduler=heun,steps=20",
        "scheduler=lms,steps=10",
        "scheduler=lms,steps=20",
    ]
    assert all(str(job.folder.parent) == "outputs/grid" for job in cells.jobs)
    assert cells.varying == ("scheduler", "steps")
    assert cells.jobs[0].varies == {"scheduler": "heun", "steps": 10, "guidance": 3}
    assert [job.number for job in cells.jobs] == [0, 1, 2, 3]


def test_duplicates_are_one_cell(sweep):
    cells = sweep(["steps=10"], ["steps=20"], ["steps=10", "seed=0"], ["steps=10"], ["resume=true", "steps=20"])
    assert len(cells.jobs) == 2 and cells.index == (0, 1, 0, 0, 1)


def test_an_extended_grid_keeps_its_cells(sweep, tmp_path):
    before = sweep(*grid(steps=[10, 20]))
    for job in before.jobs:
        (tmp_path / job.folder).mkdir(parents=True)
    after = sweep(*grid(seed=[0, 1], steps=[10, 20, 50]))
    kept = {job.folder for job in before.jobs}
    assert kept <= {job.folder for job in after.jobs} and len(after.jobs) == 6
    assert sum(job.folder.name.startswith("seed=") for job in after.jobs) == 4


def test_the_order_of_the_command_line_does_not_matter(sweep):
    one = sweep(*grid(steps=[10, 20], seed=[0, 1]))
    other = sweep(*grid(seed=[0, 1], steps=[10, 20]))
    assert {job.folder.name[-8:] for job in one.jobs} == {job.folder.name[-8:] for job in other.jobs}


@pytest.mark.parametrize("text", ["a, b", "a/b", "../..", "苹果", "x" * 1000, "'", '"', "\\", "{a: 1}", " "])
def test_prompts_of_all_kinds(sweep, text):
    quoted = "prompt.text='" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    cells = sweep([quoted], ["prompt.text=other"])
    assert cells.jobs[0].prompts[0].text == text
    assert cells.jobs[0].folder.parent == cells.folder and len(cells.jobs[0].folder.name.encode()) <= 49


def test_a_sweep_of_the_batch_has_a_cell_for_each(sweep):
    assert len(sweep(["engine.batch=1"], ["engine.batch=8"]).jobs) == 2
    assert sweep(["engine.batch=1"]).jobs[0].folder == sweep(["engine.batch=8"]).jobs[0].folder


def test_a_mistake_in_the_last_cell_is_told_before_the_others_compose(sweep, monkeypatch):
    from mdiff.sweep import cells as module

    composed = []
    job_from = module.job_from
    monkeypatch.setattr(module, "job_from", lambda config: composed.append(config) or job_from(config))
    with pytest.raises(ConfigError) as told:
        sweep(*grid(seed=range(20), steps=range(1, 20)), ["steps=0"])
    assert len(composed) < 60
    assert told.value.problems == ("steps must be 1 or more, got 0 (in the cell name=grid steps=0)",)


def test_experiments_can_be_compared(sweep):
    cells = sweep(["experiment=compare_solvers"], ["experiment=guide/half_precision"], ["precision=bf16"])
    assert {str(job.folder.parent) for job in cells.jobs} == {"outputs/grid"}
    assert len(cells.jobs) == 2  # these two change nothing but the sweep that they are
