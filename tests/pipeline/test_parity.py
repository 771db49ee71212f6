"""The pipeline beside diffusers: golden files always, a live comparison where diffusers is installed."""

from pathlib import Path

import numpy as np
import pytest

import mdiff
from mdiff import DiffusionPipeline
from mdiff.pipeline.request import Text
from tests.checkpoint import make_checkpoint
from tests.pipeline.cases import CASES, GUIDANCE, NEGATIVE, PROMPT, SEEDS, SOLVERS, STEPS, reference

GOLDEN = Path(__file__).with_name("golden.npz")


SLOW = ("sd15-deep",)  # its UNet alone compiles for ten seconds


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in CASES]
)
def made(request, tmp_path_factory):
    """A case, its checkpoint, and mdiff's pipeline on it."""
    folder = make_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    pipeline = DiffusionPipeline.from_pretrained(folder)
    return CASES[request.param], folder, pipeline, pipeline.scheduler.config


def latents_of(made, solver):
    case, _, pipeline, config = made
    class_name, options = SOLVERS[solver]
    pipeline.scheduler = getattr(mdiff, class_name).from_config(config, **options)
    return pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=case.width,
        height=case.height,
        seed=list(SEEDS),
        output_type="latent",
        batch=2,
    )[0]


def embedding(pipeline):
    return pipeline._session.text.pair(Text(PROMPT[0]), None, ())[0].context[0]


def error(ours, theirs):
    """Largest absolute error relative to the reference's standard deviation."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / theirs.std())


@pytest.mark.parametrize("solver", SOLVERS)
def test_latents_equal_the_golden_ones(made, solver):
    with np.load(GOLDEN) as golden:
        assert error(latents_of(made, solver), golden[f"{made[0].kind}/{solver}/latents"]) < 1e-3


def test_embeddings_and_decoding_equal_the_golden_ones(made):
    case, _, pipeline, _ = made
    with np.load(GOLDEN) as golden:
        session, last = pipeline._session, list(SOLVERS)[-1]
        text = embedding(pipeline)
        assert error(text, golden[f"{case.kind}/text"]) < 1e-4
        image = session.decode(golden[f"{case.kind}/{last}/latents"][0])
        assert error(image, golden[f"{case.kind}/image"]) < 1e-4


@pytest.mark.parity
@pytest.mark.parametrize("solver", SOLVERS)
def test_diffusers_live(made, solver):
    pytest.importorskip("diffusers")
    case, folder, pipeline, _ = made
    theirs = reference(folder, case, solver)
    assert error(latents_of(made, solver), theirs["latents"]) < 1e-3
    text = embedding(pipeline)
    assert error(text, theirs["text"]) < 1e-4
    assert error(pipeline._session.decode(theirs["latents"][0]), theirs["image"]) < 1e-4
