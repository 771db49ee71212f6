"""Captions: a drawing and its attributes in words, and the pairs that training never sees."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from mdiff.model.emoji.colour import NAMES

TEMPLATES = ("{}", "{}", "a {}", "a {}", "the {}", "a picture of a {}", "a drawing of a {}", "an emoji of a {}")
SMALL = ("small", "small", "tiny", "little")
MIRRORED = ("mirrored", "mirrored", "flipped")
ARTICLE = re.compile(r"\b(a) (?=[aeio])")
PLAIN = len(NAMES)  # index that stands for a white background, or for the drawing's own colours


@dataclass(frozen=True)
class Look:
    """One appearance of a drawing: indices into the colour names, `PLAIN` for none."""

    background: int = PLAIN
    tint: int = PLAIN
    small: bool = False
    mirrored: bool = False


def held_out(icon: str, background: int) -> bool:
    """Whether this drawing on this background is kept from training, so that composition can be measured."""
    if background == PLAIN:
        return False
    return hashlib.sha256(f"{icon} on {NAMES[background]}".encode()).digest()[0] % 8 == 0


def tintable(concept: dict, tint: int, taken: set[str]) -> list[str]:
    """Names of the drawing that a colour can go before: "a purple apple", never "a purple red heart"."""
    colours = {*NAMES, "black", "white", "dark"}
    names = [name for name in concept["captions"] if not colours & set(name.split())]
    return [name for name in names if f"{NAMES[tint]} {name}" not in taken]


def random_caption(concept: dict, look: Look, taken: set[str], rng: np.random.Generator) -> str:
    """Describe the drawing as a user might: by name in three of four, by one tag or a few otherwise."""
    names = concept["captions"] if look.tint == PLAIN else tintable(concept, look.tint, taken)
    name = names[0] if rng.random() < 0.6 else names[rng.integers(len(names))]
    tags = concept["tags"]
    kind = rng.random()
    if not tags or kind < 0.72:
        subject = name
    elif kind < 0.90:
        subject = tags[rng.integers(len(tags))]
    else:
        count = min(len(tags), int(rng.integers(1, 4)))
        words = [name, *rng.permutation(tags)[:count]]
        subject = " ".join(words) if look != Look() else ", ".join(rng.permutation(words))
    if look.tint != PLAIN:
        subject = f"{NAMES[look.tint]} {subject}"
    if look.mirrored:
        subject = f"{MIRRORED[rng.integers(len(MIRRORED))]} {subject}"
    if look.small:
        subject = f"{SMALL[rng.integers(len(SMALL))]} {subject}"
    text = TEMPLATES[rng.integers(len(TEMPLATES))].format(subject)
    if look.background != PLAIN:
        text = f"{text} on a {NAMES[look.background]} background"
    if rng.random() < 0.8:
        text = ARTICLE.sub(r"\1n ", text)
    if look.background != PLAIN:
        return text
    return f"{text} on a white background" if rng.random() < 0.06 else text
