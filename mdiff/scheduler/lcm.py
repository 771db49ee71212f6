import numpy as np

from mdiff.errors import SchedulerError
from mdiff.noise.prediction import data_weights, noise_weights
from mdiff.scheduler.family import DISCRETE, LATENT, LEADING, Request, Table, TimestepScheduler

SIGMA_DATA = 0.5
DISTILLED = DISCRETE | LATENT | LEADING | {"set_alpha_to_one": True}
DISTILLED |= {"beta_schedule": "scaled_linear", "original_inference_steps": 50, "timestep_scaling": 10.0}


class DistilledScheduler(TimestepScheduler):
    """A solver for a network that was distilled on `original_inference_steps` of the training timesteps."""

    run_defaults = TimestepScheduler.run_defaults | {"original_inference_steps": None, "strength": 1.0}
    custom = ("timesteps",)
    all_when_given = False  # original_inference_steps of a run, rather than the config's, stand for all timesteps

    def _grid(self, asked: Request) -> np.ndarray:
        """Return the timesteps of a run: an even choice of those that the network was distilled on."""
        steps, strength, given, train = asked.steps, asked.strength, asked.original_inference_steps, len(self)
        if asked.timesteps is not None:
            return super()._grid(asked)[steps - int(steps * strength) :]
        original = self.own.original_inference_steps if given is None else train if self.all_when_given else given
        origin = np.arange(int(original * strength), 0, -1) * (train // original) - 1
        if steps > len(origin):
            limits = f"{len(origin)} that the model was distilled on (of {train}, strength={strength})"
            raise SchedulerError(f"steps={steps} is more than the {limits}")
        chosen = np.floor(np.linspace(0, len(origin), steps, endpoint=False)).astype(np.int64)
        return super()._grid(Request(timesteps=origin[chosen]))[asked.begin :]


class LCMScheduler(DistilledScheduler):
    """Algorithm 3 of Luo et al. 2023, https://arxiv.org/abs/2310.04378: denoise at once, then noise to the next level.

    No noise after the last step. The boundary condition's scalings are those of consistency models.
    """

    defaults = DISTILLED
    reports = "denoised"

    def _compile(self, asked: Request) -> Table:
        points = self._grid(asked)
        table, _now, then = self._table(points, np.append(points[1:], points[-1]))
        scaled, last = points * self.own.timestep_scaling, np.arange(len(points)) == len(points) - 1
        norm = scaled**2 + SIGMA_DATA**2
        table.mix(m=np.where(last, 1, np.sqrt(then)), n=np.where(last, 0, np.sqrt(1 - then)))
        return table.put(c=SIGMA_DATA**2 / norm, e=scaled / np.sqrt(norm), draw=~last)


class TCDScheduler(DistilledScheduler):
    """Strategic stochastic sampling, Algorithm 4 of Zheng et al. 2024, https://arxiv.org/abs/2402.19159.

    Denoise to s = (1 - eta) t', then add noise up to the next timestep t'; eta = 0 is deterministic, 1 is LCM-like.
    """

    defaults = DISTILLED
    step_defaults = TimestepScheduler.step_defaults | {"eta": 0.3}
    reports = "pred_noised_sample"
    all_when_given = True

    def _compile(self, asked: Request) -> Table:
        if not 0 <= asked.eta <= 1:
            raise SchedulerError(f"TCDScheduler: eta={asked.eta!r} must lie within 0 .. 1")
        points = self._grid(asked)
        previous = np.append(points[1:], 0)
        table, now, then = self._table(points, previous, clip=None)
        denoised = self._alpha_bar(np.floor(np.float32(1 - asked.eta) * previous.astype(np.float32)).astype(np.int64))
        mix = self.own.prediction_type, np.sqrt(now), np.sqrt(1 - now)
        a, b = np.sqrt(denoised) * data_weights(*mix) + np.sqrt(1 - denoised) * noise_weights(*mix)
        renoised = (np.arange(len(points)) < len(points) - 1) & (asked.eta > 0)
        ratio = np.where(renoised, then / denoised, 1)
        return table.put(a=a, b=b, draw=renoised).mix(m=np.sqrt(ratio), n=np.sqrt(1 - ratio))
