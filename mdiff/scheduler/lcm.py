import numpy as np

from mdiff.scheduler.config import SchedulerError
from mdiff.scheduler.family import DISCRETE, LATENT, LEADING, Request, Table, TimestepScheduler
from mdiff.scheduler.prediction import data_weights, noise_weights

SIGMA_DATA = 0.5
DISTILLED = DISCRETE | LATENT | LEADING | {"set_alpha_to_one": True}
DISTILLED |= {"beta_schedule": "scaled_linear", "original_inference_steps": 50, "timestep_scaling": 10.0}


class DistilledScheduler(TimestepScheduler):
    """A solver for a network that was distilled on `original_inference_steps` of the training timesteps."""

    run_defaults = TimestepScheduler.run_defaults | {"original_inference_steps": None, "strength": 1.0}
    custom = ("timesteps",)
    all_when_given = False  # original_inference_steps of a run, rather than the config's, stand for all timesteps

    def _distilled(self, asked: Request, original_inference_steps: int | None, strength: float) -> np.ndarray:
        """Return the timesteps of a run: an even choice of those that the network was distilled on."""
        if asked.timesteps is not None:
            return self._grid(asked)[asked.steps - int(asked.steps * strength) :]
        given, count = original_inference_steps, len(self)
        original = self.config.original_inference_steps if given is None else given
        original = count if self.all_when_given and given is not None else original
        origin = np.arange(1, int(original * strength) + 1) * (count // original) - 1
        if asked.steps > len(origin):
            limits = f"{len(origin)} that the model was distilled on (of {count}, strength={strength})"
            raise SchedulerError(f"steps={asked.steps} is more than the {limits}")
        chosen = np.floor(np.linspace(0, len(origin), asked.steps, endpoint=False)).astype(np.int64)
        return self._checked(origin[::-1][chosen])[asked.begin :]


class LCMScheduler(DistilledScheduler):
    """Algorithm 3 of Luo et al. 2023, https://arxiv.org/abs/2310.04378: denoise at once, then noise to the next level.

    No noise after the last step. The boundary condition's scalings are those of consistency models.
    """

    defaults = DISTILLED
    reports = "denoised"

    def _compile(self, asked: Request, original_inference_steps=None, strength=1.0, **_: object) -> Table:
        points = self._distilled(asked, original_inference_steps, strength)
        table, _now, then = self._table(points, np.append(points[1:], points[-1]))
        scaled, last = points * self.config.timestep_scaling, np.arange(len(points)) == len(points) - 1
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

    def _compile(self, asked: Request, eta=0.3, original_inference_steps=None, strength=1.0, **_: object) -> Table:
        if not 0 <= eta <= 1:
            raise SchedulerError(f"TCDScheduler: eta={eta!r} must lie within 0 .. 1")
        points = self._distilled(asked, original_inference_steps, strength)
        previous = np.append(points[1:], 0)
        table, now, then = self._table(points, previous, clip=None)
        denoised = self._alpha_bar(np.floor(np.float32(1 - eta) * previous.astype(np.float32)).astype(np.int64))
        mix = self.config.prediction_type, np.sqrt(now), np.sqrt(1 - now)
        a, b = np.sqrt(denoised) * data_weights(*mix) + np.sqrt(1 - denoised) * noise_weights(*mix)
        renoised = (np.arange(len(points)) < len(points) - 1) & (eta > 0)
        ratio = np.where(renoised, then / denoised, 1)
        return table.put(a=a, b=b, draw=renoised).mix(m=np.sqrt(ratio), n=np.sqrt(1 - ratio))
