"""The command that makes an image again, as a shell reads it; and which paths a recipe cannot name by itself."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any


def replay_command(image: Path, model: Mapping[str, Any]) -> str:
    """Return the command that replays an image of a model with these settings.

    A replay takes paths outside the current folder from its command line only: those are named there.
    """
    away = {key: value for key, value in model.items() if any(leads_away(text) for text in texts_in(value))}
    words = [f"model.{key}={_override(value)}" for key, value in away.items()]
    return command(["python", "-m", "mdiff.replay", nearest_path(image), *words])


def command(words: Sequence[str]) -> str:
    """Return a command line that a shell reads back as these words."""
    return shlex.join(words)


def nearest_path(path: Path) -> str:
    """Return a path that works from the current folder: relative below it, else absolute."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def leads_away(text: str) -> bool:
    """Whether a path may lead out of the current folder; names such as `bundled:emoji` and Hub ids do not."""
    return PurePath(text).is_absolute() or text.startswith("~") or ".." in PurePath(text).parts or "\0" in text


def texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value: whichever of a model's settings become paths, none is overlooked."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)


def _override(value: Any) -> str:
    """A value in Hydra's notation."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_override(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_override, value)) + "]"
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if re.fullmatch(r"[\w./~-]+", value) and not re.fullmatch(r"[\d._-]*|null|true|false", value, re.IGNORECASE):
        return value
    return "'" + re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value) + "'"
