from typing import Any

import numpy as np

from mdiff.errors import SchedulerError
from mdiff.scheduler.family import LOG_SNR, LOWEST, SPACED, ZERO_SNR, LogSnrScheduler, Request, Table
from mdiff.scheduler.integral import exponential_weights, multistep

DPM = {"solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint", "lower_order_final": True}
DPM |= {"final_sigmas_type": "zero"}


class DPMScheduler(LogSnrScheduler):
    """DPM-Solver and DPM-Solver++: Lu et al. 2022, https://arxiv.org/abs/2206.00927, https://arxiv.org/abs/2211.01095."""

    custom = ("timesteps",)

    def __init__(self, *values: Any, **options: Any):
        super().__init__(*values, **options)
        name, kind = type(self).__name__, self.own.algorithm_type
        if "++" not in kind and self.own.final_sigmas_type == "zero":
            raise SchedulerError(f"{name}: algorithm_type={kind!r} cannot end at 0; use final_sigmas_type='sigma_min'")
        if "++" not in kind and self.own.prediction_type == "flow_prediction":
            raise SchedulerError(f"{name}: prediction_type='flow_prediction' needs algorithm_type='dpmsolver++'")


class DPMSolverMultistepScheduler(DPMScheduler):
    """DPM-Solver and DPM-Solver++, orders 1 to 3 from past outputs, one evaluation a step; sde- types add noise.

    A repeated timestep neither moves the place in the schedule (huggingface/diffusers 12771) nor enters a difference of
    outputs. A run to sigma 0, re-spaced or not, ends in a step of order 1 that leaves no noise (6295). At order 3 the
    second difference has half its weight, as in the authors' code and in diffusers: the measured order is 2. The sign
    of its 1/2 in sde-dpmsolver++ is that of all other types and of k-diffusion; diffusers has it reversed.
    """

    defaults = LOG_SNR | SPACED | ZERO_SNR | LOWEST | DPM | {"euler_at_final": False, "use_lu_lambdas": False}

    def __init__(self, *values: Any, **options: Any):
        super().__init__(*values, **options)
        self.rounded = ("karras", "lu") if self.own.beta_schedule != "squaredcos_cap_v2" else ()

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        table = self._table(points, levels, "++" not in self.own.algorithm_type)
        return multistep(table, self.own, *self._split(levels), asked.begin + len(points), levels[-1] == 0)


class DPMSolverSinglestepScheduler(DPMScheduler):
    """DPM-Solver and DPM-Solver++ in blocks of up to three evaluations, each block a Runge-Kutta step.

    Algorithms 4 and 5 of the first paper and 1 of the second. A block of order k starts from the sample S before it;
    its rows have orders 1 .. k, less where its levels repeat (diffusers' result is NaN then). Ends in lower orders when
    the count is uneven or the last sigma is zero. Timesteps are always spaced by linspace.
    """

    defaults = LOG_SNR | LOWEST | DPM | {"lower_order_final": False}

    def _orders(self, steps: int, begin: int) -> np.ndarray:
        """Return the order of each row from `begin` on, where the outputs before it are not known."""
        order, to_zero = self.own.solver_order, self.own.final_sigmas_type == "zero"
        orders = np.arange(steps) % order + 1
        if steps % order == 0 and (self.own.lower_order_final or to_zero) and order > 1:
            orders[-order:] = [1, 1] if order == 2 else [1, 2, 1]  # the last block gives way to shorter ones
        orders[-1] = 1 if to_zero else orders[-1]
        return np.minimum(orders[begin:], np.arange(steps - begin) + 1)

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        kind, midpoint = self.own.algorithm_type, self.own.solver_type == "midpoint"
        alpha, sigma, log_snr = self._split(levels)
        orders, row = self._orders(asked.begin + len(points), asked.begin), np.arange(len(points))
        start, first, third = row - orders + 1, orders == 1, orders == 3
        h = log_snr[1:] - log_snr[start]
        x, noise, d0, d1, d2 = exponential_weights(kind, alpha[1:], sigma[1:], alpha[start], sigma[start], h)
        table = self._table(points, levels, "++" not in kind).put(draw=kind.startswith("sde"))
        table.mix(x=np.where(first, x, 0), s=np.where(first, 0, x), n=noise).mix("keep", x=first, s=~first)
        r0, r1 = (log_snr[row] - log_snr[start]) / h, (log_snr[np.maximum(row - 1, 0)] - log_snr[start]) / h
        # Order 2: D1 = (m0 - m1) / r0. Order 3: the slopes (m1 - m2) / r1 and (m0 - m2) / r0, joined into D1 and D2.
        joined = (d1, 0 * d1) if midpoint else ((2 * d2 - d1 * r1) / (r0 - r1), (d1 * r0 - 2 * d2) / (r0 - r1))
        whole = third & (midpoint | (r0 != r1)) & (r1 != 0)  # heun needs three different levels, midpoint two
        near = np.select([first | (r0 == 0), whole], [0.0, joined[0] / r0], (d0 / 2 if midpoint else d1) / r0)
        far = np.where(whole, joined[1] / r1, 0.0)
        own, before = np.where(first, d0, near), np.select([first, third], [0, far], d0 - near)
        return table.add([own, before, np.where(third, d0 - near - far, 0)])
