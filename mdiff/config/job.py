"""From a composed config, as plain containers, to a validated `Job`; Hydra and MindSpore are not needed here."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdiff import device as devices
from mdiff.config.memory import memory_of
from mdiff.config.path import check_name
from mdiff.config.problem import Problems
from mdiff.config.schema import (
    CONDUCT,
    DEVICES,
    FALLBACKS,
    GROUPS,
    GUIDANCE,
    OBJECTIVES,
    PRECISIONS,
    SEED_BELOW,
    SETTINGS,
    STEPS,
)
from mdiff.config.target import check_targets
from mdiff.config.value import (
    check_check,
    check_choice,
    check_flag,
    check_group,
    check_interval,
    check_keys,
    check_multiple,
    check_number,
    check_whole,
)
from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe
from mdiff.prompt import Prompts
from mdiff.run.job import Job, PromptPair
from mdiff.run.solver import build, check

_describe = functools.lru_cache(maxsize=64)(describe)
_device = functools.lru_cache(maxsize=64)(devices.choose)


def job_from(config: Mapping[str, Any], folder: Path | None = None) -> Job:
    """Return the job that a composed config stands for, its folder still to be chosen where none is given.

    `config` holds plain containers with every interpolation resolved, and no `hydra` node. Every mistake in it is
    told at once, in a `ConfigError` with one sentence for each.
    """
    config = {"memory": {}, **config}  # images made before there was this group have recipes without it
    problems = Problems()
    with problems.gather():
        check_targets(config)
        _check_missing(config)
        check_keys("", config, (*GROUPS, *SETTINGS, *FALLBACKS, *CONDUCT))
        groups = {name: check_group(config, name) for name in GROUPS}
    problems.raise_any()

    found: dict[str, Any] = {}
    for part in (_conduct, _model, memory_of, _prompts, _precision, _device_choice):
        with problems.gather():
            found |= part(config, groups)
    found |= _settings(config, groups, found.get("description"), problems)
    with problems.gather():
        found |= _scheduler(groups, found)
    problems.raise_any()

    description = found.pop("description")
    del description
    requested = _requested(config, groups, found)
    return Job(folder=Path() if folder is None else folder, requested=requested, **found)


def _check_missing(config: Any, path: str = "") -> None:
    if isinstance(config, str):
        if config == "???":
            raise MdiffError(f"{path} has to be given: {path}=…")
    elif isinstance(config, Mapping):
        for key, value in config.items():
            _check_missing(value, f"{path}.{key}" if path else str(key))


def _model(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    options = {key: value for key, value in groups["model"].items() if key not in ("_target_", "preset", "keep")}
    check_keys("model", options, [field.name for field in dataclasses.fields(ModelSource)])
    source = ModelSource(**options)
    return {"model": source, "description": _describe(source)}


def _prompts(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    options = {key: value for key, value in groups["prompt"].items() if key != "_target_"}
    check_keys("prompt", options, [field.name for field in dataclasses.fields(Prompts)])
    prompts = Prompts(**options)
    return {
        "prompts": tuple(PromptPair(text, negative) for text, negative in prompts.pairs()),
        "weighting": prompts.weighting,
        "long": prompts.long,
    }


def _precision(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    check_keys("precision", groups["precision"], ("name",))
    return {"precision": check_choice("precision.name", groups["precision"].get("name"), PRECISIONS)}


def _device_choice(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    check_keys("device", groups["device"], ("kind", "id"))
    kind = check_choice("device.kind", groups["device"].get("kind"), DEVICES)
    number = groups["device"].get("id")
    if number != "auto":
        check_whole("device.id", number, least=0)
    _device(kind, number)  # an error where there is no such device
    return {"device": kind, "device_id": number}


def _conduct(config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    problems = Problems()
    found: dict[str, Any] = {}
    with problems.gather():
        check_name("name", config.get("name"))
    with problems.gather():
        check_keys("output", groups["output"], ("dir",))
    with problems.gather():
        check_flag("dry_run", config.get("dry_run"))
    with problems.gather():
        _check_objective(config.get("objective"), config.get("reference"))
    with problems.gather():
        check_check(config.get("check", False))
    with problems.gather():
        found["profile"] = check_flag("profile", config.get("profile", False))
    with problems.gather():
        found["resume"] = check_flag("resume", config.get("resume"))
    with problems.gather():
        found["on_error"] = check_choice("on_error", config.get("on_error"), ("continue", "stop"))
    with problems.gather():
        check_keys("engine", groups["engine"], ("batch",))
        batch = groups["engine"].get("batch")
        found["batch"] = batch if batch == "auto" else check_whole("engine.batch", batch, least=1)
    problems.raise_any()
    return found


def _check_objective(objective: object, reference: object) -> None:
    for each in objective if isinstance(objective, list) else [objective]:
        if each is not None:
            check_choice("objective", each, OBJECTIVES)
        if each == "distance" and (not isinstance(reference, str) or not Path(reference).exists()):
            raise MdiffError(f"objective=distance needs an image or a cell's folder in reference, got {reference!r}")


def _scheduler(groups: Mapping[str, Mapping[str, Any]], found: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: value for key, value in groups["scheduler"].items() if key != "_target_"}
    name = groups["scheduler"].get("_target_")
    target = None if name is None else name.rpartition(".")[2]
    check(target, options)
    if target is None:  # the checkpoint's own solver may not have all that is left open here
        options = {key: value for key, value in options.items() if value is not None}
    if "description" in found and "steps" in found:
        _check_table(target, json.dumps(options), found["model"], found["steps"])
    return {"scheduler_target": target, "scheduler_options": options}


@functools.lru_cache(maxsize=4096)
def _check_table(target: str | None, options: str, model: ModelSource, steps: int) -> None:
    """Make the solver's table for this checkpoint, an error where their options do not go together."""
    description = _describe(model)
    name = target if target is not None else description.scheduler_class
    scheduler = build(name, json.loads(options), description.scheduler_config)
    scheduler.table(steps, **scheduler.step_options)


