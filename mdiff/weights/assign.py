"""From weight files to the parameters of a network, strictly and straight to their type. Imports MindSpore."""

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np

from mdiff.errors import MdiffError
from mdiff.weights.convert import NUMPY
from mdiff.weights.files import Weights
from mdiff.weights.memory import LINE, Arena

_THREADS = min(4, os.cpu_count() or 1)
_SHOWN = 5  # names in a message; the rest is counted


def assign(
    cell_parameters: Mapping[str, Any],
    weights: Weights,
    dtype: str,
    *,
    round_to: str | None = None,
    ignore: tuple[str, ...] = (),
) -> None:
    """Set every parameter (by its name in the checkpoint) to its tensor, as `dtype` with values of `round_to`.

    Memory beyond the parameters themselves is a few MB: each tensor is converted chunk by chunk into the buffer that
    the parameter then holds. Tensors whose names begin with one of `ignore` are not read. Of the others, one that is
    missing, unexpected or wrongly shaped is an MdiffError that names it; nothing is assigned then.
    """
    with readers() as pool:
        Reading(pool, weights, dtype, round_to, ignore).assign(cell_parameters)


@contextmanager
def readers() -> Iterator[Executor]:
    """Threads for `Reading`, in the order in which readings are begun; an error leaves none of them behind."""
    pool = ThreadPoolExecutor(_THREADS)  # numpy converts without holding Python's lock
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Reading:
    """The tensors of `weights` on their way in the threads of `pool`, while the cell that they are for is built."""

    def __init__(
        self, pool: Executor, weights: Weights, dtype: str, round_to: str | None = None, ignore: tuple[str, ...] = ()
    ):
        self._weights, self._dtype, self._round_to = weights, dtype, round_to
        self._ignore = ignore
        names = [name for name in weights.names if not name.startswith(ignore)]
        self._arena = Arena(sum(self._room(name) for name in names))
        self._values = {name: pool.submit(self._read, name) for name in names}

    def assign(self, cell_parameters: Mapping[str, Any]) -> None:
        """Set every parameter (by its name in the checkpoint) to its tensor; see the function `assign`."""
        check(cell_parameters, self._weights, ignore=self._ignore)
        for name, parameter in cell_parameters.items():
            _set(parameter, self._values.pop(name).result())

    def _room(self, name: str) -> int:
        """Bytes that the tensor may take in the arena."""
        if self._weights.dtype(name) == self._dtype and self._round_to in (None, self._dtype):
            return 0  # it stays where it lies in the file
        return math.prod(self._weights.shape(name)) * np.dtype(NUMPY[self._dtype]).itemsize + LINE

    def _read(self, name: str) -> np.ndarray:
        values = self._weights.read_as(name, self._dtype, self._round_to, self._arena)
        return values.view(np.dtype("bfloat16")) if self._dtype == "bfloat16" else values  # MindSpore registers it


def check(cell_parameters: Mapping[str, Any], weights: Weights, *, ignore: tuple[str, ...] = ()) -> None:
    """Raise MdiffError unless weights and parameters have the same names and shapes."""
    source = ", ".join(str(path) for path in weights.files[:1]) + (" …" if len(weights.files) > 1 else "")
    present = set(weights.names)
    if missing := [name for name in cell_parameters if name not in present]:
        raise MdiffError(f"{source} lacks {_some(missing)}, which the component's config asks for")
    if unexpected := [name for name in weights.names if name not in cell_parameters and not name.startswith(ignore)]:
        raise MdiffError(f"{source} has {_some(unexpected)}, which the component's config has no place for")
    wrong = [
        f"{name!r} with shape {list(weights.shape(name))} instead of {list(parameter.shape)}"
        for name, parameter in cell_parameters.items()
        if tuple(weights.shape(name)) != tuple(parameter.shape)
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise MdiffError(f"{source} has {', '.join(wrong[:_SHOWN])}{more}")


def _set(parameter: Any, values: np.ndarray) -> None:
    """Let the parameter hold `values` without a copy; its type becomes theirs."""
    tensor = ms.Tensor.from_numpy(np.ascontiguousarray(values).reshape(parameter.shape))
    if parameter.dtype != tensor.dtype:
        parameter.set_dtype(tensor.dtype)
    parameter.set_data(tensor)


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{'the tensor' if len(names) == 1 else f'{len(names)} tensors:'} {shown}{more}"
