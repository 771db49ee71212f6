"""One side of a comparison, in a process of its own: loads a model, then times what it is told on request.

Speaks JSON lines on stdin and stdout, so that two workers can take turns and neither pays for the other's threads.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mdiff.errors import MdiffError

Stage = Callable[[], Any]


def mdiff_stages(folder: str, rows: int, width: int, height: int) -> dict[str, Stage]:
    """The UNet step, text encoding and decoding as mdiff runs them; the first call of each compiles."""
    from mdiff import device as devices
    from mdiff.model import ModelSource, describe
    from mdiff.pipeline.request import Text
    from mdiff.pipeline.session import Session

    description = describe(ModelSource(path=folder))
    device = devices.choose("auto")
    session = Session(description, device, devices.resolve_precision("fp32", device))
    scale = description.vae_scale_factor
    shape = (description.latent_channels, height // scale, width // scale)
    sizes = (height, width, 0, 0, height, width)

    def encode(words: str) -> Any:
        return session.text.pair(Text(words), None, sizes)[0]

    conditioning = encode("a red apple")
    denoiser = session.denoiser
    denoiser.rows = rows
    prepared = denoiser.prepare([conditioning] * rows)
    sample = np.random.default_rng(0).standard_normal((rows, *shape), dtype=np.float32)
    timesteps = np.full(rows, 500, np.float32)
    prompts = iter(range(10**9))
    return {
        "step": lambda: denoiser(sample, timesteps, prepared),
        "encode": lambda: encode(f"prompt {next(prompts)}"),
        "decode": lambda: session.decode(sample[0]),
    }


def diffusers_stages(folder: str, rows: int, width: int, height: int) -> dict[str, Stage]:
    """The same as diffusers runs them: eager, fp32, PyTorch on the CPU."""
    import torch
    from diffusers import StableDiffusionPipeline

    torch.set_grad_enabled(False)
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    channels = pipeline.unet.config.in_channels
    scale = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    sample = torch.from_numpy(
        np.random.default_rng(0).standard_normal((rows, channels, height // scale, width // scale), dtype=np.float32)
    )
    context = pipeline.encode_prompt("a red apple", "cpu", 1, False)[0].repeat(rows, 1, 1)
    prompts = iter(range(10**9))
    return {
        "step": lambda: pipeline.unet(sample, torch.tensor(500), encoder_hidden_states=context).sample,
        "encode": lambda: pipeline.encode_prompt(f"prompt {next(prompts)}", "cpu", 1, False),
        "decode": lambda: pipeline.vae.decode(sample[:1] / pipeline.vae.config.scaling_factor).sample,
    }


def median_seconds(call: Stage, calls: int) -> float:
    """Median wall time of `calls` calls."""
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Serve requests {"stage", "calls"} until stdin closes."""
    side, folder, rows, width, height = sys.argv[1], str(Path(sys.argv[2])), *map(int, sys.argv[3:6])
    make = mdiff_stages if side == "mdiff" else diffusers_stages
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries that print must not get between the answers
    try:
        stages = make(folder, rows, width, height)
    except MdiffError as error:
        sys.exit(f"mdiff.bench: {error}")
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = median_seconds(stages[request["stage"]], request["calls"])
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
