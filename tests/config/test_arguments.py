"""Flags stand anywhere among the overrides."""

import itertools

import pytest

from mdiff.config.arguments import UsageError, parse_arguments
from mdiff.config.cell import literal_prompts


@pytest.mark.parametrize("words", list(itertools.permutations(["seed=1", "-m", "steps=10,20"])))
def test_any_order(words):
    options = parse_arguments(words)
    assert options.multirun and sorted(options.overrides) == ["seed=1", "steps=10,20"]


def test_info_takes_no_override():
    options = parse_arguments(["--info", "seed=1"])
    assert options.info == "all" and options.overrides == ["seed=1"]
    assert parse_arguments(["--info", "defaults"]).info == "defaults"


@pytest.mark.parametrize(
    "words",
    [["--experimental-rerun", "x"], ["--nope"], ["-m", "--cfg", "job"], ["--cfg", "jbo"], ["--resolve"], ["=1"]],
)
def test_what_cannot_be_asked_for(words):
    with pytest.raises(UsageError):
        parse_arguments(words)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("prompt.text=a cat", "prompt.text=a cat"),
        ("prompt.text=a cat, a dog", "prompt.text='a cat, a dog'"),
        ("prompt.text=it's a cat", r"prompt.text='it\'s a cat'"),
        ("prompt.text=(red:1.3) apple", "prompt.text='(red:1.3) apple'"),
        ("prompt.text=a {b", "prompt.text='a {b'"),
        ("prompt.text=[a,b]", "prompt.text=[a,b]"),
        ("prompt.text='a, b'", "prompt.text='a, b'"),
        ("prompt.negative=low quality, blurry", "prompt.negative='low quality, blurry'"),
        ("steps=10,20", "steps=10,20"),
    ],
)
def test_a_prompt_given_plainly_is_text(given, read):
    assert literal_prompts([given], sweeping=False) == [read]


def test_a_comma_separates_prompts_in_a_sweep():
    assert literal_prompts(["prompt.text=a cat,a dog"], sweeping=True) == ["prompt.text=a cat,a dog"]
    assert literal_prompts(["prompt.text=it's a cat"], sweeping=True) == [r"prompt.text='it\'s a cat'"]
