"""Cells behind numpy: compiled once a shape, with the seconds that compilation took."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mdiff.device.collection import spared_collection
from mdiff.device.compile_cache import compile_cache
from mdiff.device.graph import eager_mode, graph_mode
from mdiff.engine import STOPPED
from mdiff.pipeline.request import Conditioning
from mdiff.pipeline.shift import TimeShifts, key_of

KEPT_SHAPES = 6  # of each stage: sizes of a batch that are tried out, with and without guidance


class _Stage(nn.Cell):
    """One method of a network as a cell of its own, which MindSpore can compile ahead of the first call."""

    def __init__(self, network: nn.Cell, method: str):
        super().__init__(auto_prefix=False)
        self.network, self.method = network, method

    def construct(self, *inputs):
        return getattr(self.network, self.method)(*inputs)


class Compiled:
    """A stage of a network as a function of numpy arrays; `compile_seconds` grows when a new shape is compiled,
    and `from_cache` says whether the last one came from another process.

    `identity` says all that decides the graph but the shapes: the component's config, the device, the types. Of many
    shapes those used last are kept: a graph holds its share of memory (40 to 70 MB for the bundled model's stages),
    which MindSpore gives back with the cell that it was compiled for.
    """

    def __init__(self, network: nn.Cell, identity: str, method: str = "construct"):
        self._network, self._method, self._identity = network, method, f"{identity} {method}"
        self._stages: OrderedDict[tuple, _Stage] = OrderedDict()
        self.compile_seconds = 0.0
        self.from_cache = False

    def tensors(self, *inputs: Any) -> Any:
        """Run on tensors (arrays are brought over), and leave the result on the device."""
        arguments = [ms.Tensor(each) if isinstance(each, np.ndarray) else each for each in inputs]
        shapes = tuple(None if each is None else (each.shape, each.dtype) for each in arguments)
        with graph_mode():
            if shapes not in self._stages:
                while len(self._stages) >= KEPT_SHAPES:
                    self._stages.popitem(last=False)
                began = time.perf_counter()
                self._stages[shapes] = self._compile(arguments, shapes)
                self.compile_seconds += time.perf_counter() - began
            self._stages.move_to_end(shapes)
            return self._stages[shapes](*arguments)

    def _compile(self, arguments: list[Any], shapes: tuple) -> _Stage:
        stage, cache = _Stage(self._network, self._method), compile_cache()
        with spared_collection():
            if cache is None:
                stage.compile(*arguments)
            else:
                self.from_cache = cache.compile(f"{self._identity} {shapes}", lambda: stage.compile(*arguments))
        return stage

    def __call__(self, *inputs: Any) -> Any:
        """Run and bring the result back as float32 arrays."""
        result = self.tensors(*inputs)
        return tuple(map(_to_numpy, result)) if isinstance(result, tuple) else _to_numpy(result)


class Eager:
    """A part of a network as a function of numpy arrays, run operator by operator.

    Nothing is compiled, and no graph keeps memory of its own; where arrays are large it costs next to nothing.
    """

    compile_seconds = 0.0

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run and bring the result back as a float32 array."""
        with eager_mode():
            return self._function(*map(ms.Tensor, inputs)).astype(ms.float32).asnumpy()


def _to_numpy(tensor: Any) -> np.ndarray | None:
    return None if tensor is None else tensor.astype(ms.float32).asnumpy()


class Denoiser:
    """The UNet as the engine's network: conditioning is projected once for as long as the rows stay the same."""

    def __init__(self, unet: nn.Cell, identity: str):
        self._time = Compiled(unet, identity, "time_embedding")
        self._project = Compiled(unet, identity, "project_context")
        self._denoise = Compiled(unet, identity, "denoise")
        self.rows, self.halves = 1, False
        self.watch = STOPPED
        self._shifts = TimeShifts(self._time)

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation so far."""
        return sum(stage.compile_seconds for stage in (self._time, self._project, self._denoise))

    @property
    def from_cache(self) -> bool:
        """Whether the UNet's last shape was compiled by another process."""
        return self._denoise.from_cache

    def fit(self, rows: int) -> int:
        """Every call has the same number of rows, `self.rows`, so that one compilation serves all.

        With `self.halves` there is a second shape, half of it, for calls in which no image is guided.
        """
        half = self.rows // 2
        return half if self.halves and rows <= half else max(rows, self.rows)

    def prepare(self, conditionings: Sequence[Conditioning], tables: Sequence[np.ndarray] = ()) -> tuple[Any, ...]:
        """Bring the rows' conditioning to the device and project it to keys and values.

        `tables` holds for each row the timesteps (N,) that are going to be evaluated, as far as that is known.
        """
        context = np.concatenate([each.context for each in conditionings])
        with self.watch.part("context_projection", lambda: self._project.compile_seconds):
            projections = self._project.tensors(context)
        rows = [(each.added, each.guidance) for each in conditionings]
        known = tables if tables else [np.empty(0, np.float32)] * len(rows)
        return projections, rows, [key_of(row) for row in rows], known

    def __call__(self, samples: np.ndarray, timesteps: np.ndarray, prepared: tuple[Any, ...]) -> np.ndarray:
        """Evaluate samples (R, C, h, w) float32 at timesteps (R,); return (R, C, h, w) float32."""
        projections, *conditioning = prepared
        with self.watch.part("time_embedding", lambda: self._time.compile_seconds):
            shifts = self._shifts(timesteps, *conditioning)
        with self.watch.part("denoise", lambda: self._denoise.compile_seconds):
            return self._denoise(samples, shifts, *projections)
