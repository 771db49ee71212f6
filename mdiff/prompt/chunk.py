"""Prompts of any length and emphasis as chunks that a text encoder takes one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdiff.prompt.emphasis import parse_emphasis, plain
from mdiff.prompt.tokenizer import Tokenizer


@dataclass(frozen=True)
class Chunks:
    """`ids` (c, S) int32, each row complete with start, end and padding; `weights` (c, S) float32 of its tokens."""

    ids: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weighted(self) -> bool:
        """Whether any token weighs other than 1."""
        return bool((self.weights != 1).any())


def chunk(tokenizer: Tokenizer, prompt: str, weighting: bool = True) -> Chunks:
    """Encode a prompt in chunks of S − 2 tokens; `weighting` off takes every sign of it literally.

    A BREAK fills up the chunk it stands in. Without emphasis, BREAK or a 78th token the one chunk is exactly what
    ``tokenizer([prompt])`` gives.
    """
    room = tokenizer.max_length - 2
    rows: list[tuple[list[int], list[float]]] = []
    number = 0
    ids: list[int] = []
    weights: list[float] = []
    for part in parse_emphasis(prompt) if weighting else plain(prompt):
        if part.chunk != number:
            rows.append((ids, weights))
            ids, weights, number = [], [], part.chunk
        for token in tokenizer.ids(part.text):
            if len(ids) == room:
                rows.append((ids, weights))
                ids, weights = [], []
            ids.append(token)
            weights.append(part.weight)
    rows.append((ids, weights))
    return _chunks(tokenizer, rows)


def pad_to(chunks: Chunks, tokenizer: Tokenizer, count: int) -> Chunks:
    """Append empty chunks until there are `count`, as guidance needs equal lengths of a prompt and its negative."""
    if len(chunks) >= count:
        return chunks
    empty = _chunks(tokenizer, [([], [])] * (count - len(chunks)))
    return Chunks(np.concatenate([chunks.ids, empty.ids]), np.concatenate([chunks.weights, empty.weights]))


def apply_weights(embeddings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Scale each token's embedding (…, S, D) by its weight (…, S); the mean is left to change.

    This is what web UIs call "no norm"; bringing the mean back, as they do for Stable Diffusion 1 by default, spreads
    one word's weight over all others, and with SDXL's long embeddings it breaks images.
    """
    return embeddings * weights[..., None].astype(embeddings.dtype)


def _chunks(tokenizer: Tokenizer, rows: Sequence[tuple[list[int], list[float]]]) -> Chunks:
    ids = np.stack([tokenizer.frame(tokens) for tokens, _ in rows])
    weights = np.ones(ids.shape, np.float32)
    for row, (tokens, values) in enumerate(rows):
        weights[row, 1 : 1 + len(tokens)] = values
    return Chunks(ids, weights)
