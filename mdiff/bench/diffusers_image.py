"""What a person writes for one picture with diffusers: ``python -m mdiff.bench.diffusers_image MODEL FILE``."""

import sys

import torch
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
generator = torch.Generator().manual_seed(0)
image = pipeline("red apple", num_inference_steps=20, guidance_scale=5, generator=generator).images[0]
image.save(sys.argv[2])
