"""Prompt files: one prompt a line, or a YAML or JSON list."""

import json
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError


def read_prompt_file(path: str | Path) -> list[str]:
    """Return the prompts of a file, in order.

    ``.json``, ``.yaml`` and ``.yml`` hold a list of texts; any other file one prompt a line, blank lines aside. Raises
    MdiffError where the file is missing, not UTF-8, not such a list, or without a prompt.
    """
    path = Path(path)
    text = _read(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        prompts = _checked(path, _parse_json(path, text))
    elif suffix in (".yaml", ".yml"):
        prompts = _checked(path, _parse_yaml(path, text))
    else:
        prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise MdiffError(f"prompt file {path} has no prompt in it")
    return prompts


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MdiffError(f"prompt file {path} is missing") from None
    except OSError as error:
        raise MdiffError(f"prompt file {path} cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MdiffError(
            f"prompt file {path} is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}; save it as UTF-8"
        ) from None


def _parse_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"prompt file {path} is not valid JSON: {error}") from None


def _parse_yaml(path: Path, text: str) -> Any:
    import yaml  # only where a YAML file is read: it costs a few ms

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise MdiffError(f"prompt file {path} is not valid YAML{where}: {what}") from None


def _checked(path: Path, prompts: Any) -> list[str]:
    if prompts is None:
        return []
    if not isinstance(prompts, list):
        raise MdiffError(f"prompt file {path} holds a {type(prompts).__name__}, not a list of prompts")
    for number, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, str):
            raise MdiffError(
                f"prompt file {path}: entry {number} is {prompt!r}, not text (quote it if it is meant as text)"
            )
    return prompts
