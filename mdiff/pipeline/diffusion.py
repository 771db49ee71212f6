"""`DiffusionPipeline`: text to image with the calls that people know from diffusers and mindone.diffusers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mdiff import device as devices
from mdiff.device.collection import paused_collection
from mdiff.engine import Tick
from mdiff.errors import MdiffError, nearest
from mdiff.model import ModelSource, describe
from mdiff.pipeline.argument import Prompt, embeddings, interval, noise_sources, precision_name, refuse_pickles, texts
from mdiff.pipeline.batch import automatic_batch
from mdiff.pipeline.request import WHOLE, ImageRequest
from mdiff.pipeline.session import Session
from mdiff.scheduler import Scheduler, solver_class

OUTPUT_TYPES = ("pil", "np", "latent")


class ImageOutput(NamedTuple):
    """The images, in the order of the prompts, `num_images_per_prompt` of each."""

    images: Any


class DiffusionPipeline:
    """A Stable Diffusion model: tokenizer, text encoder, UNet, VAE and a scheduler that can be replaced.

    pipeline = DiffusionPipeline.from_pretrained(folder, mindspore_dtype=mindspore.bfloat16)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    image = pipeline(prompt, negative_prompt=negative_prompt, seed=0)[0][0]
    """

    def __init__(self, session: Session, scheduler: Scheduler):
        self._session, self.scheduler = session, scheduler
        self._step = 0

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        mindspore_dtype: Any = None,
        revision: str | None = None,
        variant: str | None = None,
        device: str = "auto",
        use_safetensors: bool = True,
        **options: Any,
    ) -> "DiffusionPipeline":
        """Load a folder in the Hugging Face layout, or a Hub id.

        `mindspore_dtype` is mindspore.float32, float16 or bfloat16 (None: bf16 on Ascend, fp32 on CPU). `options`
        are fields of `mdiff.model.ModelSource`. Raises MdiffError, with what is wrong and where.
        """
        refuse_pickles(use_safetensors)
        allowed = set(ModelSource.__dataclass_fields__)
        for name in options:
            if name not in allowed:
                raise MdiffError(f"from_pretrained has no option {name!r}{nearest(name, allowed)}")
        source = ModelSource(path=str(pretrained_model_name_or_path), revision=revision, variant=variant, **options)
        with paused_collection():
            description = describe(source)
        chosen = devices.choose(device)
        precision = _precision(precision_name(mindspore_dtype), chosen, description)
        scheduler = solver_class(description.scheduler_class).from_config(description.scheduler_config)
        return cls(Session(description, chosen, precision), scheduler)

    @property
    def unet(self) -> Any:
        """The UNet, a MindSpore cell."""
        return self._session.model.unet

    @property
    def vae(self) -> Any:
        """The autoencoder, a MindSpore cell; the path of another, or `AutoencoderKL.from_pretrained`'s, can be set."""
        return self._session.model.vae

    @vae.setter
    def vae(self, part: Any) -> None:
        session = self._session
        description = describe(replace(session.description.source, vae=part))
        session.exchange("vae", description, _precision(session.precision.requested, session.device, description))

    @property
    def text_encoder(self) -> Any:
        """The (first) text encoder, a MindSpore cell."""
        return self._session.model.text_encoders[0]

    @property
    def tokenizer(self) -> Any:
        """The (first) tokenizer."""
        return self._session.model.tokenizers[0]

    def enable_vae_tiling(self) -> None:
        """Decode images larger than a tile in parts; what comes out is the same up to float rounding."""
        self._save_memory(vae_tiling=True)

    def disable_vae_tiling(self) -> None:
        """Decode every image at once."""
        self._save_memory(vae_tiling=False)

    def enable_vae_slicing(self) -> None:
        """Images are always decoded one at a time; the call is there for code that makes it."""

    def disable_vae_slicing(self) -> None:
        """See `enable_vae_slicing`; nothing changes."""

    def enable_attention_slicing(self, slice_size: Any = "auto") -> None:
        """Let attention take fewer queries at a time. Loads the networks again; `slice_size` is not looked at."""
        self._save_memory(attention_slicing=True)

    def disable_attention_slicing(self) -> None:
        """Let attention take as many queries at a time as are fast."""
        self._save_memory(attention_slicing=False)

    def _save_memory(self, **changes: bool) -> None:
        session = self._session
        memory = replace(session.memory, **changes)
        if memory.attention_slicing == session.memory.attention_slicing:
            session.memory = memory
            return
        description, device, precision = session.description, session.device, session.precision
        del self._session, session  # the networks go before they are loaded again
        self._session = Session(description, device, precision, memory)

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.0,
        guidance_interval: Sequence[float] | None = None,
        num_images_per_prompt: int = 1,
        eta: float | None = None,
        generator: Any = None,
        seed: int | Sequence[int] | None = None,
        latents: np.ndarray | None = None,
        prompt_embeds: Any = None,
        negative_prompt_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = False,
        batch: int | None = None,
        callback_on_step_end: Callable[..., Mapping[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImageOutput:
        """Make images and return them as ``(images,)``.

        `seed` is an int (image i uses seed + i) or a list with one an image; `generator` is one mdiff.Generator or
        numpy Generator for all of them, as in diffusers, or a list with one an image. `latents` (n, C, h, w) is the
        initial noise before scaling, the same for every scheduler. `guidance_scale` defaults to 7.5, and to 5 for
        SDXL; outside `guidance_interval`, fractions of the steps from and to, images are not guided and cost half.
        `output_type`: "pil"; "np" (n, H, W, 3) float32 in 0 … 1; "latent" (n, C, h, w). `batch` is how many
        images go into one network call at most.
        `callback_on_step_end(pipeline, step, timestep, {"latents": …})` is called when all images took a step and
        may return replaced latents.
        """
        if output_type not in OUTPUT_TYPES:
            raise MdiffError(f"output_type is {output_type!r}{nearest(output_type, OUTPUT_TYPES)}")
        description = self._session.description
        scale = guidance_scale if guidance_scale is not None else (5.0 if description.kind == "sdxl" else 7.5)
        if not np.isfinite(scale):
            raise MdiffError(f"guidance_scale is {scale}; it takes a finite number")
        if not 0 <= guidance_rescale <= 1:
            raise MdiffError(f"guidance_rescale is {guidance_rescale}; it takes a number from 0 to 1")
        between = interval(guidance_interval)
        width = description.default_width if width is None else width
        height = description.default_height if height is None else height
        self._check_size(width, height)
        positive, negative = self._prompts(prompt, negative_prompt, prompt_embeds, negative_prompt_embeds)
        if isinstance(num_images_per_prompt, bool) or not num_images_per_prompt >= 1:
            raise MdiffError(f"num_images_per_prompt is {num_images_per_prompt!r}; it takes a whole number from 1")
        count = len(positive) * num_images_per_prompt
        noises = noise_sources(seed, generator, count)
        if latents is not None and len(latents) != count:
            raise MdiffError(f"latents are for {len(latents)} images; {count} are asked for")
        table = self._table(num_inference_steps, timesteps, sigmas, eta)

        def requests() -> Iterator[ImageRequest]:
            for index in range(count):
                text, given = positive[index // num_images_per_prompt]
                negative_text, negative_given = negative[index // num_images_per_prompt]
                yield ImageRequest(
                    text,
                    negative_text,
                    table,
                    scale,
                    width,
                    height,
                    noises[index],
                    None if latents is None else np.asarray(latents[index], np.float32),
                    guidance_rescale,
                    between,
                    given,
                    negative_given,
                )

        factor = description.vae_scale_factor
        if callback_on_step_end is not None:
            batch = count  # a callback sees every image at the same step
        elif batch is None:
            batch = automatic_batch(self._session.device, (height // factor, width // factor))
        finished: dict[int, np.ndarray] = {}
        self._session.prepare(requests())
        trajectories = (self._session.trajectory(index, request) for index, request in enumerate(requests()))
        guided = self._session.guided(scale)
        for tick in self._session.denoise(trajectories, min(batch, count), guided, between != WHOLE):
            if callback_on_step_end is not None:
                self._call_back(callback_on_step_end, callback_on_step_end_tensor_inputs, tick)
            for trajectory in tick.finished:
                if trajectory.error is not None:
                    raise MdiffError(f"image {trajectory.key}: {trajectory.error}")
                finished[trajectory.key] = trajectory.latents
        return ImageOutput(self._output([finished[index] for index in range(count)], output_type))

    def _check_size(self, width: int, height: int) -> None:
        multiple = self._session.description.size_multiple
        for name, value in (("width", width), ("height", height)):
            if value <= 0 or value % multiple:
                lower = max(multiple, value // multiple * multiple)
                raise MdiffError(
                    f"{name} is {value}; this model needs a positive multiple of {multiple}, such as {lower}"
                )

    def _prompts(
        self, prompt: Any, negative: Any, embeds: Any, negative_embeds: Any
    ) -> tuple[list[Prompt], list[Prompt]]:
        """Positive and negative prompts, as text or as given embeddings, of equal length."""
        if (prompt is None) == (embeds is None):
            raise MdiffError("give either prompt or prompt_embeds")
        positive = texts("prompt", prompt) if embeds is None else embeddings(embeds)
        if not positive:
            raise MdiffError("the list of prompts is empty")
        if negative_embeds is not None:
            others = embeddings(negative_embeds)
        else:
            others = texts("negative_prompt", "" if negative is None else negative, absent=negative is None)
        if len(others) == 1:
            others = others * len(positive)
        if len(others) != len(positive):
            raise MdiffError(
                f"there are {len(others)} negative prompts for {len(positive)} prompts; give one or as many"
            )
        return positive, others

    def _table(self, steps: int, timesteps: Any, sigmas: Any, eta: float | None) -> Any:
        options = dict(self.scheduler.step_options)
        if eta is not None and "eta" in options:  # as in diffusers, other solvers ignore it
            options["eta"] = eta
        if timesteps is not None or sigmas is not None:
            return self.scheduler.table(timesteps=timesteps, sigmas=sigmas, **options)
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise MdiffError(f"num_inference_steps is {steps!r}; it takes a whole number from 1")
        return self.scheduler.table(int(steps), **options)

    def _call_back(self, callback: Callable[..., Any], names: Sequence[str], tick: Tick) -> None:
        """Call the user's function once a step: when the next evaluation belongs to another step, or none is left."""
        first = tick.advanced[0]
        table, row = first.table, first.row - 1
        if not first.finished and table.step[row] == table.step[row + 1]:
            return
        values = {"latents": np.stack([trajectory.latents for trajectory in tick.advanced])}
        changed = callback(self, int(table.step[row]), float(table.t[row]), {n: values[n] for n in names})
        if changed is not None and "latents" in changed:
            for trajectory, latents in zip(tick.advanced, changed["latents"], strict=True):
                trajectory.registers = trajectory.registers._replace(x=np.asarray(latents, np.float32))

    def _output(self, latents: list[np.ndarray], output_type: str) -> Any:
        if output_type == "latent":
            return np.stack(latents)
        decoded = np.stack([self._session.decode(each) for each in latents]).transpose(0, 2, 3, 1)
        unit = np.clip(decoded * np.float32(0.5) + np.float32(0.5), 0, 1)
        if output_type == "np":
            return unit
        return [Image.fromarray(pixels) for pixels in np.round(unit * 255).astype(np.uint8)]


def _precision(requested: str, device: Any, description: Any) -> Any:
    return devices.resolve_precision(requested, device, force_upcast_vae=description.force_upcast_vae)
