"""What is measured once a process: ``python -m mdiff.bench.once ACTION SIDE FOLDER [--size 512] [--steps 2]``.

`load` prints the seconds of `from_pretrained`, libraries imported before. `image` makes one image, for the peak of
memory. `start` (mdiff alone) prints the seconds from MindSpore's import to the UNet's first result.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any


def load_mdiff(folder: str) -> Any:
    """Load with mdiff; MindSpore is imported before, as PyTorch is on the other side."""
    from mdiff import DiffusionPipeline, nn
    from mdiff import device as devices
    from mdiff.pipeline import parts  # noqa: F401 (what from_pretrained would import, as below)

    for name in nn.__all__:
        getattr(nn, name)
    devices.activate(devices.choose("auto"))
    began = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(folder)
    return pipeline, time.perf_counter() - began


def load_diffusers(folder: str) -> Any:
    """Load with diffusers on PyTorch, fp32 on the CPU."""
    import torch
    from diffusers import DiffusionPipeline, StableDiffusionPipeline  # noqa: F401 (what from_pretrained would import)

    began = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    seconds = time.perf_counter() - began
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, seconds


def image(pipeline: Any, side_length: int, steps: int) -> float:
    """Make one square image and return the seconds it took."""
    began = time.perf_counter()
    pipeline("a red cat", num_inference_steps=steps, width=side_length, height=side_length)
    return time.perf_counter() - began


def start_mdiff(folder: str, side_length: int) -> float:
    """Seconds from MindSpore's import to the first result of the UNet: load, compile or read, encode, one step."""
    from mdiff import device as devices
    from mdiff.model import ModelSource, describe
    from mdiff.noise import Generator
    from mdiff.pipeline.request import ImageRequest, Text
    from mdiff.pipeline.session import Session
    from mdiff.scheduler import solver_class

    description = describe(ModelSource(path=folder))
    device = devices.choose("auto")
    scheduler = solver_class(description.scheduler_class).from_config(description.scheduler_config)
    table = scheduler.table(4)
    devices.activate(device)
    began = time.perf_counter()
    session = Session(description, device, devices.resolve_precision("fp32", device))
    noise = Generator(0).randn
    request = ImageRequest(Text("a red cat"), Text(""), table, 5.0, side_length, side_length, noise)
    next(session.denoise([session.trajectory(0, request)], 1, True))
    return time.perf_counter() - began


def main() -> None:
    """Do one thing and print it as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.bench.once", description=__doc__)
    parser.add_argument("action", choices=("load", "image", "start"))
    parser.add_argument("side", choices=("mdiff", "diffusers"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    if options.action == "start":
        print(json.dumps({"start": start_mdiff(str(options.folder), options.size)}))
        return
    load = load_mdiff if options.side == "mdiff" else load_diffusers
    pipeline, seconds = load(str(options.folder))
    told = {"load": seconds}
    if options.action == "image":
        told["image"] = image(pipeline, options.size, options.steps)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
