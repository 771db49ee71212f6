"""A solver run as a table: one row a network evaluation, and the small executor that applies a row.

Nine registers hold all that a solver needs: the current sample `x`, the raw network output `o`, the stored quantity
`m` of this row, fresh noise `n`, a saved sample `S`, and four history slots `h0 .. h3`. A row says

    x      <- x + churn n                       (only where `churn` is not zero)
    d       = clip(a x + b o)                   the predicted original sample, or whatever the solver stores
    m       = (c x + e d) / r
    x'      = next . (x, o, m, n, S, h0 .. h3)
    S'      = keep . (x, o, m, n, S, h0 .. h3)
    h[dst] <- m                                 (after both, so that `h` still holds the past)

Everything else (paper, order, spacing, prediction type) is in the numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

X, OUT, M, NOISE, SAVED, H = range(6)  # columns of `next` and `keep`; the history slots are H .. H + 3
SLOTS = 4


class Registers(NamedTuple):
    """The state of one trajectory between two rows: arrays or tensors of the sample's shape."""

    x: Any  # in the beginning noise multiplied by the table's `init_scale`
    saved: Any = None
    history: tuple = (None,) * SLOTS
    stored: Any = None  # m of the last row
    original: Any = None  # d of the last row


@dataclass(frozen=True)
class Table:
    """What a solver will do, decided before it runs; float64 columns with one row a network evaluation."""

    t: np.ndarray  # (rows,) timestep fed to the network
    s: np.ndarray  # (rows,) scale of the network's input
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    e: np.ndarray
    r: np.ndarray
    churn: np.ndarray  # (rows,) noise added to x before anything else
    next: np.ndarray  # (rows, 9)
    keep: np.ndarray  # (rows, 9)
    dst: np.ndarray  # (rows,) slot that receives m, or -1
    draw: np.ndarray  # (rows,) bool: consume one standard normal tensor
    sigma: np.ndarray  # (rows,) noise level, for display
    step: np.ndarray  # (rows,) which of the user's steps the row belongs to
    init_scale: float = 1.0  # standard deviation of the initial noise
    end_sigma: float = 0.0  # noise level after the last row, for display
    clip: Callable[[Any], Any] | None = None  # the one nonlinearity, on d

    @classmethod
    def blank(cls, t: np.ndarray, sigma: np.ndarray, step: np.ndarray | None = None, **options: Any) -> "Table":
        """Return a table to fill in, with m = o, x and S left as they are, and the last four m in the slots."""
        rows, count = np.arange(len(t)), len(t)
        columns: dict[str, Any] = {name: np.ones(count) for name in ("s", "b", "e", "r")}
        columns |= {name: np.zeros(count) for name in ("a", "c", "churn")}
        columns |= {"next": np.eye(H + SLOTS)[[X] * count], "keep": np.eye(H + SLOTS)[[SAVED] * count]}
        columns |= {"dst": rows % SLOTS, "draw": np.zeros(count, bool), "step": rows if step is None else step}
        return cls(t=t, sigma=sigma, **columns, **options)

    def put(self, **columns: Any) -> "Table":
        """Assign whole columns by name, e.g. ``table.put(a=0, r=sigma)``; return self."""
        for name, value in columns.items():
            getattr(self, name)[:] = value
        return self

    def mix(self, target: str = "next", **terms: Any) -> "Table":
        """Assign the weights of registers in `next` (or `keep`), the rest zero: ``mix(x=1, m=dt)``; return self."""
        columns = getattr(self, target)
        columns[:] = 0
        for name, value in terms.items():
            columns[:, {"x": X, "o": OUT, "m": M, "n": NOISE, "s": SAVED, "h": H}[name]] = value
        return self

    def add(self, weights: Any, target: str = "next", where: Any = True) -> "Table":
        """Add to `next` (or `keep`) the m of this row, of the row before, ... with `weights`; return self."""
        index = np.arange(len(self))
        for lag, weight in enumerate(weights):
            column = np.full(len(self), M) if lag == 0 else H + (index - lag) % SLOTS
            getattr(self, target)[index, column] += np.where(where & (index >= lag), weight, 0.0)
        return self

    def __len__(self) -> int:
        """Number of network evaluations."""
        return len(self.t)

    @cached_property
    def _program(self) -> list[tuple]:
        """The rows as plain Python numbers, zero terms dropped: a float never widens a float32 array."""
        scalars = np.stack([self.a, self.b, self.c, self.e, self.r, self.churn], 1).tolist()
        terms = [[[term for term in enumerate(row) if term[1]] for row in c.tolist()] for c in (self.next, self.keep)]
        return [(*row, *rest) for row, *rest in zip(scalars, *terms, self.dst.tolist(), strict=True)]

    def input(self, row: int, registers: Registers) -> Any:
        """Return what the network sees at `row`: the current sample, scaled."""
        return registers.x if self.s[row] == 1.0 else registers.x * float(self.s[row])

    def apply(self, row: int, registers: Registers, output: Any, noise: Any = None) -> Registers:
        """Return the registers after `row`, given the network's `output` (and `noise` where `draw[row]`)."""
        a, b, c, e, r, churn, next_terms, keep_terms, dst = self._program[row]
        x = registers.x + noise * churn if churn else registers.x
        d = _sum(((0, a), (1, b)), (x, output))
        d = d if self.clip is None else self.clip(d)
        m = _sum(((0, c), (1, e)), (x, d))
        m = m if r == 1.0 else m / r
        values = (x, output, m, noise, registers.saved, *registers.history)
        saved = registers.saved if keep_terms == [(SAVED, 1.0)] else _sum(keep_terms, values)
        history = registers.history if dst < 0 else (*registers.history[:dst], m, *registers.history[dst + 1 :])
        return Registers(_sum(next_terms, values), saved, history, m, d)


def _sum(terms: Any, values: tuple) -> Any:
    """Return the weighted sum of `values`; a weight of one is not multiplied, so that it does not round."""
    parts = [values[column] if weight == 1.0 else values[column] * weight for column, weight in terms if weight != 0.0]
    return sum(parts[1:], parts[0]) if parts else values[0] * 0.0
