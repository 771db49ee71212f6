"""What training may draw: looks, captions, and the pairs that are kept from it."""

import json

import numpy as np
import pytest

from mdiff.model.emoji import metric
from mdiff.model.emoji.colour import NAMES
from mdiff.model.emoji.evaluate import FOLDER
from mdiff.model.emoji.recipe.caption import PLAIN, Look, held_out, random_caption, tintable
from mdiff.model.emoji.recipe.tokenizer import byte_letters, merges_of

CONCEPTS = json.loads((FOLDER / "concepts.json").read_text())
TAKEN = {name for concept in CONCEPTS for name in concept["captions"]}


def test_an_eighth_of_the_pairs_is_held_out():
    share = np.mean([held_out(concept["icon"], colour) for concept in CONCEPTS for colour in range(len(NAMES))])
    assert share == pytest.approx(1 / 8, abs=0.02)
    assert not any(held_out(concept["icon"], PLAIN) for concept in CONCEPTS)


def test_the_evaluation_asks_for_held_out_pairs_only():
    concepts = metric.Concepts.load(FOLDER)
    for drawing, colour in metric.draw_pairs(concepts, 60, seed=0):
        assert held_out(concepts.entries[drawing]["icon"], NAMES.index(colour))


def test_captions_say_the_look():
    rng = np.random.default_rng(0)
    concept = next(concept for concept in CONCEPTS if concept["icon"] == "owl")
    for _ in range(50):
        assert "on a green background" in random_caption(concept, Look(background=NAMES.index("green")), TAKEN, rng)
        assert "purple" in random_caption(concept, Look(tint=NAMES.index("purple")), TAKEN, rng)
        small = random_caption(concept, Look(small=True), TAKEN, rng)
        assert {"small", "tiny", "little"} & set(small.split())


def test_a_tint_never_makes_another_drawings_name():
    names = {concept["icon"]: concept for concept in CONCEPTS}
    assert tintable(names["red-apple"], NAMES.index("purple"), TAKEN) == ["apple"]
    assert "apple" not in tintable(names["red-apple"], NAMES.index("green"), TAKEN)


def test_merges_join_the_most_frequent_pair_first():
    from collections import Counter

    merges = merges_of(Counter({"low": 5, "lower": 2, "new": 1}), 3)
    assert merges[0] == ("l", "o")
    assert merges[1] == ("lo", "w</w>")
    assert len(set(byte_letters())) == 256
