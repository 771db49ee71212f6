"""From the short keys of the `scheduler` config group to a solver with its options."""

from collections.abc import Mapping
from typing import Any

from mdiff.errors import SchedulerError, nearest
from mdiff.scheduler import Scheduler, solver_class
from mdiff.scheduler.config import RESPACINGS, checked

SHORT = {"spacing": "timestep_spacing", "prediction": "prediction_type"}


def check(target: str | None, options: Mapping[str, Any]) -> None:
    """Raise SchedulerError for an option or a value that the solver does not have; needs no checkpoint."""
    for key in options.keys() - {"sigmas", *SHORT} if target is None else ():
        raise SchedulerError(f"scheduler=default has no option {key!r}{nearest(key, ('sigmas', *SHORT))}")
    solver = solver_class("DPMSolverMultistepScheduler" if target is None else target)  # it has all of these
    _translated(solver, options)


def build(target: str | None, options: Mapping[str, Any], checkpoint_config: Mapping[str, Any]) -> Scheduler:
    """Return the solver named `target` (None: the checkpoint's own) with the checkpoint's options under the given ones.

    An option of None is as in the checkpoint. Options of `step` and `set_timesteps` go to the result's
    `step_options`, which `table(**step_options)` takes.
    """
    solver = solver_class(checkpoint_config.get("_class_name", "") if target is None else target)
    keywords, step_options = _translated(solver, options)
    built = solver.from_config(checkpoint_config, **keywords)
    built.step_options |= step_options
    return built


def _translated(solver: type[Scheduler], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (keywords of the class, options of a step), under diffusers' names, without those left at None."""
    respacings = {kind: key for kind, key in RESPACINGS.items() if key in solver.defaults}
    short, defaults = {name: key for key, name in SHORT.items()}, {**solver.step_defaults, **solver.run_defaults}
    own = {short.get(name, name): name for name in solver.defaults if name not in RESPACINGS.values()}
    known = [*own, *defaults, *(["sigmas"] if respacings else [])]
    defaults |= solver.defaults
    keywords: dict[str, Any] = {}
    step_options: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known and (value is not None or key not in ("sigmas", *SHORT)):
            raise SchedulerError(f"scheduler {solver.__name__} has no option {key!r}{nearest(key, known)}")
        if value is None:
            continue  # left to the checkpoint
        name, owner = own.get(key, key), f"{solver.__name__}, scheduler.{key}"
        if key == "sigmas":
            checked(owner, key, value, None, ("default", *respacings))
            keywords |= {full: kind == value for kind, full in respacings.items()}
        else:
            value = checked(owner, name, value, defaults[name], solver.choices.get(name))
            (keywords if key in own else step_options)[name] = value
    return keywords, step_options
