"""Folders of real runs and sweeps: odd prompts, long ones, the same name at the same moment."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mdiff.sweep.single import reserve
from tests.sweep.process import ended, mdiff, records


def test_everyone_gets_a_folder_of_his_own(tmp_path):
    folder = tmp_path / "outputs" / "name" / "2026-01-01_00-00-00"
    with ThreadPoolExecutor(16) as pool:
        reserved = list(pool.map(lambda _: reserve(folder), range(64)))
    assert len(set(reserved)) == 64 and all(each.is_dir() and each.parent == folder.parent for each in reserved)
    assert folder in reserved and folder.with_name(f"{folder.name}-64") in reserved


@pytest.mark.slow
def test_runs_of_one_name_in_the_same_second(tmp_path):
    processes = [mdiff(tmp_path, "steps=1", "name=same", f"seed={seed}") for seed in range(3)]
    assert [ended(process)[0] for process in processes] == [0, 0, 0]
    made = records(tmp_path / "outputs" / "same").values()
    assert sorted(record["requested"]["seed"] for record in made) == [0, 1, 2]


PROMPTS = [
    "a, b",
    "a/b/../c",
    "a  spaced   one ",
    "ein Apfel, größer",
    "苹果/🍎",
    "x" * 1000,
    "x" * 999 + "y",
    "it's",
    '"',
    ".",
]


@pytest.mark.slow
def test_a_sweep_over_odd_prompts(tmp_path):
    quoted = ["'" + text.replace("'", "\\'") + "'" for text in PROMPTS]
    status, out, err = ended(mdiff(tmp_path, "-m", "steps=1", "name='group/ä b'", f"prompt.text={','.join(quoted)}"))
    assert status == 0 and f"{len(PROMPTS)} of {len(PROMPTS)} cells complete" in out, err
    folder = tmp_path / "outputs" / "group" / "ä b"
    assert sorted(tmp_path.rglob("record.json")) == sorted(folder.glob("*/record.json")), "nothing nests or escapes"
    made = records(folder)
    assert sorted(record["images"][0]["prompt"] for record in made.values()) == sorted(PROMPTS)
    assert all(len(name.encode()) <= 49 and name.startswith("text") for name in made)
    rows = json.loads((folder / "index.json").read_text())
    assert len(rows["cells"] if isinstance(rows, dict) else rows) == len(PROMPTS)


@pytest.mark.parametrize("name", ["../out", "/abs", "a/../../b", "a\tb", "x" * 300, "."])
def test_names_that_leave_the_folder(tmp_path, name):
    status, out, err = ended(mdiff(tmp_path, "-m", f"name='{name}'", "seed=0,1"))
    assert (status, out) == (1, "") and "name" in err and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
