"""Checkpoints of full size with random weights, and what loading one and making one step cost.

    python -m tests.model.full_size make sd15 FOLDER       2 GB of fp16 files
    python -m tests.model.full_size make sdxl FOLDER       7 GB
    python -m tests.model.full_size measure FOLDER [--side mdiff|diffusers] [--size 512] [--steps 1]

`measure` prints seconds and the peak of resident memory of each side, each in a process of its own.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoint import make_checkpoint
from tests.shape import tensor_shapes

_CROSS, _DOWN, _CROSS_UP, _UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_VAE = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 512}
SIZES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "sd15": (
        "sd15-tiny",
        {
            "text_encoder": _TEXT,
            "unet": {
                "block_out_channels": [320, 640, 1280, 1280],
                "down_block_types": [_CROSS, _CROSS, _CROSS, _DOWN],
                "up_block_types": [_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP],
                "layers_per_block": 2,
                "norm_num_groups": 32,
                "cross_attention_dim": 768,
                "attention_head_dim": 8,
                "sample_size": 64,
            },
            "vae": _VAE,
        },
    ),
    "sdxl": (
        "sdxl-tiny",
        {
            "text_encoder": _TEXT,
            "text_encoder_2": {
                "hidden_size": 1280,
                "intermediate_size": 5120,
                "num_hidden_layers": 32,
                "num_attention_heads": 20,
                "projection_dim": 1280,
            },
            "unet": {
                "block_out_channels": [320, 640, 1280],
                "down_block_types": [_DOWN, _CROSS, _CROSS],
                "up_block_types": [_CROSS_UP, _CROSS_UP, _UP],
                "transformer_layers_per_block": [1, 2, 10],
                "layers_per_block": 2,
                "norm_num_groups": 32,
                "cross_attention_dim": 2048,
                "attention_head_dim": [5, 10, 20],
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
                "sample_size": 128,
            },
            "vae": _VAE,
        },
    ),
}
_STEMS = {"text_encoder": "model", "text_encoder_2": "model"}
_BLOCK = 1 << 20  # random values, repeated: enough for the arithmetic to be that of a real model


def make(size: str, folder: Path) -> None:
    """Write a checkpoint of the real widths and depths; its vocabulary is that of the little ones."""
    kind, configs = SIZES[size]
    make_checkpoint(folder, kind)
    for part, changes in configs.items():
        path = folder / part / "config.json"
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps(config, indent=2))
        name = json.loads((folder / "model_index.json").read_text())[part][1]
        weights = folder / part / f"{_STEMS.get(part, 'diffusion_pytorch_model')}.safetensors"
        _write(weights, tensor_shapes(name, config))


def _write(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, begin = {}, 0
    for name, shape in shapes.items():
        end = begin + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = np.random.default_rng(0).standard_normal(_BLOCK, dtype=np.float32)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            scale = 0.05 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            values = (block * np.float32(scale) + np.float32(len(shape) == 1 and name.endswith("weight"))).astype("<f2")
            for done in range(0, math.prod(shape), _BLOCK):
                file.write(values[: math.prod(shape) - done].data)


def run_mdiff(folder: str, side_length: int, steps: int) -> dict[str, float]:
    """Load and make one image with mdiff."""
    from mdiff import DiffusionPipeline

    began = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(folder)
    loaded = time.perf_counter()
    call: dict[str, Any] = {"num_inference_steps": steps, "width": side_length, "height": side_length, "seed": 0}
    pipeline("a red cat", output_type="latent", **call)
    first = time.perf_counter()
    pipeline("a red cat", output_type="latent", **call)
    return {"load": loaded - began, "first": first - loaded, "again": time.perf_counter() - first}


def run_diffusers(folder: str, side_length: int, steps: int) -> dict[str, float]:
    """The same with diffusers on PyTorch, fp32 on the CPU."""
    import torch
    from diffusers import DiffusionPipeline

    began = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    loaded = time.perf_counter()
    times = []
    for _ in range(2):
        pipeline("a red cat", num_inference_steps=steps, width=side_length, height=side_length, output_type="latent")
        times.append(time.perf_counter())
    return {"load": loaded - began, "first": times[0] - loaded, "again": times[1] - times[0]}


def _peak_gb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("kind", choices=SIZES)
    making.add_argument("folder", type=Path)
    measuring = commands.add_parser("measure")
    measuring.add_argument("folder")
    measuring.add_argument("--side", choices=("mdiff", "diffusers"))
    measuring.add_argument("--size", type=int, default=512)
    measuring.add_argument("--steps", type=int, default=1)
    given = parser.parse_args()
    if given.command == "make":
        make(given.kind, given.folder)
    elif given.side is None:
        for side in ("mdiff", "diffusers"):
            words = ["measure", given.folder, "--side", side, "--size", str(given.size), "--steps", str(given.steps)]
            subprocess.run([sys.executable, "-m", "tests.model.full_size", *words], check=True, env=os.environ)
    else:
        run = run_mdiff if given.side == "mdiff" else run_diffusers
        seconds = run(given.folder, given.size, given.steps)
        spent = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        print(f"{given.side}: {spent}; peak {_peak_gb():.2f} GB resident")


if __name__ == "__main__":
    main()
