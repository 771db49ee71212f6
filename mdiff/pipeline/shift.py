"""What the UNet makes of timesteps, for the timesteps of a whole table in one call instead of one call a step."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

AHEAD = 32  # timesteps in a call, of which every call has as many: one graph serves all tables
KEPT = 512

Row = tuple[np.ndarray | None, np.ndarray | None]  # what beside the timestep decides it: `added` and `guidance`


class TimeShifts:
    """The shifts of timesteps, looked up; a timestep that is asked for brings the next ones of its table along.

    `embed` maps timesteps (N,) with `added` (N, A) and `guidance` (N, G), or None, to shifts (N, T).
    """

    def __init__(self, embed: Callable[..., np.ndarray]):
        self._embed = embed
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def __call__(
        self, timesteps: np.ndarray, rows: Sequence[Row], keys: Sequence[Hashable], tables: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return shifts (R, T) of timesteps (R,) float32; `rows`, their `keys` and `tables` have R entries each."""
        wanted: dict[Hashable, tuple[float, Row]] = {}
        for t, row, key, table in zip(timesteps.tolist(), rows, keys, tables, strict=True):
            if (t, key) not in self._kept and (t, key) not in wanted:
                wanted |= {(each, key): (each, row) for each in _from(t, table) if (each, key) not in self._kept}
        names = list(wanted)
        for begin in range(0, len(names), AHEAD):
            part = names[begin : begin + AHEAD]
            filled = [wanted[name] for name in part + part[:1] * (AHEAD - len(part))]
            numbers = np.asarray([t for t, _ in filled], np.float32)
            added, guidance = (_stacked([row[place] for _, row in filled]) for place in (0, 1))
            self._kept |= zip(part, self._embed(numbers, added, guidance), strict=False)
        found = []
        for t, key in zip(timesteps.tolist(), keys, strict=True):
            self._kept.move_to_end((t, key))
            found.append(self._kept[t, key])
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return np.stack(found)


def key_of(row: Row) -> Hashable:
    """What tells a row's conditioning from others'."""
    return tuple(None if part is None else part.tobytes() for part in row)


def _from(timestep: float, table: np.ndarray) -> list[float]:
    """The timestep and, where the table has it, the ones that come after it, each once."""
    places = np.flatnonzero(table == np.float32(timestep))
    if not len(places):
        return [timestep]
    return list(dict.fromkeys(table[places[0] :].tolist()))[:AHEAD]


def _stacked(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None
