"""What the pipeline's call is given, in the forms that people pass, as what it works with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mdiff.errors import MdiffError, nearest
from mdiff.noise import Generator, NoiseSource, SharedNoise
from mdiff.pipeline.request import WHOLE, Conditioning, Text

_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
Prompt = tuple[Text, Conditioning | None]


def precision_name(dtype: Any) -> str:
    """Return the precision that a MindSpore type stands for; None is "auto"."""
    if dtype is None:
        return "auto"
    name = str(dtype).rsplit(".", 1)[-1].lower()
    name = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}.get(name, name)
    if name not in _PRECISIONS:
        raise MdiffError(f"mindspore_dtype is {dtype}{nearest(name, _PRECISIONS)}")
    return _PRECISIONS[name]


def refuse_pickles(use_safetensors: bool) -> None:
    """Raise where code written for diffusers asks for weights that are pickled."""
    if use_safetensors is False:
        raise MdiffError("use_safetensors=False asks for pickled weights; mdiff reads safetensors only")


def texts(name: str, value: Any, absent: bool = False) -> list[Prompt]:
    """Return prompts from a text or a list of them; `absent` marks a negative prompt that nobody gave."""
    given = [value] if isinstance(value, str) else list(value)
    for text in given:
        if not isinstance(text, str):
            raise MdiffError(f"{name} holds {text!r}; it takes text")
    return [(Text(text, absent=absent), None) for text in given]


def embeddings(value: Any) -> list[Prompt]:
    """Return prompts that stand for given embeddings (n, S, D)."""
    array = value.asnumpy() if hasattr(value, "asnumpy") else np.asarray(value)
    return [(Text(""), Conditioning(row[None].astype(np.float32))) for row in array]


def noise_sources(seed: Any, generator: Any, count: int) -> list[NoiseSource]:
    """Return the noise of each of `count` images, from a seed or a list, from generators, or by chance."""
    if seed is not None and generator is not None:
        raise MdiffError("give seed or generator, not both")
    if generator is not None:
        if not isinstance(generator, list | tuple):
            shared = SharedNoise(generator, count)
            return [shared.source(index) for index in range(count)]
        if len(generator) != count:
            raise MdiffError(f"there are {len(generator)} generators for {count} images")
        return [SharedNoise(each, 1).source(0) for each in generator]
    if seed is None:
        seed = int(np.random.SeedSequence().entropy) & 0x7FFFFFFF  # type: ignore[arg-type]
    if not isinstance(seed, list | tuple):
        first = Generator(seed).initial_seed()  # refuses what is no seed
        return [Generator(first + index).randn for index in range(count)]
    if len(seed) != count:
        raise MdiffError(f"there are {len(seed)} seeds for {count} images")
    return [Generator(each).randn for each in seed]


def interval(value: Sequence[float] | None) -> tuple[float, float]:
    """Return the fractions of the steps that are guided; None means all of them."""
    if value is None:
        return WHOLE
    try:
        begin, end = (float(each) for each in value)
    except (TypeError, ValueError):
        raise MdiffError(f"guidance_interval is {value!r}; it takes two numbers, from and to") from None
    if not 0 <= begin < end <= 1:
        raise MdiffError(f"guidance_interval is {value!r}; it takes 0 ≤ from < to ≤ 1")
    return begin, end
