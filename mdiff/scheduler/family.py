"""Three ways to write one noising process, and the runs through it: by timestep, by sigma, by log-SNR."""

from functools import cached_property
from typing import Any

import numpy as np

from mdiff.errors import SchedulerError
from mdiff.noise import schedule
from mdiff.noise.prediction import clip_function, data_weights, noise_weights
from mdiff.scheduler.base import Request, Scheduler
from mdiff.scheduler.table import Table

TRAIN: dict[str, Any] = {"num_train_timesteps": 1000}
BETAS = TRAIN | {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "trained_betas": None}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012}
EPSILON = {"prediction_type": "epsilon"}
RESPACED = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
SPACED = {"timestep_spacing": "linspace", "steps_offset": 0}
LEADING = SPACED | {"timestep_spacing": "leading"}
CLIP = {"clip_sample": False, "clip_sample_range": 1.0}
THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
ZERO_SNR = {"rescale_betas_zero_snr": False}
LOWEST = {"lambda_min_clipped": -float("inf"), "variance_type": None}
SHIFTED = {"use_dynamic_shifting": False, "time_shift_type": "exponential"}
CHURN = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": float("inf"), "s_noise": 1.0}
FLOW = {"use_flow_sigmas": False, "flow_shift": 1.0} | SHIFTED
LOG_SNR = BETAS | EPSILON | THRESHOLD | RESPACED | FLOW  # all solvers in lambda
DISCRETE = BETAS | CLIP | EPSILON | THRESHOLD | ZERO_SNR  # most solvers at timesteps
SIGMA = BETAS | EPSILON | SPACED  # all solvers in sigma


class TrainedScheduler(Scheduler):
    """A solver for a network that was trained on discrete betas."""

    zero_snr_floor = 2.0**-24  # what stands for alpha_bar = 0 after rescale_betas_zero_snr
    rounded: tuple[str, ...] = ()  # respacings whose timesteps are rounded

    @cached_property
    def betas(self) -> np.ndarray:
        """The training betas, float32."""
        return schedule.training_betas(self.own)

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """alpha_bar at every training timestep, float32."""
        products = schedule.alphas_cumprod(self.betas)
        products[-1] = self.zero_snr_floor if self.own.get("rescale_betas_zero_snr") else products[-1]
        return products

    @cached_property
    def training_sigmas(self) -> np.ndarray:
        """sqrt((1 - alpha_bar) / alpha_bar) at every training timestep, float32."""
        return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)

    def _respaced(self, kind: str, high: float, low: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (timesteps, sigmas) of the noise levels that the options name, float64."""
        least, most = self.own.get("sigma_min"), self.own.get("sigma_max")
        ends = high if most is None else most, low if least is None else least
        sigmas = schedule.respaced_sigmas(kind, *ends, np.linspace(0, 1, steps))
        points = schedule.timestep_of(sigmas, self.training_sigmas)
        return np.round(points) if kind in self.rounded else points, sigmas

    def _alpha_bar(self, timesteps: np.ndarray) -> np.ndarray:
        """Return alpha_bar in float64; below timestep 0 it is that of the final sample."""
        last = 1.0 if self.own.get("set_alpha_to_one", True) else self.alphas_cumprod[0]
        return np.where(timesteps >= 0, self.alphas_cumprod.astype(np.float64)[np.maximum(timesteps, 0)], last)


class TimestepScheduler(TrainedScheduler):
    """x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) n, at integer training timesteps."""

    zero_snr_floor = 0.0

    def _grid(self, asked: Request) -> np.ndarray:
        """Return the descending int64 timesteps of a run, all of it."""
        points, train = asked.timesteps, len(self)
        points = schedule.spaced_timesteps(self.own, asked.steps, train, False) if points is None else points
        points = np.round(points).astype(np.int64)
        if np.any(np.diff(points) >= 0) or points[0] >= train or points[-1] < 0:
            limits = f"descend and lie within 0 .. {train - 1}; use fewer steps, steps_offset=0 or trailing spacing"
            raise SchedulerError(f"{len(points)} timesteps from {points[0]} to {points[-1]} must {limits}")
        return points

    def _table(self, points: np.ndarray, previous: np.ndarray, **options: Any) -> tuple[Table, np.ndarray, np.ndarray]:
        """Return a table whose d is the data prediction, and alpha_bar at each timestep and after each step."""
        now, then = self._alpha_bar(points), self._alpha_bar(previous)
        options = {"clip": clip_function(self.own), "end_sigma": float(np.sqrt((1 - then[-1]) / then[-1]))} | options
        table = Table.blank(points, np.sqrt((1 - now) / now), **options)
        a, b = data_weights(self.own.prediction_type, np.sqrt(now), np.sqrt(1 - now))
        return table.put(a=a, b=b), now, then

    def _levels(self, timesteps: np.ndarray) -> tuple[Any, Any]:
        level = self._alpha_bar(timesteps.astype(np.int64))
        return np.sqrt(level), np.sqrt(1 - level)

    def get_velocity(self, sample: Any, noise: Any, timesteps: Any) -> Any:
        """Return v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) sample, the target of v-prediction."""
        return self.add_noise(noise, sample * -1.0, timesteps)


class SigmaScheduler(TrainedScheduler):
    """x = x0 + sigma n (Karras et al. 2022); the network sees x / sqrt(sigma^2 + 1)."""

    reports = "pred_original_sample"

    def _grid(self, asked: Request, kind: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) timesteps, of type `kind`, and the (n + 1,) sigmas of a run, float64 of float32 values."""
        points = asked.timesteps
        points = schedule.spaced_timesteps(self.own, asked.steps, len(self), False) if points is None else points
        levels = np.interp(points.astype(kind), np.arange(len(self)), self.training_sigmas)
        if self.respacing is not None:
            points, levels = self._respaced(self.respacing, levels[0], levels[-1], len(levels))
        final = self.training_sigmas[0] if self.own.get("final_sigmas_type") == "sigma_min" else 0.0
        return points.astype(kind), np.append(levels, final).astype(np.float32).astype(np.float64)

    def _steps(self, asked: Request) -> tuple:
        """Return (timesteps, sigma before, sigma after) of each step from where the run begins, and all its sigmas."""
        points, levels = self._grid(asked)
        return points[asked.begin :], levels[asked.begin : -1], levels[asked.begin + 1 :], levels

    def _table(self, points: np.ndarray, sigma: np.ndarray, levels: np.ndarray, step: Any = None) -> Table:
        """Return a table whose m is the derivative (x - d) / sigma at each evaluation's `sigma`."""
        largest, alpha = float(levels.max()), 1 / np.sqrt(sigma**2 + 1)
        scale = (largest**2 + 1) ** 0.5 if self.own.timestep_spacing == "leading" else largest
        options = {"clip": clip_function(self.own), "init_scale": scale, "end_sigma": float(levels[-1])}
        a, b = data_weights(self.own.prediction_type, alpha, sigma * alpha)
        return Table.blank(points, sigma, step, **options).put(s=alpha, a=a * alpha, b=b, c=1, e=-1, r=sigma)


