"""Folders of results for the tests: real images and records in the form that `mdiff.run` writes them."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mdiff.run.png import parameters_line, pixel_digest

SCHEDULERS = {
    "heun": ("mdiff.scheduler.HeunDiscreteScheduler", 2, 0.6),
    "dpmpp_2m": ("mdiff.scheduler.DPMSolverMultistepScheduler", 1, 0.8),
    "lms": ("mdiff.scheduler.LMSDiscreteScheduler", 1, 1.4),
}
DIGITS = {"fp32": ("float32", 0.0), "bf16": ("bfloat16", 0.6)}
VERSIONS = {"mdiff": "0.1.0", "mindspore": "2.10.0", "numpy": "1.26.4", "python": "3.11.2", "platform": "Linux"}


def picture(prompt: str, seed: int, side: int, error: float) -> np.ndarray:
    """A smooth picture of its prompt and seed, (side, side, 3) uint8, with `error` grey levels of structured noise."""
    rng = np.random.default_rng([seed, *prompt.encode("utf-8", "replace")])
    y, x = np.mgrid[0:side, 0:side] / side
    waves = rng.uniform(1, 5, (3, 2))
    phase = rng.uniform(0, 6, 3)
    smooth = np.stack([np.sin(6 * (a * x + b * y) + p) for (a, b), p in zip(waves, phase, strict=True)], axis=-1)
    noise = np.random.default_rng([seed, 7]).normal(size=(side, side, 3))
    return np.clip(np.round(128 + 90 * smooth + error * noise), 0, 255).astype(np.uint8)


def requested(scheduler: str, steps: int, precision: str, seed: int, text: Any, side: int) -> dict[str, Any]:
    """A resolved config as a record holds it."""
    return {
        "model": {"_target_": "mdiff.model.ModelSource", "path": "/models/emoji", "revision": None, "variant": None},
        "scheduler": {"_target_": SCHEDULERS[scheduler][0], "sigmas": "default", "spacing": "leading"},
        "precision": {"name": precision},
        "prompt": {"_target_": "mdiff.prompt.Prompts", "text": text, "negative": "", "file": None},
        "device": {"kind": "cpu", "id": 0},
        "output": {"dir": "outputs"},
        "steps": steps,
        "guidance": 5.0,
        "seed": seed,
        "num_images": 1,
        "width": side,
        "height": side,
        "name": "example",
        "resume": True,
        "on_error": "continue",
        "dry_run": False,
        "engine": {"batch": 1},
    }


def write_cell(
    folder: Path,
    scheduler: str = "heun",
    steps: int = 20,
    precision: str = "fp32",
    seed: int = 0,
    prompt: str = "a red apple",
    side: int = 64,
    error: str | None = None,
    shift: float = 0.0,
    **changes: Any,
) -> Path:
    """Write one cell; `error` fails it, `shift` moves its pixels, `changes` replace parts of the record."""
    folder.mkdir(parents=True)
    target, per_step, roughness = SCHEDULERS[scheduler]
    dtype, rounding = DIGITS[precision]
    evaluations = steps * per_step - (per_step - 1)
    config = requested(scheduler, steps, precision, seed, prompt, side)
    substitutions = [] if precision == "fp32" else ["bf16 on a CPU: weights are rounded to bf16, arithmetic is fp32"]
    effective = {
        "device": "cpu",
        "precision": {"weights": dtype, "compute": "float32", "vae": "float32"},
        "scheduler": target.rpartition(".")[2],
        "timesteps": [float(t) for t in np.linspace(999, 0, evaluations)],
        "evaluations": evaluations,
        "batch": 1,
        "substitutions": substitutions,
    }
    weights = {"unet": "ab" * 32, "vae": "cd" * 32, "text_encoder": "ef" * 32}
    images = []
    if error is None:
        pixels = picture(prompt, seed, side, 60 * roughness / evaluations + rounding + shift)
        facts = {
            "index": 0,
            "prompt": prompt,
            "negative_prompt": "",
            "seed": seed,
            "width": side,
            "height": side,
            "sha256": pixel_digest(pixels),
        }
        recipe = {
            "schema": 1,
            "config": config,
            "image": facts,
            "effective": {name: effective[name] for name in ("device", "precision", "scheduler", "evaluations")},
            "weights": weights,
            "versions": VERSIONS,
            "fingerprint": "12" * 32,
        }
        chunks = PngInfo()
        chunks.add_text("parameters", parameters_line(recipe))
        chunks.add_text("mdiff", json.dumps(recipe, sort_keys=True))
        Image.fromarray(pixels).save(folder / "image_000.png", pnginfo=chunks)
        images = [{"file": "image_000.png", **facts, "bytes": (folder / "image_000.png").stat().st_size}]
    denoise = evaluations * (0.05 if precision == "fp32" else 0.04)
    stages = {
        "load_s": 0.5,
        "compile_s": 1.25,
        "encode_s": 0.01,
        "denoise_s": denoise,
        "decode_s": 0.04,
        "save_s": 0.01,
    }
    record = {
        "schema": 1,
        "status": "complete" if error is None else "failed",
        "fingerprint": "12" * 32,
        "error": None if error is None else {"type": "MdiffError", "message": error},
        "requested": config,
        "varies": {"scheduler": scheduler, "steps": steps, "precision": precision, "seed": seed},
        "effective": effective,
        "images": images,
        "timing": {**stages, "total_s": sum(stages.values())},
        "memory": {"peak_rss_mb": 812.4, "device_peak_mb": None},
        "weights": weights,
        "versions": VERSIONS,
        "git": {"commit": "c0ffee", "dirty": False},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "record.json").write_text(json.dumps(record | changes, indent=1))
    return folder


def write_sweep(
    folder: Path,
    schedulers: Sequence[str] = ("heun", "dpmpp_2m", "lms"),
    steps: Sequence[int] = (5, 10, 20, 50),
    precisions: Sequence[str] = ("fp32",),
    seeds: Sequence[int] = (0, 1),
    **options: Any,
) -> Path:
    """Write a cell for every combination (24 of them by default)."""
    for scheduler, count, precision, seed in itertools.product(schedulers, steps, precisions, seeds):
        name = f"scheduler={scheduler},steps={count},precision={precision},seed={seed}"
        write_cell(folder / name, scheduler, count, precision, seed, **options)
    return folder
