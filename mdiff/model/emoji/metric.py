"""The figures that the model is judged by, on numpy arrays alone."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mdiff.model.emoji.colour import COLOURS, NAMES, WHITE, nearest_colour

SIZE = 16  # side of the thumbnails that pictures are compared at


def shrink(images: np.ndarray) -> np.ndarray:
    """Average (n, H, W, 3) in 0…1 down to (n, 16, 16, 3); H and W are multiples of 16."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, SIZE, height // SIZE, SIZE, width // SIZE, channels)
    return blocks.mean(axis=(2, 4))


@dataclass(frozen=True)
class Concepts:
    """The drawings: names, captions, tags and thumbnails, (n, 16, 16, 4) in 0…1 with straight alpha."""

    entries: list[dict]
    thumbnails: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Concepts":
        """Read ``concepts.json`` and ``concepts.png``."""
        from PIL import Image

        entries = json.loads((folder / "concepts.json").read_text())
        sheet = np.asarray(Image.open(folder / "concepts.png").convert("RGBA"), dtype=np.float32) / 255
        rows, columns = sheet.shape[0] // SIZE, sheet.shape[1] // SIZE
        tiles = sheet.reshape(rows, SIZE, columns, SIZE, 4).transpose(0, 2, 1, 3, 4).reshape(-1, SIZE, SIZE, 4)
        return cls(entries, tiles[: len(entries)])

    def over(self, colour: tuple[float, float, float]) -> np.ndarray:
        """The thumbnails on a background: (n, 16, 16, 3)."""
        alpha = self.thumbnails[..., 3:]
        return self.thumbnails[..., :3] * alpha + np.asarray(colour, np.float32) * (1 - alpha)

    @cached_property
    def on_white(self) -> np.ndarray:
        """The thumbnails as the drawings' plain captions mean them."""
        return self.over(WHITE)


def ranking(image: np.ndarray, drawings: np.ndarray, border: int = 0) -> np.ndarray:
    """Order the drawings by L2 distance to one (16, 16, 3) image, nearest first; `border` pixels are left out."""
    inner = slice(border, SIZE - border)
    return ((drawings[:, inner, inner] - image[inner, inner]) ** 2).sum(axis=(1, 2, 3)).argsort(kind="stable")


def recall(images: np.ndarray, captions: list[str], concepts: Concepts, field: str = "captions") -> tuple[float, float]:
    """Share of images whose nearest drawing, and one of whose five nearest, has the caption (or tag): top 1, top 5."""
    first = fifth = 0
    for image, caption in zip(shrink(images), captions, strict=True):
        hits = [caption in concepts.entries[i][field] for i in ranking(image, concepts.on_white)[:5]]
        first += hits[0]
        fifth += any(hits)
    return first / len(captions), fifth / len(captions)


def composition(images: np.ndarray, pairs: list[tuple[int, str]], concepts: Concepts) -> tuple[float, float]:
    """For (drawing, colour) pairs: share with the named border colour, share with the drawing among the five nearest.

    The border is the outermost ring of the image at 16×16; it is left out when the drawing is looked for, and the
    drawings are compared on the colour that was asked for.
    """
    coloured = found = 0
    ring = np.ones((SIZE, SIZE), bool)
    ring[1:-1, 1:-1] = False
    grounds = {colour: concepts.over(COLOURS[colour]) for colour in NAMES}
    for image, (drawing, colour) in zip(shrink(images), pairs, strict=True):
        coloured += nearest_colour(np.median(image[ring], axis=0)) == colour
        found += drawing in ranking(image, grounds[colour], border=1)[:5]
    return coloured / len(pairs), found / len(pairs)


def draw_captions(concepts: Concepts, count: int, seed: int) -> list[str]:
    """Captions drawn at random among all of all drawings, without repetition."""
    captions = sorted({caption for entry in concepts.entries for caption in entry["captions"]})
    return list(np.random.default_rng(seed).permutation(captions)[:count])


def draw_tags(concepts: Concepts, count: int, seed: int) -> list[str]:
    """Tags drawn at random among all of all drawings, without repetition."""
    tags = sorted({tag for entry in concepts.entries for tag in entry["tags"]})
    return list(np.random.default_rng(seed).permutation(tags)[:count])


def draw_pairs(concepts: Concepts, count: int, seed: int) -> list[tuple[int, str]]:
    """Pairs of a drawing and a background colour that training never saw, without repetition."""
    from mdiff.model.emoji.recipe.caption import held_out

    unseen = [
        (drawing, colour)
        for drawing, entry in enumerate(concepts.entries)
        for index, colour in enumerate(NAMES)
        if held_out(entry["icon"], index)
    ]
    chosen = np.random.default_rng(seed).permutation(len(unseen))[:count]
    return [unseen[i] for i in chosen]


def pair_prompt(concepts: Concepts, pair: tuple[int, str]) -> str:
    """OBJECT on a COLOUR background."""
    drawing, colour = pair
    article = "an" if colour[0] in "aeio" else "a"
    return f"{concepts.entries[drawing]['captions'][0]} on {article} {colour} background"