class LogSnrScheduler(TrainedScheduler):
    """x = alpha x0 + sigma n, stepping in lambda = log(alpha / sigma) (Lu et al. 2022); `levels` are sigma / alpha."""

    run_defaults = Scheduler.run_defaults | {"mu": None}
    choices = Scheduler.choices | {"prediction_type": ("epsilon", "v_prediction", "sample", "flow_prediction")}
    rounded: tuple[str, ...] = ("karras",)
    repeats_last = False  # a re-spaced run that does not end at zero repeats its last sigma

    def _grid(self, asked: Request) -> tuple[np.ndarray, np.ndarray]:
        """Return the int64 timesteps of a run from where it begins, and its sigmas, float64 of float32 values."""
        own, train, points, moved = self.own, len(self), asked.timesteps, True
        if self.respacing is not None:
            high, low = self.training_sigmas[[-1, 0]].tolist()
            points, levels = self._respaced(self.respacing, high, low, asked.steps)
        elif own.use_flow_sigmas:
            levels = self._flow_sigmas(asked)
            points = levels * train
        else:
            if points is None:
                below = np.searchsorted(-np.log(self.training_sigmas[::-1]), own.get("lambda_min_clipped", -np.inf))
                points = schedule.spaced_timesteps(own, asked.steps, train - int(below), True)
            points, moved = np.round(points).astype(np.int64), False
            levels = np.interp(points, np.arange(train), self.training_sigmas)
        final = levels[-1] if moved and self.repeats_last else self.training_sigmas[0]
        levels = np.append(levels, 0.0 if own.get("final_sigmas_type") == "zero" else final)
        return points.astype(np.int64)[asked.begin :], levels.astype(np.float32).astype(np.float64)[asked.begin :]

    def _flow_sigmas(self, asked: Request) -> np.ndarray:
        """Return the levels of the straight path x = (1 - sigma) x0 + sigma n, shifted towards noise."""
        levels = 1 - np.linspace(1, 1 / len(self), asked.steps + 1)[:0:-1]
        return schedule.shifted_levels(levels, self.own.flow_shift, asked.mu, self.own)

    def _split(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (alpha, sigma, lambda) at each level."""
        if self.own.use_flow_sigmas:
            return 1 - levels, levels, np.log((1 - levels) / levels)
        alpha = 1 / np.sqrt(levels**2 + 1)
        return alpha, levels * alpha, -np.log(levels)

    def _table(self, points: np.ndarray, levels: np.ndarray, noise_prediction: bool) -> Table:
        """Return a table whose m is the data (or noise) prediction at each of the levels but the last."""
        table = Table.blank(points, levels[:-1], clip=clip_function(self.own), end_sigma=float(levels[-1]))
        alpha, sigma, _ = self._split(levels[:-1])
        if noise_prediction and table.clip is not None:
            table.put(c=1, e=-alpha, r=sigma)
        weights = noise_weights if noise_prediction and table.clip is None else data_weights
        flow = self.own.prediction_type == "flow_prediction"  # meant for use_flow_sigmas, where sigma is the level
        a, b = weights(self.own.prediction_type, alpha, levels[:-1] if flow else sigma)
        return table.put(a=a, b=b)

    def _levels(self, timesteps: np.ndarray) -> tuple[Any, Any]:
        return self._split(super()._levels(timesteps)[1])[:2]
