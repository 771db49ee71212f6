"""What a person writes for a grid with diffusers: ``python -m mdiff.bench.diffusers_loop MODEL FOLDER STEPS SEEDS``.

The model is loaded once, the prompt is encoded once, every image is one call. STEPS and SEEDS are as `10,20`.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    StableDiffusionPipeline,
)

SOLVERS = {
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "heun": HeunDiscreteScheduler,
    "lms": LMSDiscreteScheduler,
}

model, folder = sys.argv[1], Path(sys.argv[2])
steps, seeds = ([int(number) for number in words.split(",")] for words in sys.argv[3:5])
folder.mkdir(parents=True, exist_ok=True)
pipeline = StableDiffusionPipeline.from_pretrained(model)
pipeline.set_progress_bar_config(disable=True)
config = pipeline.scheduler.config
positive, negative = pipeline.encode_prompt("red apple", "cpu", 1, True, negative_prompt="")
for name, solver in SOLVERS.items():
    pipeline.scheduler = solver.from_config(config)
    for count in steps:
        for seed in seeds:
            image = pipeline(
                prompt_embeds=positive,
                negative_prompt_embeds=negative,
                num_inference_steps=count,
                guidance_scale=5,
                generator=torch.Generator().manual_seed(seed),
            ).images[0]
            image.save(folder / f"{name}_{count}_{seed}.png")
