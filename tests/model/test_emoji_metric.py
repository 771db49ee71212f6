"""The figures reward the right picture and nothing else."""

import numpy as np
import pytest

from mdiff.model.emoji import metric
from mdiff.model.emoji.colour import COLOURS, NAMES, nearest_colour
from mdiff.model.emoji.evaluate import FOLDER


@pytest.fixture(scope="module")
def concepts():
    return metric.Concepts.load(FOLDER)


def picture(thumbnails: np.ndarray) -> np.ndarray:
    return thumbnails.repeat(4, axis=1).repeat(4, axis=2)


def test_shrink_averages_blocks():
    image = np.zeros((1, 64, 64, 3))
    image[0, :4, :4] = np.arange(16).reshape(4, 4, 1)
    small = metric.shrink(image)
    assert small.shape == (1, 16, 16, 3)
    assert small[0, 0, 0] == pytest.approx([7.5, 7.5, 7.5])
    assert not small[0, 1:].any()


def test_the_drawings_themselves_are_recalled(concepts):
    captions = [entry["captions"][0] for entry in concepts.entries]
    first, fifth = metric.recall(picture(concepts.on_white), captions, concepts)
    assert first > 0.99
    assert fifth == 1.0


def test_other_drawings_are_not(concepts):
    captions = [entry["captions"][0] for entry in concepts.entries]
    first, fifth = metric.recall(picture(np.roll(concepts.on_white, 7, axis=0)), captions, concepts)
    assert first < 0.02
    assert fifth < 0.1


def test_composition_sees_the_colour_and_the_object_apart(concepts):
    pairs = metric.draw_pairs(concepts, 40, seed=3)
    right = np.stack([concepts.over(COLOURS[colour])[drawing] for drawing, colour in pairs])
    assert metric.composition(picture(right), pairs, concepts) == (1.0, 1.0)
    another = [NAMES[(NAMES.index(colour) + 1) % len(NAMES)] for _, colour in pairs]
    wrong = np.stack(
        [concepts.over(COLOURS[colour])[drawing] for (drawing, _), colour in zip(pairs, another, strict=True)]
    )
    assert metric.composition(picture(wrong), pairs, concepts)[0] == 0.0


def test_draws_are_fixed_by_the_seed(concepts):
    assert metric.draw_captions(concepts, 200, 0) == metric.draw_captions(concepts, 200, 0)
    assert metric.draw_captions(concepts, 200, 0) != metric.draw_captions(concepts, 200, 1)
    assert len(set(metric.draw_captions(concepts, 200, 0))) == 200
    assert len(set(metric.draw_pairs(concepts, 60, 0))) == 60


@pytest.mark.parametrize("name", NAMES)
def test_a_colour_is_nearest_to_itself(name):
    assert nearest_colour(np.array(COLOURS[name]) + 0.05) == name
