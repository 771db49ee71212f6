"""Code that follows mindone.diffusers' page on basic performance runs with its import changed, and nothing else.

The calls are that page's: SDXL in bf16, another scheduler from the old one's config, fewer steps, prompts with more in
them, a negative prompt, slower schedulers, timing. A random little SDXL lies where the page's checkpoint would be.
"""

import numpy as np
import pytest

from tests.checkpoint import make_checkpoint

SNIPPETS = {
    "loading": """
import mindspore as ms
from mindone.diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained(
    "stabilityai/stable-diffusion-xl-base-1.0", mindspore_dtype=ms.bfloat16, use_safetensors=True
)
prompt = '''
a film still of a cat with a drink in a pool, California
highly detailed, cinemascope, moody, film grain
'''
image = pipeline(prompt)[0][0]
""",
    "a faster scheduler, timed": """
import time
from mindone.diffusers import DPMSolverMultistepScheduler

pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
start_time = time.time()
image = pipeline(prompt, num_inference_steps=20)[0][0]
end_time = time.time()
print(f"Image generation took {end_time - start_time:.3f} seconds")
assert type(pipeline.scheduler) is DPMSolverMultistepScheduler
""",
    "karras sigmas": """
pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, use_karras_sigmas=True)
image = pipeline(prompt, num_inference_steps=5)[0][0]
assert pipeline.scheduler.config["use_karras_sigmas"]
""",
    "a negative prompt": """
negative_prompt = "low quality, blurry, ugly, poor details"
image = pipeline(prompt, negative_prompt=negative_prompt, num_inference_steps=5)[0][0]
""",
    "slower schedulers": """
from mindone.diffusers import HeunDiscreteScheduler, LMSDiscreteScheduler

pipeline.scheduler = HeunDiscreteScheduler.from_config(pipeline.scheduler.config)
heun = pipeline(prompt, negative_prompt=negative_prompt, num_inference_steps=10)[0][0]
pipeline.scheduler = LMSDiscreteScheduler.from_config(pipeline.scheduler.config)
image = pipeline(prompt, negative_prompt=negative_prompt, num_inference_steps=10)[0][0]
""",
    "generators and several images": """
import numpy as np

def get_inputs(batch_size=1):
    generator = [np.random.Generator(np.random.PCG64(seed=i)) for i in range(batch_size)]
    return {"prompt": batch_size * [prompt], "generator": generator, "num_inference_steps": 3}

images = pipeline(**get_inputs(batch_size=3))[0]
again = pipeline(**get_inputs(batch_size=3))[0]
assert len(images) == 3 and all(np.array_equal(one, other) for one, other in zip(images, again))
generator = np.random.Generator(np.random.PCG64(seed=0))
image = pipeline(prompt, generator=generator, num_inference_steps=3)[0][0]
assert np.abs(np.asarray(image, int) - np.asarray(images[0], int)).max() <= 1
""",
    "another autoencoder, and a sheet of images": """
from mindone.diffusers import AutoencoderKL, StableDiffusionXLPipeline, make_image_grid

vae = AutoencoderKL.from_pretrained("madebyollin/sdxl-vae-fp16-fix", mindspore_dtype=ms.bfloat16)
pipeline.vae = vae
images = pipeline(**get_inputs(batch_size=3))[0]
image = make_image_grid(images, rows=1, cols=3)
assert image.size == (3 * images[0].width, images[0].height)
assert not any(np.array_equal(one, other) for one, other in zip(images, again))
scheduler = pipeline.scheduler
pipeline = StableDiffusionXLPipeline.from_pretrained(
    "stabilityai/stable-diffusion-xl-base-1.0", vae=vae, mindspore_dtype=ms.bfloat16
)
pipeline.scheduler = scheduler
from_start = pipeline(**get_inputs(batch_size=3))[0]
assert all(np.array_equal(one, other) for one, other in zip(images, from_start))
""",
    "less memory": """
pipeline.enable_vae_tiling()
pipeline.enable_vae_slicing()
pipeline.enable_attention_slicing()
image = pipeline(prompt, num_inference_steps=2)[0][0]
""",
    "saving": """
image.save("cat.png")
""",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the prompt has more than")
def test_the_snippets_run_in_their_order(tmp_path, monkeypatch, capsys):
    make_checkpoint(tmp_path / "stabilityai" / "stable-diffusion-xl-base-1.0", "sdxl-tiny")
    other = make_checkpoint(tmp_path / "other", "sdxl-tiny", seed=1)
    (tmp_path / "madebyollin").mkdir()
    (other / "vae").rename(tmp_path / "madebyollin" / "sdxl-vae-fp16-fix")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for title, text in SNIPPETS.items():
        exec(compile(text.replace("mindone.diffusers", "mdiff"), title, "exec"), names)
        picture = np.asarray(names["image"])
        assert picture.ndim == 3 and np.ptp(picture) > 20, title
    assert "Image generation took" in capsys.readouterr().out
    assert (tmp_path / "cat.png").is_file()
