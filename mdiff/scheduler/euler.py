import numpy as np

from mdiff.noise.schedule import timestep_of
from mdiff.scheduler.family import CHURN, RESPACED, SIGMA, ZERO_SNR, Request, SigmaScheduler, Table
from mdiff.scheduler.integral import ancestral, churned


class EulerDiscreteScheduler(SigmaScheduler):
    """Euler's method on dx / dsigma = (x - D(x; sigma)) / sigma: Karras et al. 2022, Algorithm 2 uncorrected.

    https://arxiv.org/abs/2206.00364. With `s_churn` the noise is added after the network has seen x, as in diffusers.
    """

    defaults = SIGMA | RESPACED | ZERO_SNR | {"interpolation_type": "linear", "timestep_type": "discrete"}
    defaults |= {"sigma_min": None, "sigma_max": None, "final_sigmas_type": "zero"}
    step_defaults = CHURN
    custom = ("timesteps", "sigmas")

    def _grid(self, asked: Request, kind: type = np.float32) -> tuple:
        if asked.sigmas is not None:
            levels = asked.sigmas.astype(np.float32)
            points: np.ndarray = timestep_of(levels[:-1], self.training_sigmas)
        else:
            points, levels = super()._grid(asked, kind)
            if self.own.interpolation_type == "log_linear" and self.respacing is None:
                high, low = np.log(self.training_sigmas[[-1, 0]])
                levels = np.exp(np.linspace(high, low, len(points) + 1))
        levels = levels.astype(np.float32).astype(np.float64)
        if self.own.timestep_type == "continuous" and self.own.prediction_type == "v_prediction":
            points = 0.25 * np.log(levels[:-1])
        return points.astype(kind), levels

    def _compile(self, asked: Request) -> Table:
        points, now, then, levels = self._steps(asked)
        raised, noise = churned(now, len(levels) - 1, asked)
        table = self._table(points, now, levels).mix(x=1, m=then - raised)
        if self.own.prediction_type == "epsilon":
            table.put(b=-raised)
        return table.put(r=raised, churn=noise, draw=raised > now)


class EulerAncestralDiscreteScheduler(SigmaScheduler):
    """Euler's method to below the next sigma, then fresh noise up to it: k-diffusion's `sample_euler_ancestral`.

    Noise is drawn at every step, also at the last one, where its weight is zero.
    """

    defaults = SIGMA | ZERO_SNR

    def _compile(self, asked: Request) -> Table:
        points, now, then, levels = self._steps(asked)
        down, up = ancestral(now, then)
        return self._table(points, now, levels).mix(x=1, m=down - now, n=up).put(draw=True)
