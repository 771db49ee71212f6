"""The bundled model draws what is asked for, through mdiff itself."""

import numpy as np
import pytest

from mdiff.model.emoji import metric
from mdiff.model.emoji.evaluate import FOLDER, GUIDANCE, STEPS, measure


@pytest.fixture(scope="module")
def generate():
    from mdiff import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(FOLDER))

    def call(prompts: list[str]) -> np.ndarray:
        seeds = list(range(len(prompts)))
        return pipeline(
            list(prompts), seed=seeds, num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np"
        ).images

    return call


@pytest.mark.slow
def test_prompts_decide_the_picture(generate):
    concepts = metric.Concepts.load(FOLDER)
    figures = measure(generate, concepts, fraction=0.2)
    assert figures["recall top 5"] >= 0.5
    assert figures["composition colour"] >= 0.7
    assert figures["tags top 5"] >= 0.25


def test_another_prompt_is_another_picture(generate):
    apple, sky = generate(["red apple", "cloud on a blue background"])
    assert apple.shape == (64, 64, 3)
    border = np.concatenate([sky[0], sky[-1]]).mean(axis=0)
    assert metric.nearest_colour(border) == "blue"
    middle = apple[16:48, 16:48].mean(axis=(0, 1))
    assert middle[0] > middle[1] + 0.15
    assert middle[0] > middle[2] + 0.15
