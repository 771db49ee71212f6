import numpy as np

from mdiff.noise.schedule import timestep_of
from mdiff.scheduler.family import LATENT, RESPACED, SIGMA, Request, SigmaScheduler, Table
from mdiff.scheduler.integral import ancestral, two_stage


class KDPM2DiscreteScheduler(SigmaScheduler):
    """DPM-Solver-2: Euler to the geometric mean of two sigmas, then the whole step with the slope found there.

    Karras et al. 2022, Algorithm 2 with the midpoint of Lu et al. 2022; k-diffusion's `sample_dpm_2`. 2 n - 1
    evaluations for n steps; the last step is Euler's alone.
    """

    order = 2
    defaults = SIGMA | LATENT | RESPACED
    rounded = ("karras",)
    noisy = False

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked, np.float32 if self.respacing is None else np.float64)
        step, second = two_stage(len(points), asked.begin)
        now, then = levels[step], levels[step + 1]
        down, up = ancestral(now, then) if self.noisy else (then, 0 * then)
        middle = np.sqrt(now * down)
        halfway = timestep_of(middle.astype(np.float32), self.training_sigmas).astype(points.dtype)
        t, sigma = np.where(second, halfway, points[step]), np.where(second, middle, now)
        table = self._table(t, sigma, levels, step - step[0]).put(dst=-1, draw=second & self.noisy)
        table.mix(x=~second, s=second, m=np.where(second, down, middle) - now, n=np.where(second, up, 0))
        return table.mix("keep", x=~second, s=second)


class KDPM2AncestralDiscreteScheduler(KDPM2DiscreteScheduler):
    """DPM-Solver-2 to below the next sigma, then fresh noise up to it: k-diffusion's `sample_dpm_2_ancestral`."""

    defaults = KDPM2DiscreteScheduler.defaults
    noisy = True
