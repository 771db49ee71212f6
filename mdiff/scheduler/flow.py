from typing import Any

import numpy as np

from mdiff.errors import SchedulerError
from mdiff.noise.schedule import respaced_sigmas, shifted_levels
from mdiff.scheduler.base import Scheduler
from mdiff.scheduler.family import CHURN, RESPACED, SHIFTED, TRAIN, Request, Table
from mdiff.scheduler.integral import churned, trapezoid, two_stage

FLOW_MATCH = TRAIN | {"shift": 1.0}
DYNAMIC = FLOW_MATCH | SHIFTED | RESPACED | {"invert_sigmas": False, "shift_terminal": None}
DYNAMIC |= {"base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}


class FlowScheduler(Scheduler):
    """x = (1 - sigma) x0 + sigma n for a network that predicts n - x0: https://arxiv.org/abs/2210.02747.

    `shift` moves the levels towards noise (https://arxiv.org/abs/2403.03206, section 5.3.2); as in diffusers it acts on
    the end points and on the run. `mu` takes its place with use_dynamic_shifting.
    """

    run_defaults = Scheduler.run_defaults | {"mu": None}
    custom = ("timesteps", "sigmas")

    def _grid(self, asked: Request) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) timesteps and (n + 1,) sigmas of a run."""
        own, train, levels = self.own, len(self), asked.sigmas
        dynamic, inverted = own.get("use_dynamic_shifting", False), own.get("invert_sigmas", False)
        if dynamic and asked.mu is None:
            raise SchedulerError(f"{type(self).__name__}: use_dynamic_shifting needs mu")
        if levels is None and asked.timesteps is not None:
            levels = asked.timesteps / train
        elif levels is None:
            ends = shifted_levels(np.array([1, 1 / train]), 1 if dynamic else own.shift, None, {})
            high, low = ends.astype(np.float32).tolist()
            levels = np.linspace(high, low, asked.steps)
        levels = shifted_levels(levels, own.shift, asked.mu if dynamic else None, own)
        if self.respacing is not None:
            levels = respaced_sigmas(self.respacing, levels[0], levels[-1], np.linspace(0, 1, len(levels)))
        levels = 1 - levels.astype(np.float32) if inverted else levels.astype(np.float32)
        points = levels * np.float32(train) if asked.timesteps is None else asked.timesteps.astype(np.float32)
        return points, np.append(levels, float(inverted)).astype(np.float64)

    def _levels(self, timesteps: np.ndarray) -> tuple[Any, Any]:
        sigma = super()._levels(timesteps)[1]
        return 1 - sigma, sigma

    def scale_noise(self, sample: Any, timestep: Any, noise: Any) -> Any:
        """Return `sample` with `noise` at the level of `timestep`: diffusers' name for add_noise here."""
        return self.add_noise(sample, noise, timestep)


class FlowMatchEulerDiscreteScheduler(FlowScheduler):
    """Euler's method along the flow, or with `stochastic_sampling` denoising at once and noising to the next level."""

    defaults = DYNAMIC | {"stochastic_sampling": False}

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        now, then = levels[asked.begin : -1], levels[asked.begin + 1 :]
        table = Table.blank(points[asked.begin :], now, end_sigma=float(then[-1]))
        if self.own.get("stochastic_sampling", True):
            return table.put(a=1, b=-now, draw=True).mix(m=1 - then, n=then)
        return table.mix(x=1, m=then - now)


class FlowMatchLCMScheduler(FlowMatchEulerDiscreteScheduler):
    """Denoise at once and noise to the next level, for flow networks distilled to a few steps; noise at every step."""

    defaults = DYNAMIC | {"scale_factors": None, "upscale_mode": "bicubic"}


class FlowMatchHeunDiscreteScheduler(FlowScheduler):
    """Heun's method along the flow, 2 n - 1 evaluations for n steps, with the churn of Karras et al. 2022.

    As in diffusers, churn raises the noise and does not scale the image down with it, so that x leaves the flow.
    """

    order = 2
    defaults = FLOW_MATCH
    step_defaults = CHURN

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        step, second = two_stage(len(points), asked.begin)
        raised, noise = churned(levels[step], 2 * len(points) - 1, asked)
        table = Table.blank(points[step + second], levels[step + second], step - step[0])
        table.put(b=np.where(second, 1, levels[step] / raised), draw=raised > levels[step])
        table.put(churn=np.where(second, 0, noise))
        return trapezoid(table, second, levels[step + 1] - raised)
