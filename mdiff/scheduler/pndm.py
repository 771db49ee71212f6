from collections.abc import Iterator

import numpy as np

from mdiff.errors import SchedulerError
from mdiff.noise.schedule import linspace
from mdiff.scheduler.base import Scheduler
from mdiff.scheduler.family import BETAS, EPSILON, LEADING, TRAIN, Request, Table, TimestepScheduler
from mdiff.scheduler.table import SAVED, SLOTS, H, M, X

ADAMS_BASHFORTH = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


class PNDMScheduler(TimestepScheduler):
    """Pseudo numerical methods of Liu et al. 2022, https://arxiv.org/abs/2202.09778: transfer along averaged outputs.

    Adams-Bashforth of order 4 (PLMS), started by three pseudo Runge-Kutta steps of four evaluations each, or, with
    `skip_prk_steps`, by one improved Euler step, which evaluates the second timestep twice: n + 1 evaluations for n
    steps. The repeat (huggingface/diffusers 9090) belongs to the first step, also where a run begins in the middle.
    """

    defaults = BETAS | EPSILON | LEADING | {"skip_prk_steps": False, "set_alpha_to_one": False}
    choices = TimestepScheduler.choices | {"prediction_type": ("epsilon", "v_prediction")}

    def _compile(self, asked: Request) -> Table:
        points, runge_kutta = self._grid(asked), not self.own.skip_prk_steps
        if runge_kutta and len(points) < 4:
            raise SchedulerError(f"steps={len(points)} is too few for Runge-Kutta; use 4, or skip_prk_steps=True")
        ratio = self.own.num_train_timesteps // len(points)
        plan = list(self._plan(points, ratio, runge_kutta))
        if asked.begin > 0:
            points = points[plan[asked.begin][0] :]
            plan = list(self._plan(points, ratio, runge_kutta and len(points) >= 4))
        step, seen, start, stop = (np.array(column) for column in list(zip(*plan, strict=True))[:4])
        table, _, then = self._table(seen, stop)
        table.put(a=0, b=1, step=step, next=0)
        p, q = self._transfer(self._alpha_bar(start), then)
        for i, (*_, base, outputs, slot, saved) in enumerate(plan):
            table.dst[i], table.next[i, base], table.keep[i, SAVED] = slot, p[i], not saved
            for column, weight in outputs.items():
                table.next[i, column] = q[i] * weight
            for column, weight in saved.items():
                table.keep[i, column] = weight if column in (X, SAVED) else weight * q[i] / p[i]
        return table

    def _plan(self, points: np.ndarray, ratio: int, runge_kutta: bool) -> Iterator[tuple]:
        """Yield (step, evaluated at, transfer from, to, base sample, weights of outputs, slot, what is saved) a row."""
        for i in range(3 if runge_kutta else 0):
            t, middle, end = points[i], points[i + 1] + ratio // 2, points[i + 1]
            yield i, t, t, t - ratio // 2, X, {M: 1}, i, {X: 1}
            yield i, middle, t, middle, SAVED, {M: 1}, 3, {}
            yield i, middle, t, end, SAVED, {M: 1}, -1, {SAVED: 1, H + i: 1 / 6, H + 3: 1 / 3, M: 1 / 3}
            yield i, end, t, end, SAVED, {M: 1 / 6}, -1, {}
        if not runge_kutta:
            yield 0, points[0], points[0], points[0] - ratio, X, {M: 1}, 0, {X: 1}
        if not runge_kutta and len(points) > 1:
            yield 0, points[1], points[1] + ratio, points[1], SAVED, {M: 1 / 2, H: 1 / 2}, -1, {}
        for i in range(3 if runge_kutta else 1, len(points)):
            own, *past = ADAMS_BASHFORTH[min(i, 3)]
            outputs = {M: own} | {H + (i - lag) % SLOTS: weight for lag, weight in enumerate(past, 1)}
            yield i, points[i], points[i], points[i] - ratio, X, outputs, i % SLOTS, {}

    def _transfer(self, now: np.ndarray, then: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of the sample and of the output in equation 11."""
        p = np.sqrt(then / now)
        q = -(then - now) / (now * np.sqrt(1 - then) + np.sqrt(now * (1 - now) * then))
        if self.own.prediction_type == "v_prediction":
            return p + q * np.sqrt(1 - now), q * np.sqrt(now)
        return p, q


class IPNDMScheduler(Scheduler):
    """Improved PNDM for networks that predict v at u = 1 .. 0, where sigma = sin^2(pi u / 2) and alpha^2 = 1 - sigma^2.

    PNDM without the Runge-Kutta start; sigma and alpha are float32.
    """

    defaults = TRAIN | {"trained_betas": None}

    def _compile(self, asked: Request) -> Table:
        u, given = np.append(linspace(1, 0, asked.steps + 1)[:-1], np.float32(0)), self.own.trained_betas
        sigma = np.sin(u * np.float32(np.pi / 2)) ** 2 if given is None else np.asarray(given, np.float32)
        alpha = np.sqrt(1 - sigma**2)
        t = (np.arctan2(sigma, alpha) / np.float32(np.pi) * 2)[asked.begin : asked.steps]
        alpha, sigma = (v[asked.begin : asked.steps + 1].astype(np.float64) for v in (alpha, sigma))
        pure = alpha[:-1] < 1e-8  # from noise alone m = x, and the data prediction is m - x = 0
        x = np.where(pure, 0, alpha[1:] / np.maximum(alpha[:-1], 1e-8))
        table = Table.blank(t, sigma[:-1], end_sigma=float(sigma[-1])).put(c=sigma[:-1], e=alpha[:-1]).mix(x=x)
        order, padded = np.minimum(np.arange(len(t)), 3), np.array([(*row, 0, 0, 0)[:4] for row in ADAMS_BASHFORTH])
        return table.add((sigma[1:] - x * sigma[:-1]) * padded[order].T)
