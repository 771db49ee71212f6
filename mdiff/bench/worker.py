"""One side of a comparison, in a process of its own: loads a component when first asked, then times it on request.

Speaks JSON lines on stdin and stdout, so that two workers can take turns and neither pays for the other's threads.
"""

import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mdiff.bench.size import STEMS, class_of
from mdiff.errors import MdiffError

Call = Callable[[], Any]


class MdiffSide:
    """A UNet step, text encoding and decoding as mdiff runs them; the first call of each loads and compiles."""

    def __init__(self, folder: Path, width: int, height: int):
        from mdiff import device as devices
        from mdiff.bench.inputs import read_config

        if not (folder / "unet" / "config.json").is_file():
            from mdiff.model import ModelSource, describe

            describe(ModelSource(path=str(folder)))  # says what is wrong with the folder
        self._folder, self._config = folder, functools.partial(read_config, folder)
        self._device = devices.choose("auto")
        devices.activate(self._device)
        self._precision = devices.resolve_precision("fp32", self._device)
        self._size = width, height

    def _network(self, name: str) -> Any:
        from mdiff import device as devices
        from mdiff import nn
        from mdiff.weights import open_weights
        from mdiff.weights.assign import assign

        config = self._config(name)
        formulations = devices.kernels(self._device, self._precision)
        cell = getattr(nn, class_of(config))(config, formulations)
        cell.set_train(False)
        weights = open_weights(self._folder / name, STEMS[name])
        assign(nn.renames(cell), weights, formulations.dtype, ignore=nn.ignored(cell))
        return cell

    @functools.cached_property
    def _denoiser(self) -> Any:
        from mdiff.pipeline.network import Denoiser

        return Denoiser(self._network("unet"), f"bench {self._config('unet')}")

    @functools.cache  # noqa: B019 (lives as long as the process)
    def call(self, stage: str, rows: int) -> Call:
        """Return what runs a stage once: "step" of `rows` rows, "encode" or "decode"."""
        return getattr(self, f"_{stage}")(rows)

    def _step(self, rows: int) -> Call:
        from mdiff.bench.inputs import step_inputs
        from mdiff.pipeline.request import Conditioning

        given = step_inputs(self._folder, *self._size, rows)
        denoiser = self._denoiser
        denoiser.rows = rows
        added = None if given.added is None else given.added[:1]
        prepared = denoiser.prepare([Conditioning(given.context[:1], added)] * rows)
        timesteps = np.full(rows, 500, np.float32)
        return lambda: denoiser(given.sample, timesteps, prepared)

    def _encode(self, rows: int) -> Call:
        from mdiff.pipeline.network import Compiled
        from mdiff.prompt import Tokenizer

        tokenizer = Tokenizer.from_folder(self._folder / "tokenizer")
        encoder = Compiled(self._network("text_encoder"), f"bench {self._config('text_encoder')}")
        prompts = iter(range(10**9))
        return lambda: encoder(tokenizer([f"prompt {next(prompts)}"]))

    def _decode(self, rows: int) -> Call:
        from mdiff.bench.inputs import latents
        from mdiff.pipeline.network import Compiled

        decoder = Compiled(self._network("vae"), f"bench {self._config('vae')}", "decode")
        sample = latents(self._config("vae"), *self._size)
        return lambda: decoder(sample)


class DiffusersSide:
    """The same as diffusers runs them: eager, fp32, PyTorch on the CPU."""

    def __init__(self, folder: Path, width: int, height: int):
        import torch

        from mdiff.bench.inputs import read_config

        torch.set_grad_enabled(False)
        self._folder, self._config = folder, functools.partial(read_config, folder)
        self._size = width, height

    @functools.cached_property
    def _unet(self) -> Any:
        import torch
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel.from_pretrained(self._folder / "unet", torch_dtype=torch.float32)

    @functools.cache  # noqa: B019 (lives as long as the process)
    def call(self, stage: str, rows: int) -> Call:
        """Return what runs a stage once, as `MdiffSide.call`."""
        return getattr(self, f"_{stage}")(rows)

    def _step(self, rows: int) -> Call:
        import torch

        from mdiff.bench.inputs import step_inputs

        unet: Any = self._unet
        given = step_inputs(self._folder, *self._size, rows)
        sample, context = torch.from_numpy(given.sample), torch.from_numpy(given.context)
        added = None
        if given.added is not None:
            pooled, sizes = given.added[:, :-6], given.added[:, -6:]
            added = {"text_embeds": torch.from_numpy(pooled), "time_ids": torch.from_numpy(sizes)}
        return lambda: unet(
            sample, torch.tensor(500), encoder_hidden_states=context, added_cond_kwargs=added
        ).sample.numpy()

    def _encode(self, rows: int) -> Call:
        import torch
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer: Any = CLIPTokenizer.from_pretrained(self._folder / "tokenizer")
        encoder: Any = CLIPTextModel.from_pretrained(self._folder / "text_encoder", dtype=torch.float32)
        prompts = iter(range(10**9))

        def encode() -> Any:
            words = f"prompt {next(prompts)}"
            ids = tokenizer(words, padding="max_length", truncation=True, return_tensors="pt").input_ids
            return encoder(ids)[0].numpy()

        return encode

    def _decode(self, rows: int) -> Call:
        import torch
        from diffusers import AutoencoderKL

        from mdiff.bench.inputs import latents

        vae: Any = AutoencoderKL.from_pretrained(self._folder / "vae", torch_dtype=torch.float32)
        sample = torch.from_numpy(latents(self._config("vae"), *self._size))
        return lambda: vae.decode(sample).sample.numpy()


def median_seconds(call: Call, calls: int) -> float:
    """Median wall time of `calls` calls."""
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Serve requests {"stage", "rows", "calls"} until stdin closes."""
    side, folder, width, height = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries that print must not get between the answers
    try:
        make: Any = MdiffSide if side == "mdiff" else DiffusersSide
        worker = make(folder, width, height)
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            seconds = median_seconds(worker.call(request["stage"], request["rows"]), request["calls"])
            print(json.dumps({"seconds": seconds}), file=answers, flush=True)
    except MdiffError as error:
        sys.exit(f"mdiff.bench: {error}")


if __name__ == "__main__":
    main()
