"""Trajectories of diffusers' own schedulers, on the same network and the same noise."""

import contextlib
import copy
import functools
import importlib
import json
import pkgutil

import diffusers.schedulers
import numpy as np
import scipy.stats
import torch

from tests.scheduler.trajectory import SAMPLE, Noise, network

torch.set_num_threads(1)
diffusers.utils.logging.set_verbosity_error()


class _Stream:
    source = Noise()


_stream = _Stream()


def _injected(shape, generator=None, device=None, dtype=None, layout=None):
    noise = torch.from_numpy(_stream.source(shape))
    return noise if dtype is None else noise.to(dtype)


def _in_float64(sigma_to_t):
    """Compute the timestep of a float64 sigma in float64, as NumPy 2 does; NumPy 1 falls back for scalars."""

    def wrapped(self, sigma, *log_sigmas):
        if isinstance(sigma, np.float64):
            return sigma_to_t(self, np.array([sigma]), *log_sigmas)[0]
        return sigma_to_t(self, sigma, *log_sigmas)

    return wrapped


for module in pkgutil.iter_modules(diffusers.schedulers.__path__):
    if module.name.startswith("scheduling_"):
        try:
            loaded = importlib.import_module(f"diffusers.schedulers.{module.name}")
        except ImportError:  # torchsde is an extra of its own
            continue
        if hasattr(loaded, "randn_tensor"):
            loaded.randn_tensor = _injected
        for scheduler in vars(loaded).values():
            if isinstance(scheduler, type) and "_sigma_to_t" in vars(scheduler):
                scheduler._sigma_to_t = _in_float64(scheduler._sigma_to_t)

scipy.stats.beta.ppf = functools.cache(scipy.stats.beta.ppf)


@contextlib.contextmanager
def _rounded():
    """Let PyTorch round the square root of a float32 tensor correctly, as NumPy does.

    Its MKL is one unit in the last place off, at places that depend on the CPU. At timestep 0 of a rescaled cosine
    schedule, where alpha_bar is nearly 1, that unit is 1.4e-3 of sigma.
    """
    root, power, from_numpy = torch.Tensor.sqrt, torch.Tensor.__pow__, torch.from_numpy

    def rooted(tensor):
        if tensor.dtype != torch.float32:
            return root(tensor)
        with np.errstate(invalid="ignore"):
            return from_numpy(np.asarray(np.sqrt(tensor.numpy())))

    def raised(tensor, exponent):
        return rooted(tensor) if isinstance(exponent, float) and exponent == 0.5 else power(tensor, exponent)

    with _replaced(torch, sqrt=rooted), _replaced(torch.Tensor, sqrt=rooted, __pow__=raised):
        yield


@contextlib.contextmanager
def _widened():
    """Let diffusers' code run in float64: what it would round to float32 on its way stays as it is."""
    from_numpy, to = torch.from_numpy, torch.Tensor.to

    def kept(tensor, *arguments, **options):
        if tensor.dtype == torch.float64 and (
            arguments[:1] == (torch.float32,) or options.get("dtype") == torch.float32
        ):
            return tensor
        return to(tensor, *arguments, **options)

    def doubled(array):
        return from_numpy(array).double() if array.dtype == np.float32 else from_numpy(array)

    with _replaced(torch, from_numpy=doubled), _replaced(torch.Tensor, to=kept):
        yield


@contextlib.contextmanager
def _replaced(owner, **attributes):
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


class BrownianPath:
    """Increments of one Brownian path in sigma, from the injected noise; takes the place of torchsde's tree."""

    def __init__(self, like):
        self.path = {float("inf"): torch.zeros_like(like)}

    def __call__(self, start, stop):
        start, stop = float(start), float(stop)
        begin = min(self.path, key=lambda level: abs(level - start))
        if not abs(begin - start) <= 1e-5 * start:
            begin = start
            self.path[begin] = self.path[min(self.path)]
        last = min(self.path)  # the path is known from there up
        step = torch.from_numpy(_stream.source(self.path[last].shape)).to(self.path[last].dtype)
        self.path[stop] = self.path[last] + step * (last - stop) ** 0.5
        return (self.path[stop] - self.path[begin]) / (begin - stop) ** 0.5


@functools.lru_cache(maxsize=64)  # the schedules of a group, whatever the number of steps
def _made(name, options):
    with _rounded():
        return getattr(diffusers.schedulers, name)(**json.loads(options))


class Reference:
    """One schedule of a diffusers scheduler; runs of different prediction types share it."""

    def __init__(self, name: str, options: dict):
        self.pristine = _made(name, json.dumps(options))

    def set_timesteps(self, steps: int, double: bool = False, **options) -> None:
        """Prepare runs of `steps` steps; `double` computes what follows from the float32 sigmas in float64."""
        self.double, self.scheduler = double, copy.copy(self.pristine)
        with _rounded(), _widened() if double else contextlib.nullcontext():
            self.scheduler.set_timesteps(steps, **options)
        self.coefficients = {}

    def run(self, prediction: str | None, step_options: dict, start=SAMPLE, model=network, noise=None) -> np.ndarray:
        """Return x after every step, from `start` times the initial scale; `model` is as in `trajectory.run`."""
        _stream.source = Noise() if noise is None else noise
        scheduler = copy.copy(self.scheduler)
        for key, value in vars(scheduler).items():
            if isinstance(value, list):
                setattr(scheduler, key, list(value))
            elif self.double and torch.is_tensor(value) and value.is_floating_point() and key != "timesteps":
                setattr(scheduler, key, value.double())
        if hasattr(scheduler, "get_lms_coefficient"):  # slow quadrature, the same for every prediction type
            scheduler.get_lms_coefficient = functools.partial(self._coefficient, scheduler)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = BrownianPath(torch.from_numpy(start))
        if prediction is not None:
            scheduler.register_to_config(prediction_type=prediction)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)  # a repeated first timestep would start at the second
        x = torch.from_numpy(start)
        x = (x.double() if self.double else x) * float(getattr(scheduler, "init_noise_sigma", 1.0))
        path = []
        with torch.inference_mode(), _rounded(), _widened() if self.double else contextlib.nullcontext():
            for row, t in enumerate(scheduler.timesteps):
                seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
                output = model(seen, t.item(), row)
                output = torch.from_numpy(output).to(x.dtype) if isinstance(output, np.ndarray) else output
                try:
                    x = scheduler.step(output, t, x, **step_options).prev_sample
                except torch.linalg.LinAlgError:  # two equal levels in UniPC's system: on some CPUs NaN, on others this
                    x = torch.full_like(x, torch.nan)
                path.append(x.numpy())
        return np.array(path)

    def _coefficient(self, scheduler, *key):
        if key not in self.coefficients:
            self.coefficients[key] = type(scheduler).get_lms_coefficient(scheduler, *key)
        return self.coefficients[key]