def _settings(
    config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]], description: Any, problems: Problems
) -> dict[str, Any]:
    """The numbers, with what the config leaves open taken from the model; ranges as far as the model is known."""
    found: dict[str, Any] = {}
    preset = groups["model"].get("preset") or {}
    with problems.gather():
        check_keys("model.preset", preset, SETTINGS)

    def given(key: str, otherwise: Any) -> Any:
        value = config.get(key)
        if value is None:
            value = preset.get(key)
        return otherwise if value is None else value

    most = None if description is None else description.training_steps
    with problems.gather():
        found["steps"] = _steps(given("steps", STEPS), most)
    with problems.gather():
        found["guidance"] = check_number("guidance", given("guidance", GUIDANCE), least=0)
    with problems.gather():
        found["guidance_rescale"] = check_number("guidance_rescale", given("guidance_rescale", 0.0), least=0, most=1)
    with problems.gather():
        found["guidance_interval"] = check_interval("guidance_interval", given("guidance_interval", None))
    with problems.gather():
        found["num_images"] = check_whole("num_images", given("num_images", 1), least=1)
    with problems.gather():
        found["seed"] = check_whole("seed", given("seed", 0), least=0, most=SEED_BELOW - 1)
        if "num_images" in found:
            check_whole("seed + num_images", found["seed"] + found["num_images"] - 1, least=0, most=SEED_BELOW - 1)
    for key in ("width", "height"):
        otherwise = 1 if description is None else getattr(description, f"default_{key}")
        with problems.gather():
            found[key] = check_multiple(
                key, given(key, otherwise), 1 if description is None else description.size_multiple
            )
    return found


def _steps(value: object, training_steps: int | None) -> int:
    steps = check_whole("steps", value, least=1)
    if training_steps is not None and steps > training_steps:
        raise MdiffError(f"steps must be at most {training_steps}, the steps this model was trained with, got {steps}")
    return steps


def _requested(
    config: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The config with nothing left open: what the model chose, and the prompts of a prompt file in full."""
    kept = {key: value for key, value in config.items() if key not in ("check", "expect", "profile")}  # of runs
    requested = _plain({**kept, **{key: found[key] for key in SETTINGS}})
    requested["model"].pop("preset", None)
    requested |= {key: list(found[key]) for key in FALLBACKS} | {"memory": dataclasses.asdict(found["memory"])}
    texts, negatives = [pair.text for pair in found["prompts"]], [pair.negative for pair in found["prompts"]]
    requested["prompt"] |= {
        "weighting": found["weighting"],
        "long": found["long"],
        "text": texts if len(texts) > 1 else texts[0],
        "negative": negatives if len(set(negatives)) > 1 else negatives[0],
        "file": None,
    }
    return requested


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_plain(each) for each in value]
    return value
