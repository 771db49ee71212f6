"""mdiff's schedulers with PyTorch tensors: the thin layer through which code written for diffusers runs on them.

    python -m tests.scheduler.adapter .../diffusers/tests/schedulers/test_scheduler_euler.py ...

runs diffusers' own test files on mdiff's classes, put into diffusers' namespace under their names.
"""

import functools
import inspect
import sys

import diffusers
import numpy as np
import torch

from mdiff.scheduler import SCHEDULERS


class _Generator:
    """A PyTorch generator as mdiff takes noise."""

    def __init__(self, generator):
        self.generator = generator

    def randn(self, shape):
        return torch.randn(shape, generator=self.generator).numpy()


def _array(value):
    return value.detach().cpu().numpy() if torch.is_tensor(value) else value


def _tensor(value):
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray | np.floating) else value


class _Output(dict):
    """A result by attribute, key and place, as diffusers' BaseOutput."""

    __getattr__ = dict.__getitem__

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else list(self.values())[key]


@functools.cache
def adapted(name: str) -> type:
    """Return a class that behaves as diffusers' `name` and computes with mdiff's."""

    class Adapted:
        def __init__(self, *values, **options):
            self.scheduler = SCHEDULERS[name](*values, **options)

        @classmethod
        def _of(cls, scheduler):
            made = cls.__new__(cls)
            made.scheduler = scheduler
            return made

        @classmethod
        def from_config(cls, config, **options):
            return cls._of(SCHEDULERS[name].from_config(config, **options))

        @classmethod
        def from_pretrained(cls, folder, subfolder=None, **options):
            return cls._of(SCHEDULERS[name].from_pretrained(folder, subfolder, **options))

        def save_pretrained(self, folder):
            self.scheduler.save_pretrained(folder)

        save_config = save_pretrained

        def __getattr__(self, key):
            return _tensor(getattr(self.__dict__["scheduler"], key))

        def set_timesteps(self, *values, **options):
            self.scheduler.set_timesteps(*values, **{key: _array(value) for key, value in options.items()})

        def scale_model_input(self, sample, timestep=None):
            return torch.as_tensor(self.scheduler.scale_model_input(_array(sample), _array(timestep)))

        def add_noise(self, original_samples, noise, timesteps):
            return torch.as_tensor(self.scheduler.add_noise(_array(original_samples), _array(noise), _array(timesteps)))

        def step(self, model_output, timestep, sample, generator=None, return_dict=True, **options):
            arrays = _array(model_output), _array(timestep), _array(sample)
            result = self.scheduler.step(*arrays, generator=_Generator(generator), return_dict=return_dict, **options)
            tensors = [torch.as_tensor(value) for value in result]
            return _Output(zip(result._fields, tensors, strict=True)) if return_dict else tuple(tensors)

        @property
        def compatibles(self):
            return [adapted(solver.__name__) for solver in self.scheduler.compatibles]

        def __len__(self):
            return len(self.scheduler)

    Adapted.__name__ = Adapted.__qualname__ = name
    return Adapted


def takes(scheduler, option: str) -> bool:
    """Whether the step of a diffusers scheduler takes `option`."""
    return option in inspect.signature(scheduler.step).parameters


if __name__ == "__main__":
    import pytest

    for scheduler_name in SCHEDULERS:
        setattr(diffusers, scheduler_name, adapted(scheduler_name))
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
