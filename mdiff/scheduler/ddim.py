from typing import Any

import numpy as np

from mdiff.noise.prediction import noise_weights
from mdiff.scheduler.family import DISCRETE, LEADING, Request, Table, TimestepScheduler


class DDIMScheduler(TimestepScheduler):
    """Equation 12 of Song et al. 2020, https://arxiv.org/abs/2010.02502; `eta` = 0 is deterministic, 1 is DDPM.

    The timestep before t is t - T // n whatever the spacing, as in diffusers. A clipped data prediction leaves the
    noise prediction as it is unless `use_clipped_model_output`.
    """

    defaults = DISCRETE | LEADING | {"set_alpha_to_one": True, "clip_sample": True}
    step_defaults = TimestepScheduler.step_defaults | {"eta": 0.0, "use_clipped_model_output": False}
    reports = "pred_original_sample"
    memoryless = True
    custom = ("timesteps",)

    def _compile(self, asked: Request) -> Table:
        points = self._grid(asked)[asked.begin :]
        table, now, then = self._table(points, points - len(self) // asked.steps)
        deviation = asked.eta * np.sqrt((1 - then) / (1 - now) * (1 - now / then))
        toward_noise = np.sqrt(1 - then - deviation**2)
        if asked.use_clipped_model_output:  # n = (x - sqrt(alpha_bar) m) / sqrt(1 - alpha_bar)
            x, out, m = toward_noise / np.sqrt(1 - now), 0, -toward_noise * np.sqrt(now / (1 - now))
        else:
            a, b = noise_weights(self.own.prediction_type, np.sqrt(now), np.sqrt(1 - now))
            x, out, m = toward_noise * a, toward_noise * b, 0
        return table.mix(x=x, o=out, m=np.sqrt(then) + m, n=deviation).put(draw=asked.eta > 0)

    def _locate(self, timestep: Any, **options: Any) -> tuple[Table, int]:
        if float(timestep) in self.timesteps:
            return super()._locate(timestep, **options)
        return self.table(self.num_inference_steps or len(self), timesteps=[int(timestep)], **options), 0


class DDPMScheduler(TimestepScheduler):
    """Equation 7 of Ho et al. 2020, https://arxiv.org/abs/2006.11239: the posterior of the next listed timestep.

    The variance is the posterior's (fixed_small) or beta (fixed_large), at least 1e-20, and none at timestep 0. The
    _log types are the same deviations; where diffusers takes the root of a logarithm, beta's root is meant.
    """

    defaults = DISCRETE | LEADING | {"variance_type": "fixed_small", "clip_sample": True}
    choices = TimestepScheduler.choices | {"variance_type": TimestepScheduler.choices["variance_type"][1:]}  # not None
    reports = "pred_original_sample"
    memoryless = True
    custom = ("timesteps",)

    def _compile(self, asked: Request) -> Table:
        points = self._grid(asked)[asked.begin :]
        table, now, then = self._table(points, np.append(points[1:], -1))
        alpha, large = now / then, self.own.variance_type.startswith("fixed_large")
        variance = 1 - alpha if large else np.maximum((1 - then) / (1 - now) * (1 - alpha), 1e-20)
        m, x = np.sqrt(then) * (1 - alpha) / (1 - now), np.sqrt(alpha) * (1 - then) / (1 - now)
        return table.mix(x=x, m=m, n=np.where(points > 0, np.sqrt(variance), 0)).put(draw=points > 0)
