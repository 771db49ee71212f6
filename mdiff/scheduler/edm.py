import numpy as np

from mdiff.noise.prediction import clip_function
from mdiff.noise.schedule import linspace, respaced_sigmas
from mdiff.scheduler.base import Scheduler
from mdiff.scheduler.dpm_solver import DPM
from mdiff.scheduler.family import CHURN, EPSILON, THRESHOLD, TRAIN, Request, Table
from mdiff.scheduler.integral import churned, multistep

EDM = TRAIN | {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "sigma_schedule": "karras", "rho": 7.0}
KINDS = {"prediction_type": ("epsilon", "v_prediction"), "algorithm_type": ("dpmsolver++", "sde-dpmsolver++")}


class EDMScheduler(Scheduler):
    """x = x0 + sigma n for networks preconditioned as in Karras et al. 2022, Table 1; the timestep is log(sigma) / 4.

    https://arxiv.org/abs/2206.00364. A single exponential step starts at sigma_max, where diffusers' is at sigma_min.
    """

    choices = Scheduler.choices | KINDS

    def _grid(self, ramp: np.ndarray, least: float | None, begin: int) -> np.ndarray:
        """Return the (n + 1,) sigmas of a run along `ramp` that ends at 0, or at `least` (None: where it was)."""
        levels = respaced_sigmas(self.own.sigma_schedule, self.own.sigma_max, self.own.sigma_min, ramp, self.own.rho)
        final = 0.0 if self.own.final_sigmas_type == "zero" else levels[-1] if least is None else least
        return np.append(levels, final).astype(np.float32).astype(np.float64)[begin:]

    def _table(self, levels: np.ndarray, raised: np.ndarray) -> Table:
        """Return a table that reads x at `levels` and whose d is the data prediction at `raised`."""
        data, sign, sigma = self.own.sigma_data, 1 if self.own.prediction_type == "epsilon" else -1, levels[:-1]
        t, norm, scale = (0.25 * np.log(sigma)).astype(np.float32), raised**2 + data**2, self.own.sigma_max**2 + 1
        ends = {"init_scale": scale**0.5, "end_sigma": float(levels[-1])}
        table = Table.blank(t, sigma, clip=clip_function(self.own), **ends)
        return table.put(s=1 / np.sqrt(sigma**2 + data**2), a=data**2 / norm, b=sign * raised * data / np.sqrt(norm))


class EDMEulerScheduler(EDMScheduler):
    """Euler's method with churn: Karras et al. 2022, Algorithm 2 uncorrected, on EDM networks."""

    defaults = EDM | EPSILON | {"final_sigmas_type": "zero"}
    step_defaults = CHURN
    reports = "pred_original_sample"

    def _compile(self, asked: Request) -> Table:
        levels = self._grid(np.linspace(0, 1, asked.steps), None, asked.begin)
        raised, noise = churned(levels[:-1], asked.steps, asked)
        table = self._table(levels, raised).put(c=1, e=-1, r=raised, churn=noise, draw=raised > levels[:-1])
        return table.mix(x=1, m=levels[1:] - raised)


class EDMDPMSolverMultistepScheduler(EDMScheduler):
    """DPM-Solver++ multistep (see DPMSolverMultistepScheduler) with alpha = 1, on EDM networks."""

    defaults = EDM | EPSILON | THRESHOLD | DPM | {"euler_at_final": False}

    def _compile(self, asked: Request) -> Table:
        levels = self._grid(linspace(0, 1, asked.steps), self.own.sigma_min, asked.begin)
        table, ones = self._table(levels, levels[:-1]), np.ones_like(levels)
        return multistep(table, self.own, ones, levels, -np.log(levels), asked.steps, levels[-1] == 0)
