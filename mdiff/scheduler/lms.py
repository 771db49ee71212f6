import numpy as np

from mdiff.scheduler.family import RESPACED, SIGMA, Request, SigmaScheduler, Table
from mdiff.scheduler.integral import adams_weights, lagged, multistep_orders

EVEN_STEPS = 20 / 3  # the sum of the weights' sizes over the step, for Adams-Bashforth of order 4 on even steps


class LMSDiscreteScheduler(SigmaScheduler):
    """Adams-Bashforth of up to four steps on uneven sigmas: k-diffusion's `sample_lms`, with exact integrals.

    The order counts the derivatives that the run has, so that one begun in the middle keeps the sum of its weights.
    Towards sigma 0 the past lies on ever smaller steps, and the last weights magnify the network's errors 15 to 180
    times: the artefacts of huggingface/diffusers 3598. `stable` lowers the order where it would magnify them more than
    on even steps; it is off as in diffusers, and on in the `lms` config.
    """

    defaults = SIGMA | RESPACED
    step_defaults = SigmaScheduler.step_defaults | {"order": 4, "stable": False}

    def _compile(self, asked: Request) -> Table:
        points, now, then, levels = self._steps(asked)
        past = [lagged(now, lag) for lag in range(asked.order)]
        orders = multistep_orders(then - now, asked.order)
        weights = adams_weights(now, then, past, orders, np.ones_like)
        for lower in range(asked.order - 1, 0, -1) if asked.stable else ():
            magnifies = np.abs(weights).sum(0) > EVEN_STEPS * np.abs(then - now)
            orders = np.where(magnifies, np.minimum(orders, lower), orders)
            weights = adams_weights(now, then, past, orders, np.ones_like)
        return self._table(points, now, levels).add(weights)
