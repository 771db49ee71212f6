"""A scheduler's options: read-only, under diffusers' names, checked one by one."""

from typing import Any, NoReturn

from mdiff.errors import SchedulerError, nearest

RESPACINGS = {kind: f"use_{kind}_sigmas" for kind in ("karras", "exponential", "beta")} | {"lu": "use_lu_lambdas"}


class Config(dict):
    """Options by key or by attribute, not to be changed."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"the scheduler's config has no option {name!r}")

    def _frozen(self, *_: Any, **__: Any) -> NoReturn:
        raise AttributeError("a scheduler's config is read-only; use from_config(config, option=value)")

    __setattr__ = __setitem__ = __delitem__ = update = pop = setdefault = clear = _frozen


# What each option may be, None for one that may be left open. A class changes it with `choices`.
CHOICES: dict[str, tuple] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "exp", "laplace", "sigmoid"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("leading", "linspace", "trailing"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "algorithm_type": ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"),
    "solver_order": (1, 2, 3),
    **dict.fromkeys(("order", "predictor_order", "corrector_order"), (1, 2, 3, 4)),
    "solver_type": ("midpoint", "heun"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_type": ("discrete", "continuous"),
    "sigma_schedule": ("karras", "exponential"),
    "time_shift_type": ("exponential", "linear"),
    "variance_type": (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
    **dict.fromkeys(("solver_p", "scale_factors"), (None,)),
}
# Values that only other solvers know and that mean "the usual" here, as checkpoints carry them from class to class.
FOREIGN = {
    "algorithm_type": ("deis", "dpmsolver", "dpmsolver++", "sde-dpmsolver++"),
    "solver_type": ("logrho", "midpoint", "heun", "bh1", "bh2"),
}


def checked(owner: str, name: str, value: Any, default: Any, choices: tuple | None) -> Any:
    """Return what option `name` of `owner` is when given as `value`; SchedulerError where it cannot be that."""
    if choices is not None and value not in choices:
        if value not in FOREIGN.get(name, ()):
            raise SchedulerError(f"{owner}: {name}={value!r} is not known{nearest(value, choices)}")
        value = default
    elif choices is None and isinstance(default, bool | int | float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        right = isinstance(value, bool) if isinstance(default, bool) else number
        if not right or (type(default) is int and (value % 1 != 0 or value < 0)):
            kinds = {bool: "true or false", float: "a number", int: "a whole number, not below zero"}
            raise SchedulerError(f"{owner}: {name}={value!r} must be {kinds[type(default)]}")
    return value
