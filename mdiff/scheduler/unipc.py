from typing import Any

import numpy as np

from mdiff.errors import SchedulerError
from mdiff.noise.schedule import shifted_levels
from mdiff.scheduler.family import LOG_SNR, SPACED, ZERO_SNR, LogSnrScheduler, Request, Table
from mdiff.scheduler.integral import adams_weights, lagged, multistep_orders


class UniPCMultistepScheduler(LogSnrScheduler):
    """The unified predictor-corrector of Zhao et al. 2023, https://arxiv.org/abs/2302.04867, Algorithms 5 to 8.

    One evaluation a step: the output at the predicted sample corrects that sample, then predicts the next. The weights
    are those of exponential Adams formulas, but for the lowest orders, where the paper puts B(h) / 2. A last step to
    sigma 0 has order 1 (with bh1 that is NaN in diffusers). `disable_corrector` lists steps left uncorrected.
    """

    defaults = LOG_SNR | SPACED | ZERO_SNR | {"solver_order": 2, "solver_type": "bh2", "predict_x0": True}
    defaults |= {"solver_p": None, "disable_corrector": [], "lower_order_final": True, "final_sigmas_type": "zero"}
    defaults |= {"shift_terminal": None, "sigma_min": None, "sigma_max": None}
    choices = LogSnrScheduler.choices | {"solver_type": ("bh1", "bh2")}
    custom = ("sigmas",)
    repeats_last = True

    def _flow_sigmas(self, asked: Request) -> np.ndarray:
        levels = np.linspace(1, 1 / len(self), asked.steps + 1)[:-1] if asked.sigmas is None else asked.sigmas
        levels = shifted_levels(levels, self.own.flow_shift, asked.mu, self.own)
        return np.append(min(levels[0], 1 - 1e-6), levels[1:])  # pure noise has no log-SNR

    def _compile(self, asked: Request) -> Table:
        if asked.sigmas is not None and not self.own.use_flow_sigmas:
            raise SchedulerError("UniPCMultistepScheduler takes custom sigmas only with use_flow_sigmas=True")
        points, levels = self._grid(asked)
        alpha, sigma, log_snr = self._split(levels)
        data, noise = (alpha, sigma) if self.own.predict_x0 else (sigma, alpha)
        rows = np.arange(len(points))
        orders = multistep_orders(np.diff(log_snr), self.own.solver_order)
        orders = np.minimum(orders, len(rows) - rows) if self.own.lower_order_final else orders
        orders[-1] = 1 if levels[-1] == 0 else orders[-1]
        carry, step = noise[1:] / noise[:-1], (log_snr[:-1], log_snr[1:], data[1:], orders)

        # The sample to go on from: S carried over the step before, and the outputs then known, the newest included.
        corrected = (rows > 0) & ~np.isin(rows + asked.begin - 1, self.own.disable_corrector)
        table = self._table(points, levels, not self.own.predict_x0)
        table.mix("keep", x=~corrected, s=np.where(corrected, lagged(carry, 1), 0))
        table.add(self._weights(*(lagged(values, 1) for values in step), corrector=True), "keep", corrected)
        table.next[:] = table.keep * carry[:, None]
        return table.add(self._weights(*step, corrector=False))

    def _weights(self, start: Any, stop: Any, scale: Any, orders: Any, *, corrector: bool) -> list[Any]:
        """Return the weights of the newest output, the one before it, ... over a step from `start` to `stop`."""
        sign, past = 1 if self.own.predict_x0 else -1, [lagged(start, lag) for lag in range(self.own.solver_order)]
        first = -scale * np.expm1(sign * (start - stop))  # of a single output, at the start
        half = first / 2 if self.own.solver_type == "bh2" else sign * scale * (stop - start) / 2
        lowest: dict[int, tuple[Any, ...]] = {1: (half, first - half)} if corrector else {1: (first,)}
        if not corrector and len(past) > 1:
            slope = half * (stop - start) / (past[1] - start)
            lowest[2] = (first - slope, slope)
        points, reach = ([stop, *past], orders + 1) if corrector else (past, orders)
        weights = adams_weights(start, stop, points, reach, lambda u: sign * scale * np.exp(sign * (u - stop)))
        for order, own in lowest.items():
            weights[: len(own)] = [np.where(orders == order, *pair) for pair in zip(own, weights, strict=False)]
        return weights
