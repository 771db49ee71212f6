"""The bundled model is an ordinary Stable Diffusion folder: diffusers loads it and draws what is asked for."""

import numpy as np
import pytest

from mdiff.model.emoji import metric
from mdiff.model.emoji.evaluate import FOLDER

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def pipeline():
    pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(FOLDER)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_diffusers_draws_what_was_asked_for(pipeline):
    import torch

    concepts = metric.Concepts.load(FOLDER)
    captions = metric.draw_captions(concepts, 8, seed=7)
    generators = [torch.Generator().manual_seed(i) for i in range(len(captions))]
    images = pipeline(
        captions, num_inference_steps=20, guidance_scale=5.0, generator=generators, output_type="np"
    ).images
    assert images.shape == (8, 64, 64, 3)
    assert np.isfinite(images).all()
    _, fifth = metric.recall(images, captions, concepts)
    assert fifth >= 0.5


def test_latents_of_the_drawings_are_standard(pipeline):
    import torch

    concepts = metric.Concepts.load(FOLDER)
    images = concepts.on_white.repeat(4, axis=1).repeat(4, axis=2)[::4]
    with torch.no_grad():
        latents = pipeline.vae.encode(torch.from_numpy(images * 2 - 1).permute(0, 3, 1, 2)).latent_dist.mean
    scaled = latents * pipeline.vae.config.scaling_factor
    assert scaled.mean(dim=(0, 2, 3)).abs().max() < 0.6
    assert 0.6 < scaled.std() < 1.4
