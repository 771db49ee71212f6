"""One image on its way from noise to latents."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdiff.noise import NoiseSource
from mdiff.scheduler import Registers, Table


@dataclass(eq=False)
class Trajectory:
    """A table, where in it the image is, and everything that is the image's own.

    `positive` and `negative` are conditionings in whatever form the network takes; without `negative` the image is
    not guided and costs one row a call. Only trajectories of one `form` (the conditioning's shape) share a call.
    `seconds` is its share of the time of the calls it was part of.
    """

    key: Any
    table: Table
    registers: Registers
    positive: Any
    negative: Any | None
    guidance: float
    noise: NoiseSource
    guidance_rescale: float = 0.0
    form: Hashable = None
    row: int = 0
    seconds: float = 0.0
    error: str | None = None

    @property
    def rows(self) -> int:
        """Network rows that one evaluation of this image takes."""
        return 1 if self.negative is None else 2

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to evaluate."""
        return self.error is not None or self.row == len(self.table)

    @property
    def latents(self) -> np.ndarray:
        """The current sample, (C, h, w)."""
        return self.registers.x

    def advance(self, output: np.ndarray) -> None:
        """Take this evaluation's guided network output (C, h, w) and go on by one row of the table."""
        noise = self.noise(output.shape) if self.table.draw[self.row] else None
        self.registers = self.table.apply(self.row, self.registers, output, noise)
        self.row += 1
        if not np.isfinite(self.registers.x).all():
            self.error = f"the latents are not finite after evaluation {self.row} of {len(self.table)}"
