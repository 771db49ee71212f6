"""One image on its way from noise to latents."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdiff.engine.profile import Evaluation
from mdiff.noise import NoiseSource
from mdiff.scheduler import Registers, Table


@dataclass(eq=False)
class Trajectory:
    """A table, where in it the image is, and everything that is the image's own.

    `positive` and `negative` are conditionings in whatever form the network takes; without `negative` the image is
    not guided and costs one row a call. `guidance_interval` are the fractions of the steps, from and to, between which
    it is guided; at the others it costs one row as well. Only trajectories of one `form` (the conditioning's shape)
    share a call. `seconds` is its share of the time of the calls it was part of, `profile` where that is noted for
    each evaluation, or None.
    """

    key: Any
    table: Table
    registers: Registers
    positive: Any
    negative: Any | None
    guidance: float
    noise: NoiseSource
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    form: Hashable = None
    row: int = 0
    seconds: float = 0.0
    error: str | None = None
    profile: list[Evaluation] | None = None

    @property
    def guided(self) -> bool:
        """Whether the next evaluation is guided (Kynkäänniemi et al. 2024, section 3): its step is in the interval."""
        if self.negative is None or self.finished:
            return False
        begin, end = self.guidance_interval
        return begin <= self.table.step[self.row] / (self.table.step[-1] + 1) < end

    @property
    def conditionings(self) -> tuple[Any, ...]:
        """The conditioning of each row of the next evaluation, negative before positive."""
        return (self.negative, self.positive) if self.guided else (self.positive,)

    @property
    def rows(self) -> int:
        """Network rows that the next evaluation of this image takes."""
        return 2 if self.guided else 1

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
