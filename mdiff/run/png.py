"""PNG files that carry their recipe: `mdiff` (JSON, everything) and `parameters` (the line that web UIs read)."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mdiff.errors import MdiffError

RECIPE_SCHEMA = 1

# Names that Stable Diffusion web UIs use for these solvers.
_SAMPLERS = {
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSinglestepScheduler": "DPM++ 2S",
    "DPMSolverSDEScheduler": "DPM++ SDE",
    "HeunDiscreteScheduler": "Heun",
    "LMSDiscreteScheduler": "LMS",
    "EulerDiscreteScheduler": "Euler",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "KDPM2DiscreteScheduler": "DPM2",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "DDIMScheduler": "DDIM",
    "DDPMScheduler": "DDPM",
    "PNDMScheduler": "PLMS",
    "UniPCMultistepScheduler": "UniPC",
    "LCMScheduler": "LCM",
}


def to_pixels(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 from a decoded image (3, H, W) in −1 … 1, rounded as diffusers does."""
    unit = np.clip(image.transpose(1, 2, 0) * np.float32(0.5) + np.float32(0.5), 0, 1)
    return np.round(unit * 255).astype(np.uint8)


def pixel_digest(pixels: np.ndarray) -> str:
    """SHA-256 of the RGB bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def parameters_line(recipe: Mapping[str, Any]) -> str:
    """Return the `parameters` text of `recipe` as Stable Diffusion web UIs write it."""
    image, config, effective = recipe["image"], recipe["config"], recipe["effective"]
    name = effective["scheduler"]
    settings = {
        "Steps": config.get("steps"),
        "Sampler": _SAMPLERS.get(name, name),
        "CFG scale": config.get("guidance"),
        "Seed": image["seed"],
        "Size": f"{image['width']}x{image['height']}",
        "Model hash": recipe["weights"].get("unet", "")[:10],
        "Version": f"mdiff {recipe['versions']['mdiff']}",
    }
    negative = f"\nNegative prompt: {image['negative_prompt']}" if image["negative_prompt"] else ""
    return f"{image['prompt']}{negative}\n" + ", ".join(f"{key}: {value}" for key, value in settings.items())


def write_png(path: Path, pixels: np.ndarray, recipe: Mapping[str, Any]) -> None:
    """Write `pixels` (H, W, 3) uint8 with its recipe to `path`, which appears whole or not at all."""
    chunks = PngInfo()
    chunks.add_text("parameters", parameters_line(recipe))
    chunks.add_text("mdiff", json.dumps(recipe, sort_keys=True))
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            Image.fromarray(pixels, "RGB").save(file, "PNG", pnginfo=chunks)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise MdiffError(f"cannot write {path}: {error.strerror or error}") from error


def whole_size(path: Path) -> int | None:
    """Size in bytes of a PNG that has its last chunk, None of one that is missing or cut short."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            return size if file.read(4) == b"IEND" else None
    except OSError:
        return None


def read_back(path: Path) -> tuple[dict[str, Any], np.ndarray] | None:
    """Return recipe and pixels of a PNG that mdiff wrote, None where it is missing, damaged or not the recipe's."""
    if whole_size(path) is None:
        return None
    try:
        with Image.open(path) as image:
            image.load()
            recipe = json.loads(image.info["mdiff"])
            pixels = np.asarray(image.convert("RGB"))
        whole = recipe["image"]["sha256"] == pixel_digest(pixels)
    except (OSError, KeyError, TypeError, ValueError, SyntaxError):
        return None
    return (recipe, pixels) if whole else None
