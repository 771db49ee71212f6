from typing import Any

import numpy as np

from mdiff.scheduler.base import Scheduler
from mdiff.scheduler.config import RESPACINGS, SchedulerError
from mdiff.scheduler.family import CHURN, RESPACED, SHIFTED, TRAIN, Request, Table
from mdiff.scheduler.integral import churned, trapezoid, two_stage
from mdiff.scheduler.schedule import respaced_sigmas, shifted_levels

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

    def _grid(self, asked: Request, mu: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) timesteps and (n + 1,) sigmas of a run."""
        config, train, levels = self.config, self.config.num_train_timesteps, asked.sigmas
        if config.get("use_dynamic_shifting") and mu is None:
            raise SchedulerError(f"{type(self).__name__}: use_dynamic_shifting needs mu")
        if levels is None and asked.timesteps is not None:
            levels = asked.timesteps / train
        elif levels is None:
            ends = shifted_levels(
                np.array([1, 1 / train]), 1 if config.get("use_dynamic_shifting") else config.shift, None, {}
            )
            high, low = ends.astype(np.float32).astype(np.float64)
            levels = np.linspace(high, low, asked.steps)
        levels = shifted_levels(levels, config.shift, mu, config)
        for kind in (kind for kind, key in RESPACINGS.items() if config.get(key)):
            levels = respaced_sigmas(kind, levels[0], levels[-1], np.linspace(0, 1, len(levels)))
        levels, inverted = levels.astype(np.float32), bool(config.get("invert_sigmas"))
        levels = 1 - levels if inverted else levels
        points = levels * np.float32(train) if asked.timesteps is None else asked.timesteps.astype(np.float32)
        return points, np.append(levels, 1.0 if inverted else 0.0).astype(np.float64)

    def _levels(self, timesteps: np.ndarray) -> tuple[Any, Any]:
        sigma = super()._levels(timesteps)[1]
        return 1 - sigma, sigma

    def scale_noise(self, sample: Any, timestep: Any, noise: Any) -> Any:
        """Return `sample` with `noise` at the level of `timestep`: diffusers' name for add_noise here."""
        return self.add_noise(sample, noise, timestep)


class FlowMatchEulerDiscreteScheduler(FlowScheduler):
    """Euler's method along the flow, or with `stochastic_sampling` denoising at once and noising to the next level."""

    defaults = DYNAMIC | {"stochastic_sampling": False}
    stochastic = False

    def _compile(self, asked: Request, mu: float | None = None, **unused: object) -> Table:
        points, levels = self._grid(asked, mu)
        now, then = levels[asked.begin : -1], levels[asked.begin + 1 :]
        table = Table.blank(points[asked.begin :], now, end_sigma=float(then[-1]))
        if not (self.stochastic or self.config.get("stochastic_sampling")):
            return table.mix(x=1, m=then - now)
        return table.put(a=1, b=-now, draw=True).mix(m=1 - then, n=then)


class FlowMatchLCMScheduler(FlowMatchEulerDiscreteScheduler):
    """Denoise at once and noise to the next level, for flow networks distilled to a few steps; noise at every step."""

    defaults = DYNAMIC | {"scale_factors": None, "upscale_mode": "bicubic"}
    stochastic = True


class FlowMatchHeunDiscreteScheduler(FlowScheduler):
    """Heun's method along the flow, 2 n - 1 evaluations for n steps, with the churn of Karras et al. 2022."""

    order = 2
    defaults = FLOW_MATCH
    step_defaults = CHURN

    def _compile(self, asked: Request, mu: float | None = None, **churn: float) -> Table:
        points, levels = self._grid(asked)
        step, second = two_stage(len(points), asked.begin)
        raised, noise = churned(levels[step], 2 * len(points) - 1, **churn)
        table = Table.blank(points[step + second], levels[step + second], step - step[0])
        table.put(
            b=np.where(second, 1, levels[step] / raised), churn=np.where(second, 0, noise), draw=raised > levels[step]
        )
        return trapezoid(table, second, levels[step + 1] - raised)
