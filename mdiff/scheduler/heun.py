import numpy as np

from mdiff.scheduler.family import CLIP, LATENT, RESPACED, SIGMA, Request, SigmaScheduler, Table
from mdiff.scheduler.integral import trapezoid, two_stage


class HeunDiscreteScheduler(SigmaScheduler):
    """An Euler step, then the trapezoid: Karras et al. 2022, Algorithm 1, https://arxiv.org/abs/2206.00364.

    2 n - 1 evaluations for n steps; the last step, to sigma 0, is Euler's alone.
    """

    order = 2
    defaults = SIGMA | LATENT | RESPACED | CLIP
    custom = ("timesteps",)

    def _compile(self, asked: Request) -> Table:
        points, levels = self._grid(asked)
        step, second = two_stage(len(points), asked.begin)
        table = self._table(points[step + second], levels[step + second], levels, step - step[0])
        return trapezoid(table, second, np.diff(levels)[step])
