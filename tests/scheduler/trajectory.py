"""The deterministic networks and noise that two implementations of a solver are compared on."""

import numpy as np

from mdiff.scheduler import Registers, Table

SAMPLE = np.linspace(-1.1, 1.5, 4, dtype=np.float32).reshape(1, 1, 2, 2)


def network(x, t, row):
    """Return the output of diffusers' dummy network: x t / (t + 1)."""
    return x * (t / (t + 1))


def lively_network(x, t, row):
    """Return an output that is nowhere zero, not even at timestep 0."""
    return x * ((abs(t) + 1) / (abs(t) + 2))


class Noise:
    """A stream of standard normal tensors, the same for every run."""

    def __init__(self, seed: int = 0):
        self.stream = np.random.default_rng(seed)

    def __call__(self, shape) -> np.ndarray:
        return self.stream.standard_normal(tuple(shape), dtype=np.float32)


class Impulses:
    """One element for every input of a run (the start, each output, each noise), one there and zero elsewhere.

    A run on these shows how every step depends on each input by itself.
    """

    def __init__(self, rows: int, draws: int):
        self.rows, self.drawn = rows, 0
        self.unit = np.eye(1 + rows + draws)

    def element(self, index: int) -> np.ndarray:
        return self.unit[index].reshape(1, 1, 1, -1)

    @property
    def start(self) -> np.ndarray:
        return self.element(0)

    def network(self, x, t, row) -> np.ndarray:
        return self.element(1 + row)

    def __call__(self, shape) -> np.ndarray:
        self.drawn += 1
        return self.element(self.rows + self.drawn)


def run(table: Table, start: np.ndarray = SAMPLE, model=network, noise=None) -> np.ndarray:
    """Return x after every row, (rows, *start.shape), from `start` times the initial scale."""
    noise = Noise() if noise is None else noise
    registers = Registers(start * start.dtype.type(table.init_scale))
    path = []
    for row in range(len(table)):
        output = model(table.input(row, registers), float(table.t[row]), row)
        drawn = noise(start.shape) if table.draw[row] else None
        registers = table.apply(row, registers, output.astype(start.dtype), drawn)
        path.append(registers.x)
    return np.array(path)
