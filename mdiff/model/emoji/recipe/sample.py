"""What training draws: a drawing, a look, a caption; and the latents of every look, encoded once."""

import json
from pathlib import Path

import numpy as np
import torch

from mdiff.model.emoji.colour import COLOURS, NAMES, WHITE
from mdiff.model.emoji.recipe.caption import PLAIN, Look, held_out, random_caption, tintable
from mdiff.model.emoji.recipe.drawing import mirror, on_background, recolour

# Share of each kind of look: (tinted, on a colour, small, mirrored).
MIX = {
    (False, False, False, False): 0.44,
    (False, True, False, False): 0.28,
    (True, False, False, False): 0.10,
    (True, True, False, False): 0.04,
    (False, False, True, False): 0.04,
    (False, True, True, False): 0.03,
    (False, False, False, True): 0.04,
    (False, True, False, True): 0.03,
}


def taken_names(concepts: list[dict]) -> set[str]:
    """Every caption that already is some drawing's name."""
    return {name for concept in concepts for name in concept["captions"]}


def looks(concept: dict, taken: set[str]) -> list[Look]:
    """Every look of one drawing that training may use; tinted ones on white and on two of the colours."""
    grounds = [PLAIN, *(c for c in range(len(NAMES)) if not held_out(concept["icon"], c))]
    found = [Look(background=c) for c in grounds]
    found += [Look(background=c, small=True) for c in grounds]
    found += [Look(background=c, mirrored=True) for c in grounds]
    for tint in range(len(NAMES)):
        if tintable(concept, tint, taken):
            others = [c for c in grounds if c not in (tint, PLAIN)]
            chosen = {others[(5 * tint + 3) % len(others)], others[(3 * tint + 1) % len(others)]}
            found += [Look(background=c, tint=tint) for c in (PLAIN, *sorted(chosen))]
    return found


def image_of(rgba: np.ndarray, look: Look) -> np.ndarray:
    """One look of a drawing, from its (2, 64, 64, 4) uint8 renderings: (64, 64, 3) in 0…1."""
    one = rgba[int(look.small)].astype(np.float32) / 255
    if look.mirrored:
        one = mirror(one)
    if look.tint != PLAIN:
        one = recolour(one, NAMES[look.tint])
    return on_background(one, WHITE if look.background == PLAIN else COLOURS[NAMES[look.background]])


class Samples:
    """Every look of every drawing with its latents, and captions made afresh at each draw.

    `latents` is (looks, 4, 16, 16) float32; `drawing_of[i]` and `look_of[i]` say what row i shows.
    """

    def __init__(self, work: Path, concepts: list[dict]):
        self.concepts = concepts
        self.taken = taken_names(concepts)
        self.drawing_of: list[int] = []
        self.look_of: list[Look] = []
        groups: dict[tuple, dict[int, list[int]]] = {kind: {} for kind in MIX}
        for drawing, concept in enumerate(concepts):
            for look in looks(concept, self.taken):
                kind = (look.tint != PLAIN, look.background != PLAIN, look.small, look.mirrored)
                groups[kind].setdefault(drawing, []).append(len(self.look_of))
                self.drawing_of.append(drawing)
                self.look_of.append(look)
        self.groups = [(list(groups[kind]), groups[kind]) for kind in MIX]
        self.shares = np.array(list(MIX.values())) / sum(MIX.values())
        self.path = work / "latents.npy"
        self.rgba = np.load(work / "rgba.npy")
        self.latents = torch.empty(0)

    def load_latents(self, vae) -> None:
        """Read the latents of every look, or encode them with `vae` and keep them in the work folder."""
        if not self.path.exists():
            out = np.empty((len(self.look_of), 4, 16, 16), np.float16)
            for start in range(0, len(out), 64):
                rows = range(start, min(start + 64, len(out)))
                images = np.stack([image_of(self.rgba[self.drawing_of[i]], self.look_of[i]) for i in rows])
                x = torch.from_numpy(images * 2 - 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    out[start : start + len(rows)] = vae.encode(x).latent_dist.mean.float().numpy()
            np.save(self.path, out)
        self.latents = torch.from_numpy(np.load(self.path).astype(np.float32))

    def draw(self, rng: np.random.Generator) -> tuple[int, str]:
        """One row and one caption for it."""
        drawings, rows_of = self.groups[rng.choice(len(self.groups), p=self.shares)]
        drawing = drawings[rng.integers(len(drawings))]
        rows = rows_of[drawing]
        row = rows[rng.integers(len(rows))]
        return row, random_caption(self.concepts[drawing], self.look_of[row], self.taken, rng)


def read_concepts(model: Path) -> list[dict]:
    """The list that stage `data` wrote beside the weights."""
    return json.loads((model / "concepts.json").read_text())
