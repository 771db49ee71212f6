import numpy as np

from mdiff.scheduler.family import LOG_SNR, SPACED, LogSnrScheduler, Request, Table
from mdiff.scheduler.integral import adams_weights, lagged, multistep_orders


class DEISMultistepScheduler(LogSnrScheduler):
    """Log-rho Adams-Bashforth DEIS of Zhang and Chen 2022, https://arxiv.org/abs/2204.13902, section 3.2.

    With rho = sigma / alpha, x / alpha moves by the integral over rho of the noise prediction, extrapolated as a
    polynomial in log rho. It ends at the least training sigma, and re-spaced runs repeat their last sigma.
    """

    defaults = LOG_SNR | SPACED | {"solver_order": 2, "solver_type": "logrho"}
    defaults |= {"algorithm_type": "deis", "lower_order_final": True}
    choices = LogSnrScheduler.choices | {"algorithm_type": ("deis",), "solver_type": ("logrho",)}
    repeats_last = True

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        alpha, _sigma, log_snr = self._split(levels)
        few = self.own.lower_order_final and asked.begin + len(points) < 15
        orders = multistep_orders(np.diff(log_snr), self.own.solver_order, *((1, 2) if few else ()))
        past = [lagged(-log_snr[:-1], lag) for lag in range(self.own.solver_order)]
        weights = adams_weights(-log_snr[:-1], -log_snr[1:], past, orders, np.exp)
        table = self._table(points, levels, noise_prediction=True).mix(x=alpha[1:] / alpha[:-1])
        return table.add([alpha[1:] * weight for weight in weights])
