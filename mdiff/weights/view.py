"""Tensors of other weights under new names, as they are or as a part of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mdiff.weights.files import Weights
from mdiff.weights.memory import Arena


@dataclass(frozen=True)
class Piece:
    """A tensor `name` of the base; of it the `rows` from … to, transposed (2D), and last in another `shape`."""

    name: str
    rows: tuple[int, int] | None = None
    transpose: bool = False
    shape: tuple[int, ...] | None = None

    def of(self, values: np.ndarray) -> np.ndarray:
        """Cut the piece from the whole tensor."""
        if self.rows is not None:
            values = values[self.rows[0] : self.rows[1]]
        if self.transpose:
            values = values.T
        return values if self.shape is None else values.reshape(self.shape)

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the piece, where the whole has `shape`."""
        if self.shape is not None:
            return self.shape
        if self.rows is not None:
            shape = (self.rows[1] - self.rows[0], *shape[1:])
        return shape[::-1] if self.transpose else shape


class View(Weights):
    """Weights whose tensors are pieces of those of `base`."""

    def __init__(self, base: Weights, pieces: Mapping[str, Piece]):
        self.base, self.files, self._pieces = base, base.files, dict(pieces)
        self.names = tuple(self._pieces)

    def shape(self, name: str) -> tuple[int, ...]:
        piece = self._pieces[name]
        return piece.shape_of(self.base.shape(piece.name))

    def dtype(self, name: str) -> str:
        return self.base.dtype(self._pieces[name].name)

    def read(self, name: str) -> np.ndarray:
        piece = self._pieces[name]
        return np.ascontiguousarray(piece.of(self.base.read(piece.name)))

    def read_as(self, name: str, dtype: str, round_to: str | None = None, arena: Arena | None = None) -> np.ndarray:
        piece = self._pieces[name]
        kept = None if piece.transpose or piece.rows is not None else arena  # what is copied should not stay in there
        return np.ascontiguousarray(piece.of(self.base.read_as(piece.name, dtype, round_to, kept)))

    def digest(self) -> str:
        return self.base.digest()
