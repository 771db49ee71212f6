"""Measure the bundled model with mdiff itself, at its default settings: ``python -m mdiff.model.emoji.evaluate``."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mdiff.model.emoji import metric

FOLDER = Path(__file__).resolve().parent
STEPS, GUIDANCE = 20, 5.0  # what `python -m mdiff` uses when nothing is asked for
TARGETS = {
    "recall top 1": 0.70,
    "recall top 5": 0.85,
    "composition colour": 0.90,
    "composition object top 5": 0.60,
    "tags top 5": 0.50,
}


def measure(generate: Callable[[list[str]], np.ndarray], concepts: metric.Concepts, fraction: float = 1.0) -> dict:
    """Return the five figures; `generate` maps prompts to images, (n, H, W, 3) in 0…1.

    Of 200 captions, 60 unseen pairs of drawing and colour, and 60 tags, the given fraction is used.
    """
    captions = metric.draw_captions(concepts, round(200 * fraction), seed=0)
    pairs = metric.draw_pairs(concepts, round(60 * fraction), seed=0)
    tags = metric.draw_tags(concepts, round(60 * fraction), seed=0)
    first, fifth = metric.recall(generate(captions), captions, concepts)
    prompts = [metric.pair_prompt(concepts, pair) for pair in pairs]
    coloured, found = metric.composition(generate(prompts), pairs, concepts)
    _, tagged = metric.recall(generate(tags), tags, concepts, "tags")
    return dict(zip(TARGETS, (first, fifth, coloured, found, tagged), strict=True))


def main() -> None:
    """Print each figure with its target."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.model.emoji.evaluate", description=__doc__)
    parser.add_argument("--model", type=Path, default=FOLDER, help="the folder to evaluate")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the prompts to use, for a quick look")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    options = parser.parse_args()

    from mdiff import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(options.model))

    def generate(prompts: list[str]) -> np.ndarray:
        images = [
            pipeline(
                list(prompts[start : start + 20]),
                seed=list(range(start, min(start + 20, len(prompts)))),
                output_type="np",
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            ).images
            for start in range(0, len(prompts), 20)
        ]
        return np.concatenate(images)

    start = time.perf_counter()
    figures = measure(generate, metric.Concepts.load(options.model), options.fraction)
    for name, value in figures.items():
        verdict = "meets" if value >= TARGETS[name] else "misses"
        print(f"{name:26} {value:.3f}  {verdict} {TARGETS[name]:.2f}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
