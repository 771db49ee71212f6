"""A quick look at training under way: a few of the figures, and a contact sheet, from the averaged weights."""

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from mdiff.model.emoji import metric
from mdiff.model.emoji.recipe.text import token_ids
from mdiff.model.emoji.recipe.trainer import SCHEDULER, Trainer

SHOWN = (
    "red apple", "a cat", "rocket", "a house", "pizza", "sunflower", "robot", "snowman", "guitar", "shark", "heart",
    "castle", "a purple apple", "dog face on a blue background", "a green car", "small owl on a pink background",
    "mirrored dog", "sport ball", "animal", "hot drink", "fruit on a yellow background", "a blue tulip", "rainbow",
    "dinosaur",
)  # fmt: skip


@torch.no_grad()
def generate(
    unet: UNet2DConditionModel,
    encoder: CLIPTextModel,
    vae: AutoencoderKL,
    ids: CLIPTokenizer,
    prompts: list[str],
    guidance: float = 5.0,
    steps: int = 20,
    seed: int = 0,
) -> np.ndarray:
    """Images of the prompts by DPM-Solver++(2M), image i from seed + i: (prompts, 64, 64, 3) in 0…1."""
    images = []
    for start in range(0, len(prompts), 32):
        some = prompts[start : start + 32]
        scheduler = DPMSolverMultistepScheduler.from_config(SCHEDULER)
        scheduler.set_timesteps(steps)
        seeds = range(seed + start, seed + start + len(some))
        x = torch.stack([torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(s)) for s in seeds])
        states = encoder(token_ids(ids, [""] * len(some) + some)).last_hidden_state
        for t in scheduler.timesteps:
            with torch.autocast("cpu", torch.bfloat16):
                out = unet(torch.cat([x, x]).contiguous(memory_format=torch.channels_last), t, states).sample.float()
            without, given = out.chunk(2)
            x = scheduler.step(without + guidance * (given - without), t, x).prev_sample
        pixels = vae.decode(x / vae.config.scaling_factor).sample
        images.append(((pixels + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy())
    return np.concatenate(images)


def contact_sheet(images: np.ndarray, path: Path, columns: int = 12) -> None:
    """Save (n, 64, 64, 3) images as one PNG."""
    from PIL import Image

    rows = -(-len(images) // columns)
    sheet = np.ones((rows * columns, 64, 64, 3))
    sheet[: len(images)] = images
    sheet = sheet.reshape(rows, columns, 64, 64, 3).transpose(0, 2, 1, 3, 4).reshape(rows * 64, columns * 64, 3)
    Image.fromarray((sheet * 255).round().astype(np.uint8)).save(path)


def report(trainer: Trainer, vae: AutoencoderKL, model: Path, work: Path, captions: int = 48) -> None:
    """Print recall, composition and tags over few prompts; save ``sheet-STEP.png`` into the work folder."""
    start = time.time()
    unet, encoder = trainer.averaged()
    concepts = metric.Concepts.load(model)
    make = lambda prompts, seed: generate(unet, encoder, vae, trainer.ids, prompts, seed=seed)  # noqa: E731
    named = metric.draw_captions(concepts, captions, seed=100)
    first, fifth = metric.recall(make(named, 0), named, concepts)
    pairs = metric.draw_pairs(concepts, 16, seed=100)
    coloured, found = metric.composition(make([metric.pair_prompt(concepts, p) for p in pairs], 0), pairs, concepts)
    tags = metric.draw_tags(concepts, 16, seed=100)
    _, tagged = metric.recall(make(tags, 0), tags, concepts, "tags")
    contact_sheet(make(list(SHOWN), 0), work / f"sheet-{trainer.step:06d}.png", columns=8)
    print(
        f"JUDGED step {trainer.step}: recall {first:.2f} / {fifth:.2f}, composition {coloured:.2f} / {found:.2f}, "
        f"tags {tagged:.2f} ({time.time() - start:.0f} s)",
        flush=True,
    )
