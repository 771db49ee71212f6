"""What is compared with diffusers: random little checkpoints, five solvers, two images of a size that is not square."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SOLVERS = {
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
}
STEPS = 10
SEEDS = (0, 41)
PROMPT, NEGATIVE = ["the cat, the dog", "a dog"], "cat"
GUIDANCE = 5.0


@dataclass(frozen=True)
class Case:
    """A checkpoint and a size in pixels."""

    kind: str
    width: int
    height: int


CASES = {case.kind: case for case in (Case("sd15-tiny", 16, 24), Case("sd15-deep", 64, 32), Case("sd21-tiny", 24, 16))}


def reference(folder: Path, case: Case, solver: str) -> dict[str, np.ndarray]:
    """What diffusers makes: text embeddings, latents, decoded image of the first; on PyTorch's CPU in fp32."""
    import diffusers
    import torch

    torch.set_num_threads(1)  # little networks
    pipeline: Any = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    class_name, options = SOLVERS[solver]
    pipeline.scheduler = getattr(diffusers, class_name).from_config(pipeline.scheduler.config, **options)
    with torch.no_grad():
        latents = pipeline(
            PROMPT,
            negative_prompt=[NEGATIVE] * len(PROMPT),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=case.width,
            height=case.height,
            generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
            output_type="latent",
        ).images
        scaled = latents[:1] / pipeline.vae.config.scaling_factor
        image = pipeline.vae.decode(scaled).sample
        text = pipeline.encode_prompt(PROMPT[0], "cpu", 1, False)[0]
    return {"latents": latents.numpy(), "image": image[0].numpy(), "text": text[0].numpy()}
