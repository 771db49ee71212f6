"""From prompts to what a UNet is conditioned on: emphasis, chunks, one or two text encoders."""

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mdiff.pipeline.clock import Clock
from mdiff.pipeline.request import Conditioning, Text
from mdiff.prompt import apply_weights, chunk, pad_to, parse_emphasis

KEPT_PROMPTS = 256


class TextEncoding:
    """Encodes each prompt once. `encoders` gives the compiled text encoders, in the order of their tokenizers."""

    def __init__(
        self, description: Any, tokenizers: Sequence[Any], encoders: Callable[[], Sequence[Any]], clock: Clock
    ):
        self._description, self._tokenizers, self._encoders, self._clock = description, tokenizers, encoders, clock
        self._kept: OrderedDict[tuple[Text, int], tuple[np.ndarray, np.ndarray | None]] = OrderedDict()
        self._warned: set[Text] = set()

    @property
    def full(self) -> bool:
        """Whether one prompt more would push an earlier one out."""
        return len(self._kept) + 2 > KEPT_PROMPTS

    def pair(self, positive: Text, negative: Text | None, sizes: tuple[int, ...]) -> tuple[Conditioning, Any]:
        """Return the conditionings of a prompt and of its negative (None stays None), of equal length.

        `sizes` are SDXL's (original height and width, crop top and left, target height and width), in pixels.
        """
        texts = [text for text in (positive, negative) if text is not None]
        count = max(self._chunks(text) for text in texts)
        made = [self._conditioning(text, count, sizes) for text in texts]
        return made[0], made[1] if negative is not None else None

    def _chunks(self, text: Text) -> int:
        """Chunks that the prompt takes: one, unless it has a BREAK or may be long."""
        if not text.long and (not text.weighting or parse_emphasis(text.words)[-1].chunk == 0):
            return 1
        return max(len(chunk(tokenizer, text.words, text.weighting)) for tokenizer in self._tokenizers)

    def _conditioning(self, text: Text, count: int, sizes: tuple[int, ...]) -> Conditioning:
        key = (text, count)
        if key not in self._kept:
            self._kept[key] = self._encode(text, count)
            if len(self._kept) > KEPT_PROMPTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        context, pooled = self._kept[key]
        if self._description.kind != "sdxl" or pooled is None:
            return Conditioning(context)
        return Conditioning(context, np.concatenate([pooled, np.asarray([sizes], np.float32)], axis=1))

    def _encode(self, text: Text, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return context (1, count·S, D) and the pooled state (1, P) of the first chunk."""
        contexts, pooled = [], None
        for tokenizer, encoder in zip(self._tokenizers, self._encoders(), strict=True):
            chunks = pad_to(chunk(tokenizer, text.words, text.weighting), tokenizer, count)
            if len(chunks) > count:
                self._warn_of_truncation(tokenizer, text)
            states: list[np.ndarray] = []
            compiling = functools.partial(getattr, encoder, "compile_seconds")
            for ids, weights in zip(chunks.ids[:count], chunks.weights[:count], strict=True):
                with self._clock.stage("encode", compiling):
                    last, penultimate, whole = encoder(ids[None])
                if not states:
                    pooled = whole  # of the last encoder, in the end
                state = penultimate if self._description.kind == "sdxl" else last
                states.append(apply_weights(state, weights[None]))
            contexts.append(np.concatenate(states, axis=1))
        context = np.concatenate(contexts, axis=-1)
        if text.absent and self._description.zero_empty_prompt:
            return np.zeros_like(context), None if pooled is None else np.zeros_like(pooled)
        return context, pooled

    def _warn_of_truncation(self, tokenizer: Any, text: Text) -> None:
        if text in self._warned:
            return
        self._warned.add(text)
        words = "".join(part.text for part in parse_emphasis(text.words)) if text.weighting else text.words
        warnings.warn(
            f"the prompt has more than the {tokenizer.max_length} tokens that the model reads at once; "
            f"dropped: {tokenizer.dropped(words)!r} (prompt.long=chunk reads all of it, in parts)",
            stacklevel=2,
        )
