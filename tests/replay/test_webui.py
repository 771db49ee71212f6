"""The text of Stable Diffusion web UIs, read as far as it says enough."""

from pathlib import Path

import pytest

from mdiff.errors import MdiffError
from mdiff.replay.webui import parse_parameters

IMAGE = Path("image.png")
FULL = (
    "a red apple, (oil:1.2)\non a table <lora:paint:0.8>\nNegative prompt: blurry,\nugly\n"
    "Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 42, Size: 512x768, Model hash: abc, Model: v1-5, "
    'Clip skip: 2, Lora hashes: "paint: 1a, other: 2b", Version: v1.9.0'
)


def test_a_full_text():
    said = parse_parameters(FULL, IMAGE)
    assert said.prompt == "a red apple, (oil:1.2)\non a table"
    assert said.negative_prompt == "blurry,\nugly"
    assert said.overrides == (
        "steps=25",
        "seed=42",
        "scheduler=dpmpp_2m",
        "scheduler.sigmas=karras",
        "guidance=6.5",
        "width=512",
        "height=768",
    )
    unsaid = " | ".join(said.unsaid)
    for part in ("Model v1-5, Model hash abc", "GPU", "Clip skip 2", "Lora hashes paint: 1a, other: 2b", "<lora:…>"):
        assert part in unsaid


def test_a_schedule_of_its_own():
    said = parse_parameters("x\nSteps: 9, Sampler: Euler a, Schedule type: Exponential, Seed: 0, RNG: CPU", IMAGE)
    assert said.overrides == ("steps=9", "seed=0", "scheduler=euler_ancestral", "scheduler.sigmas=exponential")
    assert not [sentence for sentence in said.unsaid if "noise" in sentence]
    assert [sentence for sentence in said.unsaid if "guidance" in sentence]
    assert [sentence for sentence in said.unsaid if "size" in sentence]


def test_a_text_with_an_empty_prompt():
    said = parse_parameters("\nSteps: 9, Seed: 0, CFG scale: 1, Size: 64x64", IMAGE)
    assert (said.prompt, said.negative_prompt) == ("", "")
    assert "no sampler" in said.unsaid[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a prompt and nothing else", "no whole number for 'Steps'"),
        ("", "no whole number for 'Steps'"),
        ("x\nSteps: 20, Sampler: Euler", "no whole number for 'Seed'"),
        ("x\nSteps: -5, Seed: 1", "no whole number for 'Steps'"),
        ("x\nSteps: 20, Seed: 1, Sampler: Foo 3000", "does not have"),
    ],
)
def test_what_says_too_little(text, reason):
    with pytest.raises(MdiffError, match=reason):
        parse_parameters(text, IMAGE)


def test_long_texts_are_read_in_no_time():
    parse_parameters("x, " * 500_000 + "\n" + "a: b, " * 300_000 + "Steps: 1, Seed: 1", IMAGE)
    parse_parameters("<lora:" * 300_000 + "\nSteps: 1, Seed: 1, x" + ":" * 300_000, IMAGE)
