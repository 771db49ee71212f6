"""A loaded model and what is done with it: encode prompts, run trajectories, decode latents."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mdiff import device as devices
from mdiff.device.compile_cache import compile_cache
from mdiff.engine import Engine, Tick, Trajectory
from mdiff.errors import MdiffError
from mdiff.nn.guidance import guidance_embedding
from mdiff.pipeline.clock import Clock
from mdiff.pipeline.request import Conditioning, ImageRequest
from mdiff.pipeline.text import TextEncoding


class Session:
    """One model on one device at one precision, kept for as many images as are asked for."""

    def __init__(self, description: Any, device: Any, precision: Any):
        self.description, self.device, self.precision = description, device, precision
        self.clock = Clock()
        with self.clock.stage("load"):
            devices.prepare_environment()
            devices.activate(device)
            from mdiff.model import load
            from mdiff.pipeline.network import Compiled, Denoiser

            self.model = load(description, device, precision, devices.kernels(device, precision))
            encoders = [
                Compiled(encoder, self._identity(name))
                for name, encoder in zip(("text_encoder", "text_encoder_2"), self.model.text_encoders, strict=False)
            ]
            self._decoder = Compiled(self.model.vae, self._identity("vae"), "decode")
            self.denoiser = Denoiser(self.model.unet, self._identity("unet"))
            self.text = TextEncoding(description, self.model.tokenizers, encoders, self.clock)

    @property
    def network_identity(self) -> str:
        """All that decides how the denoiser computes, but the shapes."""
        return self._identity("unet")

    def _identity(self, component: str) -> str:
        """All that decides a component's graph but the shapes; rounded weights are still weights."""
        number = self.precision.vae if component == "vae" else self.precision.compute
        config = json.dumps(dict(self.description.components[component].config), sort_keys=True)
        return f"{component} {number} on {self.device.kind} {config}"

    def trajectory(self, key: Any, request: ImageRequest) -> Trajectory:
        """Return the image's trajectory at its beginning: prompts encoded, initial noise drawn."""
        scale = self.description.vae_scale_factor
        shape = (self.description.latent_channels, request.height // scale, request.width // scale)
        positive, negative = self._conditionings(request)
        start = request.noise(shape) if request.latents is None else request.latents
        if start.shape != shape:
            raise MdiffError(
                f"latents have shape {start.shape} an image; {request.width}×{request.height} pixels need {shape}"
            )
        begin = start.astype(np.float32) * np.float32(request.table.init_scale)
        return Trajectory(
            key=key,
            table=request.table,
            registers=request.table.begin(begin),
            positive=positive,
            negative=negative,
            guidance=request.guidance,
            noise=request.noise,
            guidance_rescale=request.guidance_rescale,
            guidance_interval=request.guidance_interval,
            form=positive.context.shape,
        )

    def _conditionings(self, request: ImageRequest) -> tuple[Conditioning, Conditioning | None]:
        """Positive and, where the image is guided, negative conditioning."""
        guided = self.guided(request.guidance)
        positive, negative = request.positive_conditioning, request.negative_conditioning
        sizes = request.sizes
        if sizes is None:  # original size, crop, target size (Podell et al. 2023, section 2.2)
            sizes = (request.height, request.width, 0, 0, request.height, request.width)
        if positive is None:
            positive, other = self.text.pair(request.positive, request.negative if guided else None, sizes)
            negative = other if negative is None else negative
        elif guided and negative is None:
            negative, _ = self.text.pair(request.negative, None, sizes)
        if self.description.guidance_embedded:
            width = self.description.config("unet")["time_cond_proj_dim"]
            scale = guidance_embedding(np.asarray([request.guidance]), width)
            positive = replace(positive, guidance=scale)
        return positive, negative if guided else None

    def guided(self, guidance: float) -> bool:
        """Whether guidance has an effect: a scale above 1, and a UNet that does not take the scale as an input."""
        return guidance > 1 and not self.description.guidance_embedded

    def begin(self, batch: int, latent_shape: tuple[int, int], guided: bool) -> None:
        """Say, before the process compiles anything, which shape of network call it is about to compile."""
        cache = compile_cache()
        if cache is not None:
            height, width = latent_shape
            cache.begin(f"{batch * (2 if guided else 1)} rows of {height}×{width}")

    def denoise(
        self, trajectories: Iterable[Trajectory], batch: int, guided: bool, partly: bool = False
    ) -> Iterator[Tick]:
        """Yield a tick a network call until every trajectory (all of one latent shape) is finished.

        `partly` says that guidance has an interval, so that a second, smaller shape is worth its compilation.
        """
        self.denoiser.rows, self.denoiser.halves = batch * (2 if guided else 1), guided and partly
        before = self.denoiser.compile_seconds
        for tick in Engine(self.denoiser, batch).run(trajectories):
            self.clock.add("compile", self.denoiser.compile_seconds - before)
            before = self.denoiser.compile_seconds
            yield tick

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Return the image (3, H, W) in about −1 … 1 of latents (C, h, w); values that are not finite are an error."""
        scaled = latents[None] / np.float32(self.model.scaling_factor) + np.float32(self.model.shift_factor)
        with self.clock.stage("decode", lambda: self._decoder.compile_seconds):
            image = self._decoder(scaled)[0]
        if not np.isfinite(image).all():
            raise MdiffError(f"the VAE made pixels that are not finite in {self.precision.vae}; try precision=fp32")
        return image


_resident: list[tuple[Any, Session]] = []


def resident_session(description: Any, device: Any, precision: Any) -> Session:
    """Return the session of an earlier call where model, weights, device and precision are the same, else a new one.

    One model is kept: the earlier one is let go before another is loaded.
    """
    configs = {name: dict(part.config) for name, part in description.components.items()}
    key = (description.digests(), description.pixel_options, configs, device, precision)
    if not _resident or _resident[0][0] != key:
        _resident.clear()
        _resident.append((key, Session(description, device, precision)))
    return _resident[0][1]
