"""A loaded model and what is done with it: encode prompts, run trajectories, decode latents."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mdiff import device as devices
from mdiff.device.collection import paused_collection
from mdiff.device.compile_cache import compile_cache
from mdiff.engine import STOPPED, Engine, Stopwatch, Tick, Trajectory
from mdiff.errors import MdiffError
from mdiff.model import DEFAULT_MEMORY, STAGES, Memory
from mdiff.nn.guidance import guidance_embedding
from mdiff.pipeline.clock import Clock
from mdiff.pipeline.request import Conditioning, ImageRequest
from mdiff.pipeline.text import TextEncoding
from mdiff.scheduler import Registers


class Session:
    """One model on one device at one precision, kept for as many images as are asked for."""

    def __init__(
        self,
        description: Any,
        device: Any,
        precision: Any,
        memory: Memory = DEFAULT_MEMORY,
        keep: Sequence[str] = STAGES,
    ):
        self.description, self.device, self.precision = description, device, precision
        self.memory, self.keep = memory, tuple(keep)
        self.clock = Clock()
        self._begun: dict[tuple[tuple[int, int], bool], set[int]] = {}
        with self.clock.stage("load"), paused_collection():
            devices.prepare_environment()
            devices.activate(device)
            from mdiff.pipeline.parts import Parts

            self.parts = Parts(description, device, precision, memory.attention_slicing, self.clock)
        self.text = TextEncoding(description, self.model.tokenizers, self.parts.encoders, self.clock)
        if not self.frees_encoders and self.keep == STAGES:
            self.parts.load()  # else each when it is needed, so that not all are there at once

    @property
    def model(self) -> Any:
        """The model, whose networks are loaded when they are asked for."""
        return self.parts.model

    @property
    def denoiser(self) -> Any:
        """The UNet as the engine's network."""
        return self.parts.denoiser()

    @property
    def frees_encoders(self) -> bool:
        """Whether the text encoders are let go once prompts are encoded."""
        return self.memory.free_text_encoders or "text_encoders" not in self.keep

    @property
    def network_identity(self) -> str:
        """All that decides how the denoiser computes, but the shapes."""
        return self.parts.identity("unet")

    def prepare(self, requests: Iterable[ImageRequest]) -> None:
        """Load what `denoise` needs; where the text encoders do not stay, these images' prompts are encoded before.

        As many as are kept, that is; for a prompt that comes later the text encoders are loaded again.
        """
        if self.frees_encoders:
            for request in requests:
                self._conditionings(request)
                if self.text.full:
                    break
            self.parts.release(("text_encoders",))
        self.parts.denoiser()

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
            registers=Registers(begin),
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

    def begun(self, latent_shape: tuple[int, int], guided: bool) -> tuple[int, ...]:
        """Return the sizes of network calls of this shape that images were made with before."""
        return tuple(self._begun.get((latent_shape, guided), ()))

    def begin(self, batch: int, latent_shape: tuple[int, int], guided: bool) -> None:
        """Say, before the process compiles anything, which shape of network call it is about to compile."""
        self._begun.setdefault((latent_shape, guided), set()).add(batch)
        cache = compile_cache()
        if cache is not None:
            height, width = latent_shape
            cache.begin(f"{batch * (2 if guided else 1)} rows of {height}×{width}")

    def denoise(
        self,
        trajectories: Iterable[Trajectory],
        batch: int,
        guided: bool,
        partly: bool = False,
        watch: Stopwatch = STOPPED,
    ) -> Iterator[Tick]:
        """Yield a tick a network call until every trajectory (all of one latent shape) is finished.

        `partly` says that guidance has an interval, so that a second, smaller shape is worth its compilation; `watch`
        times the parts of a call, for trajectories that note them.
        """
        denoiser = self.denoiser
        denoiser.rows, denoiser.halves = batch * (2 if guided else 1), guided and partly
        denoiser.watch = watch
        before = denoiser.compile_seconds
        for tick in Engine(denoiser, batch, watch).run(trajectories):
            self.clock.add("compile", denoiser.compile_seconds - before)
            before = denoiser.compile_seconds
            if self.frees_encoders and self.parts.loaded("text_encoders"):  # a prompt that was not encoded ahead
                self.parts.release(("text_encoders",))
            yield tick

    def decode(self, latents: np.ndarray, number: str | None = None) -> np.ndarray:
        """Return the image (3, H, W) in about −1 … 1 of latents (C, h, w); `NotFiniteError` where it overflows.

        `number` is another number format for the VAE than that of the session's precision.
        """
        scale = self.description.vae_scale_factor
        tiled = self.memory.tiles(self.description, latents.shape[2] * scale, latents.shape[1] * scale)
        decoder = self.parts.decoder(tiled, number)
        scaled = latents[None] / np.float32(self.model.scaling_factor) + np.float32(self.model.shift_factor)
        with self.clock.stage("decode", functools.partial(getattr, decoder, "compile_seconds")):
            image = decoder(scaled)[0]
        if not np.isfinite(image).all():
            raise NotFiniteError(self.precision.vae if number is None else number)
        return image

    def exchange(self, component: str, description: Any, precision: Any) -> None:
        """Take `component` from `description`, which is the same model in all else; what else is loaded stays."""
        self.description, self.precision = description, precision
        self.parts.exchange(component, description, precision)

    def restart(self) -> None:
        """Make a session usable again in which a network call failed."""
        self.parts.restart()
        devices.empty_cache(self.device)

    def release(self, stage: str) -> None:
        """Let a part go that does not stay between cells: nothing more of its kind is to be done for now."""
        if stage not in self.keep:
            self.parts.release((stage,))


class NotFiniteError(MdiffError):
    """The VAE made pixels that are not finite in the number format `number`."""

    def __init__(self, number: str):
        hint = "" if number == "float32" else "; set on_nan=[vae_fp32] to decode such images in float32"
        super().__init__(f"the VAE made pixels that are not finite in {number}{hint}")
        self.number = number


_resident: list[tuple[Any, Session]] = []


def resident_session(
    description: Any,
    device: Any,
    precision: Any,
    memory: Memory = DEFAULT_MEMORY,
    keep: Sequence[str] = STAGES,
) -> Session:
    """Return the session of an earlier call where model, weights, device and precision are the same, else a new one.

    One model is kept: the earlier one is let go before another is loaded.
    """
    configs = {name: dict(part.config) for name, part in description.components.items()}
    key = (description.digests(), description.pixel_options, configs, device, precision, memory.attention_slicing)
    if not _resident or _resident[0][0] != key:
        _resident.clear()
        _resident.append((key, Session(description, device, precision, memory, keep)))
    session = _resident[0][1]
    session.memory, session.keep = memory, tuple(keep)
    return session
