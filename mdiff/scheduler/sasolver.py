from typing import Any

import numpy as np

from mdiff.scheduler.family import LOG_SNR, LOWEST, SPACED, LogSnrScheduler, Request, Table, TimestepScheduler
from mdiff.scheduler.integral import adams_weights, lagged, multistep_orders
from mdiff.scheduler.table import NOISE


class SASolverScheduler(LogSnrScheduler):
    """Stochastic Adams predictor-corrector of Xue et al. 2023, https://arxiv.org/abs/2309.05019, Algorithm 1.

    tau(t) sets how much noise a step adds: 1 within timesteps 200 .. 800 and 0 elsewhere unless `tau_func` says. The
    corrector repeats the step with the noise that the predictor used. Ends at the least training sigma.
    """

    defaults = LOG_SNR | SPACED | LOWEST | {"predictor_order": 2, "corrector_order": 2, "lower_order_final": True}
    defaults |= {"tau_func": None, "algorithm_type": "data_prediction"}
    choices = LogSnrScheduler.choices | {"algorithm_type": ("data_prediction", "noise_prediction")}
    repeats_last = True

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        own, by_data, row = self.own, self.own.algorithm_type == "data_prediction", np.arange(len(points))
        alpha, sigma, log_snr = self._split(levels)
        taus = [200 <= t <= 800 if own.tau_func is None else own.tau_func(t) for t in points]
        tau, h = np.array(taus, np.float64), np.diff(log_snr)
        if by_data:
            carry, noise = np.exp(-(tau**2) * h) * sigma[1:] / sigma[:-1], np.sqrt(-np.expm1(-2 * tau**2 * h))
        else:
            carry, noise = alpha[1:] / alpha[:-1], tau * np.sqrt(np.expm1(2 * h))
        left = len(row) - row if own.lower_order_final else 9 + 0 * row
        step = (log_snr[:-1], log_snr[1:], alpha[1:] if by_data else -sigma[1:], 1 + tau**2)

        # `next` begins as the sample to go on from: the predicted one, or S and the integral with the newest output.
        table = self._table(points, levels, not by_data).mix(x=row == 0, s=row > 0)
        past = [lagged(log_snr[:-1], lag) for lag in range(max(own.predictor_order, own.corrector_order))]
        orders = multistep_orders(np.append(h[:-1], 1.0), own.corrector_order)  # a last step of no length matters not
        orders = np.minimum(orders, np.append(1, left[:-1] + 1))
        before = *(lagged(values, 1) for values in step), past[: own.corrector_order]
        table.add(self._weights(*before, orders=orders), where=row > 0)
        table.next[:] *= carry[:, None]
        table.next[:, NOISE] = sigma[1:] * noise
        table.keep[:] = table.next
        orders = np.minimum(multistep_orders(h, own.predictor_order), left)
        return table.put(draw=True).add(self._weights(*step, past[: own.predictor_order], orders=orders))

    def _weights(self, start: Any, stop: Any, scale: Any, k: Any, past: Any, *, orders: Any) -> list[Any]:
        """Return the weights of the outputs at `past` over a step; the second order is that of the paper's appendix."""
        by_data, h = self.own.algorithm_type == "data_prediction", stop - start
        rate = k if by_data else -1.0
        weights = adams_weights(start, stop, past, orders, lambda u: scale * k * np.exp(rate * (u - stop)))
        if by_data and len(past) > 1:
            simple = (h**2 / 2 - (h * k - 1 + np.exp(-k * h)) / k**2) / (past[0] - past[1])
            change = np.where(orders == 2, scale * k * simple, 0)
            weights[:2] = weights[0] + change, weights[1] - change
        return weights

    _levels = TimestepScheduler._levels  # of the training schedule, as in diffusers, whatever the run's are
