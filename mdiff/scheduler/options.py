"""From the short keys of the `scheduler` config group to a solver with its options."""

from collections.abc import Mapping
from typing import Any

from mdiff.errors import nearest
from mdiff.scheduler.base import SCHEDULERS, Scheduler
from mdiff.scheduler.config import CHOICES, RESPACINGS, SchedulerError, checked

SHORT = {"spacing": "timestep_spacing", "prediction": "prediction_type"}


def check(target: str | None, options: Mapping[str, Any]) -> None:
    """Raise SchedulerError for an option or a value that the solver does not have; needs no checkpoint."""
    if target is not None:
        _translated(_solver(target), options)
        return
    for key in options.keys() - {"sigmas", *SHORT}:
        raise SchedulerError(f"scheduler=default has no option {key!r}{nearest(key, ('sigmas', *SHORT))}")
    _translated(SCHEDULERS["DPMSolverMultistepScheduler"], options)  # it has all values of these


def build(target: str | None, options: Mapping[str, Any], checkpoint_config: Mapping[str, Any]) -> Scheduler:
    """Return the solver named `target` (None: the checkpoint's own) with the checkpoint's options under the given ones.

    An option of None is as in the checkpoint. Options of `step` and `set_timesteps` go to the result's
    `step_options`, which `table(**step_options)` takes.
    """
    solver = _solver(checkpoint_config.get("_class_name", "") if target is None else target)
    keywords, step_options = _translated(solver, options)
    built = solver.from_config(checkpoint_config, **keywords)
    built.step_options |= step_options
    return built


def _solver(target: str) -> type[Scheduler]:
    name = target.removeprefix("mdiff.scheduler.")
    if name not in SCHEDULERS:
        raise SchedulerError(f"there is no scheduler class {name!r}{nearest(name, SCHEDULERS)}")
    return SCHEDULERS[name]


def _translated(solver: type[Scheduler], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (keywords of the class, options of a step), under diffusers' names, without those left at None."""
    respacings = {kind: key for kind, key in RESPACINGS.items() if key in solver.defaults}
    own = {key: SHORT.get(key, key) for key in {*solver.defaults, *SHORT} - {*RESPACINGS.values(), *SHORT.values()}}
    own = {key: name for key, name in own.items() if name in solver.defaults}
    later = {**solver.step_defaults, **solver.run_defaults}
    known = [*own, *later, *(["sigmas"] if respacings else [])]
    keywords: dict[str, Any] = {}
    step_options: dict[str, Any] = {}
    for key, value in options.items():
        owner, name = f"{solver.__name__}, scheduler.{key}", own.get(key, key)
        if value is None and key in ("sigmas", *SHORT):
            continue  # left to a checkpoint whose solver may have no such choice
        if key not in known:
            raise SchedulerError(f"scheduler {solver.__name__} has no option {key!r}{nearest(key, known)}")
        if value is None:
            continue
        if key == "sigmas":
            checked(owner, key, value, None, ("default", *respacings))
            keywords |= {name: kind == value for kind, name in respacings.items()}
        elif key in own:
            choices = solver.choices.get(name, CHOICES.get(name))
            keywords[name] = checked(owner, name, value, solver.defaults[name], choices)
        else:
            step_options[key] = checked(owner, key, value, later[key], CHOICES.get(key))
    return keywords, step_options
