"""Draw the README's picture with mdiff itself: ``python -m mdiff.model.emoji.show FILE``."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
OBJECTS = ("red apple", "cat face", "rocket", "castle", "birthday cake", "sunflower")
BACKGROUNDS = ("", " on a blue background", " on a yellow background", " on a green background")
SIDE = 96  # pixels that a drawing is shown at


def main() -> None:
    """Write a sheet of objects by backgrounds, at the defaults of `python -m mdiff`, one seed an object."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.model.emoji.show", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=FOLDER / "sheet.png")
    parser.add_argument("--model", type=Path, default=FOLDER, help="the folder to draw with")
    options = parser.parse_args()

    from mdiff import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(options.model))
    prompts = [thing + background for background in BACKGROUNDS for thing in OBJECTS]
    seeds = [seed for _ in BACKGROUNDS for seed in range(len(OBJECTS))]
    images = pipeline(prompts, seed=seeds, num_inference_steps=20, guidance_scale=5.0, batch=6).images
    tiles = np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in images])
    tiles = tiles.reshape(len(BACKGROUNDS), len(OBJECTS), SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
    sheet = tiles.reshape(len(BACKGROUNDS) * SIDE, len(OBJECTS) * SIDE, 3)
    Image.fromarray(sheet).save(options.file, optimize=True)


if __name__ == "__main__":
    main()
