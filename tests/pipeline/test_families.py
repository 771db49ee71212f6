"""SDXL, the turbo models and LCM beside diffusers, live: the conditions that Stable Diffusion 1 and 2 do not have."""

from typing import Any

import numpy as np
import pytest

from mdiff import DiffusionPipeline
from tests.checkpoint import make_checkpoint
from tests.pipeline.test_parity import error

pytestmark = [pytest.mark.parity, pytest.mark.slow]

SIZE = {"width": 32, "height": 16}
PIPELINES = {"sdxl": "StableDiffusionXLPipeline", "lcm": "LatentConsistencyModelPipeline"}


@pytest.fixture(scope="module", params=["sdxl-tiny", "sdxl-turbo-tiny", "sd-turbo-tiny", "lcm-tiny"])
def both(request, tmp_path_factory):
    """The kind, mdiff's pipeline and diffusers' on one checkpoint."""
    diffusers, torch = pytest.importorskip("diffusers"), pytest.importorskip("torch")
    torch.set_num_threads(1)
    folder = make_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    theirs: Any = getattr(diffusers, PIPELINES.get(request.param.split("-")[0], "StableDiffusionPipeline"))
    theirs = theirs.from_pretrained(folder, dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    return request.param, DiffusionPipeline.from_pretrained(folder), theirs


def check(both, prompts, limit=1e-3, **options):
    """Latents of both, one generator an image, within `limit` of the reference's deviation."""
    import torch

    kind, ours, theirs = both
    seeds = range(3, 3 + len(prompts))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    with torch.no_grad():
        expected = theirs(prompts, generator=generators, output_type="latent", **SIZE, **options).images.numpy()
    made = ours(prompts, seed=list(seeds), output_type="latent", batch=len(prompts), **SIZE, **options)[0]
    assert error(made, expected) < limit, kind


def test_the_usual_call(both):
    kind = both[0]
    if "turbo" in kind:
        check(both, ["the cat"], num_inference_steps=1, guidance_scale=0.0)
        check(both, ["the cat"], num_inference_steps=4, guidance_scale=0.0)
    elif kind.startswith("lcm"):
        check(both, ["the cat"], num_inference_steps=4, guidance_scale=8.5)
        check(both, ["the cat", "a dog"], num_inference_steps=2, guidance_scale=1.0)
    else:
        check(both, ["the cat"], num_inference_steps=10, guidance_scale=5.0)


@pytest.mark.parametrize("both", ["sdxl-tiny"], indirect=True)  # the others are not guided by a negative prompt
def test_negative_prompts_given_empty_and_absent(both):
    options = {"num_inference_steps": 3, "guidance_scale": 4.0}
    check(both, ["the cat", "a dog"], negative_prompt=["dog", "cat"], **options)
    check(both, ["the cat"], negative_prompt="", **options)
    check(both, ["the cat"], **options)


@pytest.mark.parametrize("both", ["sdxl-tiny"], indirect=True)
def test_rescaled_guidance(both):
    check(both, ["the cat"], num_inference_steps=3, guidance_scale=7.0, guidance_rescale=0.7)


def test_decoding(both):
    import torch

    kind, ours, theirs = both
    latents = np.random.default_rng(0).standard_normal((4, 3, 2), dtype=np.float32)
    with torch.no_grad():
        scaled = torch.from_numpy(latents[None]) / theirs.vae.config.scaling_factor
        expected = theirs.vae.decode(scaled).sample[0].numpy()
    assert error(ours._session.decode(latents), expected) < 1e-4, kind
