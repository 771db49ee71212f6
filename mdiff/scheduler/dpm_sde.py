import numpy as np

from mdiff.noise.schedule import timestep_of
from mdiff.scheduler.family import LATENT, RESPACED, SIGMA, Request, SigmaScheduler, Table
from mdiff.scheduler.integral import ancestral, two_stage


class DPMSolverSDEScheduler(SigmaScheduler):
    """DPM-Solver++ (2S) with ancestral noise at the midpoint and at the end: k-diffusion's `sample_dpmpp_sde`.

    Both noises of a step are increments of one Brownian path in sigma; the second is the first, rescaled, plus an
    independent rest, so two plain draws give the same law as a Brownian tree; they come from the image's own stream,
    and diffusers' `noise_sampler_seed` only stays in the config. 2 n - 1 evaluations for n steps.
    """

    order = 2
    defaults = SIGMA | LATENT | RESPACED | {"noise_sampler_seed": None}
    step_defaults = SigmaScheduler.step_defaults | {"s_noise": 1.0}

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked, np.float64)
        step, second = two_stage(len(points), asked.begin)
        now, then = levels[step], levels[step + 1]
        middle = np.sqrt(now * then)
        t = np.where(second, timestep_of(middle, self.training_sigmas), points[step])
        table = self._table(t, np.where(second, middle, now), levels, step - step[0])
        down, up = ancestral(now, np.where(second, then, middle))
        end_down, end_up = ancestral(now, then)
        seen, rest = np.sqrt((now - middle) / (now - then)), np.sqrt((middle - then) / (now - then))
        noise = asked.s_noise * up * np.where(second, rest, 1)
        table.mix(x=np.where(second, 0, down / now), s=second, m=1 - down / now, n=noise)
        table.mix("keep", x=np.where(second, 0, end_down / now), n=np.where(second, 0, asked.s_noise * end_up * seen))
        return table.put(c=0, e=1, r=1, dst=-1, draw=then > 0)
