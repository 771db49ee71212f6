"""Folder names: readable, short, safe, and different exactly where the pixels are."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mdiff.config.folder import SLUG_BYTES, cell_name, identity, place, slug

REQUESTED = {
    "model": {"_target_": "mdiff.model.ModelSource", "path": "bundled:emoji"},
    "prompt": {"text": "a red apple", "negative": ""},
    "device": {"kind": "auto", "id": 0},
    "steps": 10,
    "seed": 0,
    "name": "default",
    "resume": True,
    "on_error": "continue",
    "dry_run": False,
    "output": {"dir": "outputs"},
    "engine": {"batch": "auto"},
}


def job(**changes):
    return SimpleNamespace(requested={**REQUESTED, **changes}, device="auto")


def test_slug_reads_like_the_command_line():
    assert slug({"scheduler": "heun", "steps": 10, "seed": 0}) == "scheduler=heun,steps=10,seed=0"


def test_slug_uses_the_last_part_of_a_key():
    assert slug({"prompt.text": "a red apple", "scheduler.sigmas": "karras"}) == "text=a-red-apple,sigmas=karras"


@pytest.mark.parametrize(
    "value",
    [
        "../../etc/passwd",
        "a, b/c\\d",
        "x" * 1000,
        "苹果" * 100,
        "e\u0301" * 50,
        "🍎" * 40,
        "\x00\n\t",
        "-rf *",
        "$(reboot)",
        ["a", None, {"b": 1}],
        "\udc80",
    ],
)
def test_any_value_makes_a_folder_that_can_be_made(tmp_path, value):
    name = cell_name(job(prompt={"text": value}), {"prompt.text": value})
    assert len(name.encode()) <= SLUG_BYTES + 9
    assert "/" not in name and not name.startswith((".", "-"))
    (tmp_path / name).mkdir()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_long_prompts_that_begin_alike_stay_apart():
    names = {
        cell_name(job(prompt={"text": "a" * 1000 + end}), {"prompt.text": "a" * 1000 + end}) for end in ("x", "y", "z")
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    "conduct",
    [
        {"name": "other"},
        {"resume": False},
        {"on_error": "stop"},
        {"dry_run": True},
        {"output": {"dir": "/x"}},
        {"engine": {"batch": 1}},
        {"device": {"kind": "auto", "id": 3}},
    ],
)
def test_conduct_does_not_change_the_identity(conduct):
    assert identity(job(**conduct)) == identity(job())


@pytest.mark.parametrize("change", [{"steps": 11}, {"seed": 1}, {"prompt": {"text": "a red apple", "negative": "x"}}])
def test_what_decides_pixels_changes_the_identity(change):
    assert identity(job(**change)) != identity(job())


def test_a_folder_with_the_same_hash_is_taken_again_whatever_its_slug():
    name = cell_name(job(), {"steps": 10})
    older = "scheduler=heun," + name
    assert (
        place(Path("outputs/x"), name, {"00000000": "other-00000000", older[-8:]: older}) == Path("outputs/x") / older
    )
    assert place(Path("outputs/x"), name, {"00000000": "other-00000000"}) == Path("outputs/x") / name
