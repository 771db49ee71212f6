"""The interface that users of diffusers know, on top of a table."""

import inspect
import json
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mdiff.errors import SchedulerError, nearest
from mdiff.noise import draw, noised
from mdiff.scheduler.config import CHOICES, RESPACINGS, Config, checked
from mdiff.scheduler.table import Registers, Table

FILE = "scheduler_config.json"
Request = SimpleNamespace  # what a table is asked for: steps, timesteps and sigmas (or None), begin, and every option
SCHEDULERS: dict[str, type["Scheduler"]] = {}
OUTPUTS = {
    second: namedtuple("SchedulerOutput", ["prev_sample", *([second] if second else [])])
    for second in ("", "pred_original_sample", "denoised", "pred_noised_sample")
}


class Scheduler:
    """A solver: `table` compiles a run; `set_timesteps` and `step` walk through one, as in diffusers.

    Options are keyword arguments under diffusers' names. Samples and outputs of `step` are numpy arrays or MindSpore
    tensors of any shape, with or without a batch axis; half precision is computed in float32 and given back as half.
    """

    order: ClassVar[int] = 1
    defaults: ClassVar[dict[str, Any]] = {}
    choices: ClassVar[dict[str, tuple]] = CHOICES
    custom: ClassVar[tuple[str, ...]] = ()  # which points of a run may be given: timesteps, sigmas
    run_defaults: ClassVar[dict[str, Any]] = {}  # further options of set_timesteps
    step_defaults: ClassVar[dict[str, Any]] = {}  # further options of step
    reports: ClassVar[str] = ""  # the second field of step's result
    memoryless: ClassVar[bool] = False  # a step depends on nothing but its own timestep
    _compile: Callable[[Request], Table]  # the solver's mathematics

    def __init_subclass__(cls) -> None:
        if "defaults" in vars(cls):  # a solver, not a family of them
            kind = inspect.Parameter.KEYWORD_ONLY
            own = [inspect.Parameter(name, kind, default=value) for name, value in cls.defaults.items()]
            cls.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
            SCHEDULERS[cls.__name__] = cls

    def __init__(self, *values: Any, **options: Any):
        name = type(self).__name__
        options |= zip(self.defaults, values, strict=False)
        for key, value in options.items():
            if key not in self.defaults:
                raise SchedulerError(f"{name} has no option {key!r}{nearest(key, self.defaults)}")
            options[key] = checked(name, key, value, self.defaults[key], self.choices.get(key))
        respacings = [kind for kind, key in RESPACINGS.items() if options.get(key)]
        if len(respacings) > 1:
            keys = " and ".join(RESPACINGS[kind] for kind in respacings)
            raise SchedulerError(f"{name}: only one of {keys} can be used")
        self.respacing = respacings[0] if respacings else None
        self.own = Config({**self.defaults, **options})  # without those of other solvers
        left = [key for key in self.defaults if key not in options]
        self.config = Config({"_class_name": name, **self.own} | ({"_use_default_values": left} if left else {}))
        self.step_options = dict(self.step_defaults)
        self.num_inference_steps: int | None = None
        self._tables: dict[str, Table] = {}
        self._request: dict[str, Any] = {"steps": len(self)}  # until a run is chosen, the training schedule
        self.set_begin_index(None)

    @classmethod
    def from_config(cls, config: "Mapping[str, Any] | Scheduler", **overrides: Any) -> Any:
        """Return this solver with the options of another one; options that only others have stay in `.config`.

        An option that the other one left at its own default takes this class's default. SchedulerError for a value
        (or an override) that is not known.
        """
        given = dict(config.config if isinstance(config, Scheduler) else config)
        left = given.pop("_use_default_values", [])
        given = {key: value for key, value in given.items() if key not in left} | overrides
        known = {key for scheduler in SCHEDULERS.values() for key in scheduler.defaults}
        for key in overrides.keys() - known:
            raise SchedulerError(f"no scheduler has the option {key!r}{nearest(key, cls.defaults)}")
        scheduler = cls(**{key: value for key, value in given.items() if key in cls.defaults})
        scheduler.config = Config({**given, **scheduler.config})
        return scheduler

    @classmethod
    def from_pretrained(cls, folder: str | Path, subfolder: str | None = "scheduler", **overrides: Any) -> Any:
        """Return this solver with the options in a checkpoint's folder, whichever solver they were saved by."""
        for path in (Path(folder) / (subfolder or "") / FILE, Path(folder) / FILE):
            if path.is_file():
                return cls.from_config(json.loads(path.read_text(encoding="utf-8")), **overrides)
        raise SchedulerError(f"no {FILE} in {folder}; give the folder of a checkpoint in the Hugging Face layout")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write scheduler_config.json into `folder`."""
        plain = {name: value for name, value in sorted(self.config.items()) if name != "_use_default_values"}
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / FILE).write_text(json.dumps(plain, indent=2, default=list) + "\n", encoding="utf-8")

    compatibles = property(lambda self: list(SCHEDULERS.values()), doc="The solvers that `from_config` can make of it.")

    def __len__(self) -> int:
        return self.config.num_train_timesteps

    def table(
        self, steps: int | None = None, *, timesteps: Any = None, sigmas: Any = None, begin: int = 0, **options: Any
    ) -> Table:
        """Return the run of `steps` steps, or the one over given `timesteps` or `sigmas` where the solver admits them.

        Pure and cached. The run starts at evaluation `begin` (image to image); `options` are those of `set_timesteps`
        and of `step`.
        """
        name, known = type(self).__name__, {**self.run_defaults, **self.step_options}
        for key, value in options.items():
            if key not in known:
                raise SchedulerError(f"{name}: no option {key!r}{nearest(key, known)}")
            known[key] = checked(name, key, value, known[key], self.choices.get(key))
        points = {"timesteps": timesteps, "sigmas": sigmas}
        given = {key: [float(v) for v in value] for key, value in points.items() if value is not None}
        for key in given:
            if key not in self.custom or self.respacing is not None:
                raise SchedulerError(f"{name} takes no custom {key}" + " with re-spaced sigmas" * (key in self.custom))
        steps = len(next(iter(given.values()))) if steps is None and given else steps
        if steps is None or int(steps) != steps or steps < 1:
            raise SchedulerError(f"{name}: steps={steps!r} must be a whole number of at least 1")
        request = repr((steps, given, begin, known))
        if request not in self._tables:
            arrays = {key: np.array(given[key]) if key in given else None for key in points}
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a step to sigma = 0 has no lambda
                self._tables[request] = self._compile(Request(steps=int(steps), begin=begin, **arrays, **known))
        return self._tables[request]

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, **options: Any) -> None:
        """Choose the run that `step` walks through; `options` are those of `table`, `device` is ignored."""
        table = self.table(num_inference_steps, **options)
        self._request, self.num_inference_steps = {"steps": num_inference_steps, **options}, int(table.step[-1]) + 1
        self.set_begin_index(None)

    def _run(self, begin: int = 0, **options: Any) -> Table:
        return self.table(**self._request | options, begin=begin)

    @property
    def timesteps(self) -> np.ndarray:
        """The timestep of every network evaluation, descending."""
        return self._run().t

    @property
    def sigmas(self) -> np.ndarray:
        """The noise level at every network evaluation and at the end, float32."""
        return np.append(self._run().sigma, self._run().end_sigma).astype(np.float32)

    @property
    def init_noise_sigma(self) -> float:
        """What unit normal noise is multiplied by to start a run."""
        return self._run().init_scale

    @property
    def step_index(self) -> int | None:
        """The evaluation that is next, or None before the first."""
        return None if self._row is None else self._row + self._first

    def set_begin_index(self, begin_index: int | None = 0) -> None:
        """Start the run at evaluation `begin_index`, or where the first timestep is found."""
        self.begin_index, self._first, self._registers = begin_index, 0, Registers(None)
        self._row: int | None = None

    def index_for_timestep(self, timestep: Any) -> int:
        """Return the first evaluation at `timestep` that begins a step, so that repeated timesteps lose none."""
        table = self._run()
        begins, there = np.append(True, table.step[1:] != table.step[:-1]), table.t == float(timestep)
        if not there.any():
            raise SchedulerError(f"timestep {timestep} is not in this schedule{nearest(timestep, table.t.tolist())}")
        return int(np.argmax(begins & there if (begins & there).any() else there))

    def _locate(self, timestep: Any, **options: Any) -> tuple[Table, int]:
        """Return the table of the run under way and its row for `timestep`, entering the run where it has not begun."""
        if self.memoryless:
            return self._run(**options), self.index_for_timestep(timestep)
        if self._row is None:
            self._first = self.index_for_timestep(timestep) if self.begin_index is None else self.begin_index
        table, self._row = self._run(self._first, **options), 0 if self._row is None else self._row
        if self._row >= len(table):
            raise SchedulerError(f"all {len(table)} evaluations of this run are done; call set_timesteps again")
        return table, self._row

    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any:
        """Return the network's input for `sample` at `timestep`."""
        if self.memoryless:
            return sample
        table, row = self._locate(timestep)
        return table.input(row, Registers(sample))

    def step(
        self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True,
        variance_noise: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Return the sample one network evaluation later: an object with `prev_sample`, also a tuple.

        model_output and sample have the same shape. Noise comes from `variance_noise`, or from `generator`: anything
        with `randn(shape)` or numpy's `standard_normal`, or a list of these, one an image of the batch.
        """
        table, row = self._locate(timestep, **options)
        kind, noise = model_output.dtype, variance_noise
        half = "16" in str(kind)
        if half:
            model_output, sample = model_output.astype("float32"), sample.astype("float32")
        if table.draw[row] and noise is None:
            noise = draw(np.random.default_rng() if generator is None else generator, sample.shape)
            noise = noise if isinstance(sample, np.ndarray) else type(sample)(noise)
        self._registers = table.apply(row, self._registers._replace(x=sample), model_output, noise)
        self._row = row + 1
        second = self._registers.original if self.reports == "pred_original_sample" else self._registers.stored
        result = [self._registers.x, second][: 2 if self.reports else 1]
        result = [value.astype(kind) for value in result] if half else result
        return OUTPUTS[self.reports](*result) if return_dict else tuple(result)

    def _levels(self, timesteps: np.ndarray) -> tuple[Any, Any]:
        """Return (alpha, sigma) with noisy = alpha original + sigma noise at each of `timesteps`."""
        sigma = self.sigmas[[self.index_for_timestep(t) for t in timesteps]].astype(np.float64)
        return np.ones_like(sigma), sigma

    def add_noise(self, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        """Return `original_samples` (B, ...) with `noise` at the level of each of the `timesteps` (B,)."""
        return noised(original_samples, noise, *self._levels(np.atleast_1d(np.asarray(timesteps))))


def solver_class(name: str) -> type[Scheduler]:
    """Return the solver that diffusers calls `name`; SchedulerError where there is none."""
    name = name.removeprefix("mdiff.scheduler.")
    if name not in SCHEDULERS:
        raise SchedulerError(f"there is no scheduler class {name!r}{nearest(name, SCHEDULERS)}")
    return SCHEDULERS[name]
