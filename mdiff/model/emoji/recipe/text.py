"""Stage `text`: the text encoder learns what captions say before the UNet has to listen to it.

Through the diffusion loss alone the encoder gets its meaning slowly: a gradient that says "less noise here" names no
drawing. So it is first taught directly: which drawing, which colours, which size, and roughly what it looks like.
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mdiff.model.emoji.colour import NAMES
from mdiff.model.emoji.recipe import tokenizer
from mdiff.model.emoji.recipe.caption import Look
from mdiff.model.emoji.recipe.sample import Samples, image_of, read_concepts


def build(ids: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model of three layers, 192 wide."""
    config = CLIPTextConfig(
        vocab_size=len(ids),
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=6,
        max_position_embeddings=tokenizer.LENGTH,
        hidden_act="quick_gelu",
        projection_dim=192,
        bos_token_id=ids.bos_token_id,
        eos_token_id=ids.eos_token_id,
        pad_token_id=ids.pad_token_id,
    )
    return CLIPTextModel(config)


def token_ids(ids: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Tokens padded to the model's length: (captions, LENGTH)."""
    return ids(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


class Probe(nn.Module):
    """Linear readings of the encoder's output, used for teaching only and then thrown away."""

    def __init__(self, width: int, drawings: int, pixels: int):
        super().__init__()
        self.sizes = (drawings, len(NAMES) + 1, len(NAMES) + 1, 2, 2, pixels)
        self.linear = nn.Linear(width, sum(self.sizes))

    def forward(self, pooled: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.linear(pooled).split(self.sizes, dim=-1)


def thumbnails(samples: Samples) -> torch.Tensor:
    """Each drawing on white at 8×8 RGB, flattened, less the mean drawing: (drawings, 192)."""
    images = np.stack([image_of(rgba, Look()) for rgba in samples.rgba])
    small = images.reshape(len(images), 8, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    return torch.from_numpy((small - small.mean(axis=0)) * 4)


def run(work: Path, model: Path, minutes: float = 5, batch: int = 128, seed: int = 1) -> None:
    """Teach the encoder for `minutes`; write ``tokenizer/`` and ``text_encoder/`` into the work folder."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    concepts = read_concepts(model)
    tokenizer.write(work / "tokenizer", tokenizer.caption_words(concepts))
    ids = CLIPTokenizer.from_pretrained(work / "tokenizer")
    samples = Samples(work, concepts)
    shown = thumbnails(samples)
    encoder = build(ids).train()
    probe = Probe(encoder.config.hidden_size, len(concepts), shown.shape[1])
    parameters = [*encoder.parameters(), *probe.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    start, step, right = time.time(), 0, 0.0
    while (elapsed := (time.time() - start) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * elapsed)))
        rows, captions = zip(*(samples.draw(rng) for _ in range(batch)), strict=True)
        drawings = torch.tensor([samples.drawing_of[row] for row in rows])
        aspects = [samples.look_of[row] for row in rows]
        tokens = token_ids(ids, list(captions))
        with torch.autocast("cpu", torch.bfloat16):
            states = encoder(tokens).last_hidden_state
        # From the end token on, every position has read the whole caption; the UNet will attend to all of them.
        heard = (tokens == ids.eos_token_id).float()
        pick = torch.multinomial(heard, 3)
        pooled = states.float().gather(1, pick[..., None].expand(-1, -1, states.shape[-1])).flatten(0, 1)
        which, background, tint, small, mirrored, looks_like = probe(pooled)
        repeat = lambda values: torch.tensor(values).repeat_interleave(3)  # noqa: E731
        loss = (
            F.cross_entropy(which, drawings.repeat_interleave(3))
            + F.cross_entropy(background, repeat([look.background for look in aspects]))
            + F.cross_entropy(tint, repeat([look.tint for look in aspects]))
            + F.cross_entropy(small, repeat([int(look.small) for look in aspects]))
            + F.cross_entropy(mirrored, repeat([int(look.mirrored) for look in aspects]))
            + F.mse_loss(looks_like, shown[drawings].repeat_interleave(3, dim=0))
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        right += (which.argmax(dim=1) == drawings.repeat_interleave(3)).float().mean().item()
        if step % 50 == 0:
            print(f"{step} {time.time() - start:.0f}s loss {loss.item():.3f} drawing {right / 50:.3f}", flush=True)
            right = 0.0
    encoder.eval().save_pretrained(work / "text_encoder")
