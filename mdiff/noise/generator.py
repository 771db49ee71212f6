"""Gaussian noise in the stream of PyTorch's CPU generator (MT19937 and Box-Muller), so that seeds carry over."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from mdiff.errors import MdiffError

NoiseSource = Callable[[Sequence[int]], np.ndarray]


class _HasRandn(Protocol):
    def randn(self, shape: Sequence[int]) -> np.ndarray: ...


class Generator:
    """A stream of standard normal float32 noise equal, to 5e-7, to `torch.Generator("cpu").manual_seed(seed)`.

    The 32-bit words are those of MT19937 (Matsumoto and Nishimura, 1998) seeded with the low 32 bits of the seed.
    Sixteen or more numbers are made by Box-Muller in blocks of sixteen from 24-bit uniforms; fewer one by one from
    53-bit uniforms, the sine half being kept for the next of those.
    """

    def __init__(self, seed: int = 0):
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> "Generator":
        """Restart the stream at `seed` (an int; only its low 32 bits count, as in PyTorch)."""
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise MdiffError(f"a seed is a whole number, not {seed!r}")
        self._seed = int(seed)
        self._words = np.random.RandomState(self._seed & 0xFFFFFFFF)
        self._kept: float | None = None
        return self

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def randn(self, shape: Sequence[int]) -> np.ndarray:
        """Return standard normal noise, float32, of `shape`."""
        count = math.prod(shape)
        flat = self._blocks(count) if count >= 16 else self._singles(count)
        return flat.reshape(tuple(shape))

    def _raw(self, count: int) -> np.ndarray:
        return self._words.randint(0, 2**32, size=count, dtype=np.uint32)

    def _uniform24(self, count: int) -> np.ndarray:
        return (self._raw(count) & 0xFFFFFF).astype(np.float32) * np.float32(2**-24)

    def _blocks(self, count: int) -> np.ndarray:
        uniform = self._uniform24(count)
        whole = count - count % 16
        result = np.empty(count, np.float32)
        result[:whole] = _box_muller(uniform[:whole])
        if whole != count:  # the last sixteen are made again from fresh uniforms, over what was there
            result[-16:] = _box_muller(self._uniform24(16))
        return result

    def _singles(self, count: int) -> np.ndarray:
        result = np.empty(count, np.float32)
        for index in range(count):
            if self._kept is not None:
                result[index], self._kept = self._kept, None
                continue
            high_low = self._raw(4).astype(np.uint64)
            uniform = ((high_low[0::2] << np.uint64(32) | high_low[1::2]) & np.uint64(2**53 - 1)) * 2.0**-53
            radius, angle = math.sqrt(-2 * math.log1p(-uniform[1])), 2 * math.pi * uniform[0]
            result[index], self._kept = radius * math.cos(angle), radius * math.sin(angle)
        return result


def _box_muller(uniform: np.ndarray) -> np.ndarray:
    first, second = uniform.reshape(-1, 2, 8).swapaxes(0, 1)  # (blocks, 8) each
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - first))
    angle = np.float32(2 * math.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def draw(generator: object, shape: Sequence[int]) -> np.ndarray:
    """Return standard normal float32 noise of `shape` from mdiff's `Generator` or a numpy `Generator`.

    From a list of them, each makes the noise of one index of the leading axis.
    """
    if isinstance(generator, list):
        return np.concatenate([draw(one, (1, *shape[1:])) for one in generator])
    if hasattr(generator, "randn"):
        return generator.randn(shape)
    if isinstance(generator, np.random.Generator):
        return generator.standard_normal(tuple(shape), dtype=np.float32)
    raise MdiffError(
        f"generator is {type(generator).__name__}; it takes mdiff.Generator(seed) or numpy.random.default_rng(seed)"
    )


def noised(original: Any, noise: Any, alpha: np.ndarray, sigma: np.ndarray) -> Any:
    """Return alpha `original` + sigma `noise`, with one alpha and sigma (B,) for each index of the leading axis.

    Where all are the same, `original` needs no batch axis. It may be an array or a MindSpore tensor.
    """

    def shaped(levels: np.ndarray) -> Any:
        if np.all(levels == levels[0]):
            return float(levels[0])
        values = levels.astype(np.float32).reshape(-1, *[1] * (len(original.shape) - 1))
        return values if isinstance(original, np.ndarray) else type(original)(values)

    return original * shaped(alpha) + noise * shaped(sigma)


class SharedNoise:
    """One generator for several images, as diffusers draws it: every draw makes noise for all of them at once.

    `source(index)` is image `index`'s part. The images may ask at different times, so each draw is kept until every
    image took its row.
    """

    def __init__(self, generator: object, count: int):
        self._generator, self._count = generator, count
        self._draws: list[list[np.ndarray | None]] = []

    def source(self, index: int) -> NoiseSource:
        """Return the noise source of image `index`."""
        position = 0

        def rows(shape: Sequence[int]) -> np.ndarray:
            nonlocal position
            if position == len(self._draws):
                self._draws.append(list(draw(self._generator, (self._count, *shape))))
            row = self._draws[position][index]
            assert row is not None
            self._draws[position][index] = None
            position += 1
            return row

        return rows
