"""The recipe that an image of mdiff carries: checked, since it may come from anyone, before anything acts on it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError
from mdiff.report.command import leads_away, texts_in

SCHEMA = 1
MAX_DEPTH = 24
MAX_PIXELS = 64 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}")
CONDUCT = {
    "name": "replay",
    "resume": False,
    "on_error": "stop",
    "dry_run": False,
    "profile": False,
    "objective": None,
    "reference": None,
    "output": {"dir": "outputs"},
}
_FACTS = (
    ("prompt", str, "a text"),
    ("negative_prompt", str, "a text"),
    ("seed", int, "a whole number"),
    ("width", int, "a whole number"),
    ("height", int, "a whole number"),
    ("sha256", str, "a text"),
)


@dataclass(frozen=True)
class Recipe:
    """What one image was made from: the resolved config and, of the image, what the config does not say."""

    config: Mapping[str, Any]
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    sha256: str
    weights: Mapping[str, str]
    versions: Mapping[str, str]
    effective: Mapping[str, Any]

    def single(self) -> dict[str, Any]:
        """Return the config that makes this image alone, into a folder that is not the recipe's to choose."""
        config = {**self.config, **CONDUCT}
        prompt = config.get("prompt")
        config["prompt"] = {
            **(prompt if isinstance(prompt, dict) else {}),
            "text": self.prompt,
            "negative": self.negative_prompt,
            "file": None,
        }
        return config | {"seed": self.seed, "num_images": 1, "width": self.width, "height": self.height}


def parse_recipe(text: str, image: Path) -> Recipe:
    """Return the recipe that `text`, the chunk `mdiff` of `image`, holds; MdiffError says what is wrong with it."""
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"the recipe in {image} is broken: it is not valid JSON") from error
    if _depth(content) > MAX_DEPTH:
        raise MdiffError(f"the recipe in {image} is nested more than {MAX_DEPTH} levels deep, which no config is")
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise MdiffError(f"the recipe in {image} has schema {found!r}; this version of mdiff reads {SCHEMA}")
    parts = {name: content.get(name) for name in ("config", "image", "weights", "versions", "effective")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise MdiffError(f"the recipe in {image} is broken: it has no {name!r}")
    facts: dict[str, Any] = parts["image"]  # type: ignore[assignment]
    for name, kind, words in _FACTS:
        if type(facts.get(name)) is not kind:
            raise MdiffError(f"the recipe in {image} is broken: its image.{name} is not {words}")
    if not _SHA256.fullmatch(facts["sha256"]):
        raise MdiffError(f"the recipe in {image} is broken: its image.sha256 is not a sha256")
    check_size(facts["width"], facts["height"], image)
    return Recipe(
        config=parts["config"],  # type: ignore[arg-type]
        prompt=facts["prompt"],
        negative_prompt=facts["negative_prompt"],
        seed=facts["seed"],
        width=facts["width"],
        height=facts["height"],
        sha256=facts["sha256"],
        weights=_texts(parts["weights"]),
        versions=_texts(parts["versions"]),
        effective=parts["effective"],  # type: ignore[arg-type]
    )


def check_size(width: int, height: int, image: Path) -> None:
    """Raise for a picture of no size, or of one that nothing here could hold."""
    if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
        raise MdiffError(f"the recipe in {image} asks for {width} x {height} pixels; up to {MAX_PIXELS} are made")


def check_paths(config: Mapping[str, Any], given: frozenset[str], image: Path) -> None:
    """Raise where the recipe, and not the user (`given`), names a file or folder outside the current folder.

    Only the model's settings can: the recipe holds the prompt itself, whatever file it came from.
    """
    model = config.get("model")
    for key, value in model.items() if isinstance(model, dict) and "model" not in given else ():
        if f"model.{key}" not in given:
            for text in texts_in(value):
                _check_path(f"model.{key}", text, image)


def _check_path(key: str, value: str, image: Path) -> None:
    """Names such as `bundled:emoji` and Hub ids are relative and lead nowhere else; validation judges them."""
    if leads_away(value) and not _is_below_here(value):
        raise MdiffError(
            f"the recipe in {image} names {value[:200]!r} for {key}, which is outside the current folder; "
            f"if it is meant, say so with {key}=…"
        )


def _is_below_here(value: str) -> bool:
    try:
        return Path(value).expanduser().resolve().is_relative_to(Path.cwd().resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def _texts(part: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in part.items()} if isinstance(part, dict) else {}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    """How deeply lists and mappings are nested, counted without recursion."""
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        inner: list[object] = []
        for each in level:
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        level = inner
    return deepest
