"""What of a model is in memory when, and that the pictures are the same."""

import gc
import weakref

import numpy as np
import pytest

from mdiff import DiffusionPipeline, MdiffError
from mdiff import device as devices
from mdiff.model import STAGES, Memory, ModelSource, check_keep, describe
from mdiff.noise import Generator
from mdiff.pipeline.request import ImageRequest, Text
from mdiff.pipeline.session import Session
from mdiff.scheduler import EulerDiscreteScheduler
from tests.checkpoint import make_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("memory"), "sdxl-tiny")


def session(folder, memory=None, keep=STAGES):
    cpu = devices.choose("cpu")
    precision = devices.resolve_precision("fp32", cpu)
    return Session(
        describe(ModelSource(path=str(folder))), cpu, precision, Memory() if memory is None else memory, keep
    )


def request(words="the cat", seed=0):
    table = EulerDiscreteScheduler().table(2)
    return ImageRequest(Text(words), Text("dog"), table, 3.0, 16, 16, Generator(seed).randn)


def latents(session, words="the cat"):
    (tick,) = [t for t in session.denoise([session.trajectory(0, request(words))], 1, True) if t.finished]
    return tick.finished[0].latents


@pytest.mark.slow
def test_text_encoders_go_once_prompts_are_encoded_and_come_back_for_a_new_one(folder):
    usual = session(folder)
    assert all(usual.parts.loaded(stage) for stage in STAGES)
    lean = session(folder, Memory(free_text_encoders=True))
    assert not any(lean.parts.loaded(stage) for stage in STAGES), "nothing is loaded before it is needed"
    cell = weakref.ref(lean.model.text_encoders[1])
    lean.prepare([request()])
    gc.collect()
    assert cell() is None and lean.parts.loaded("unet")
    assert np.array_equal(latents(lean), latents(usual))
    assert not lean.parts.loaded("text_encoders"), "a prompt that was encoded needs none"
    assert np.array_equal(latents(lean, "a dog"), latents(usual, "a dog"))
    assert not lean.parts.loaded("text_encoders"), "gone again after a new prompt"


def test_what_is_not_kept_goes_when_its_stage_is_over(folder):
    made = session(folder, keep=("vae",))
    made.prepare([request()])
    assert not made.parts.loaded("text_encoders") and made.parts.loaded("unet")
    result, cell = latents(made), weakref.ref(made.model.unet)
    made.release("unet")
    gc.collect()
    assert cell() is None
    image = made.decode(result)
    made.release("vae")
    assert made.parts.loaded("vae"), "kept"
    assert np.array_equal(image, session(folder).decode(result))


@pytest.mark.slow
def test_a_session_is_usable_again_after_a_restart(folder):
    made = session(folder)
    before, cell = latents(made), made.model.unet
    made.parts.restart()
    assert np.array_equal(latents(made), before) and made.model.unet is cell, "no weight is read again"


@pytest.mark.slow
def test_the_methods_that_people_call(folder):
    pipeline = DiffusionPipeline.from_pretrained(folder)
    options = {"width": 16, "height": 16, "num_inference_steps": 2, "seed": 0, "output_type": "np"}
    plain = pipeline("the cat", **options)[0]
    pipeline.enable_vae_tiling()
    pipeline.enable_vae_slicing()
    pipeline.enable_attention_slicing()
    assert pipeline._session.memory == Memory(vae_tiling=True, attention_slicing=True)
    assert np.abs(pipeline("the cat", **options)[0] - plain).max() < 1e-3
    pipeline.disable_vae_tiling()
    pipeline.disable_vae_slicing()
    pipeline.disable_attention_slicing()
    assert pipeline._session.memory == Memory()
    assert np.array_equal(pipeline("the cat", **options)[0], plain)


@pytest.mark.parametrize(
    ("keep", "stages"),
    [("all", STAGES), (None, STAGES), ("none", ()), ([], ()), ("unet", ("unet",)), (["vae", "unet"], ("unet", "vae"))],
)
def test_keep(keep, stages):
    assert check_keep(keep) == stages


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Memory(vae_tiling="yes"), "memory.vae_tiling must be true, false or auto, got 'yes'"),
        (lambda: Memory(vae_slicing=False), "memory.vae_slicing cannot be False"),
        (lambda: Memory(attention_slicing=4), "memory.attention_slicing must be true or false, got 4"),
        (lambda: check_keep("unets"), "did you mean 'unet'"),
        (lambda: check_keep(["vae", "text_encoder"]), "model.keep has 'text_encoder'; did you mean 'text_encoders'"),
        (lambda: check_keep(3), "model.keep is 3"),
    ],
)
def test_mistakes(make, said):
    with pytest.raises(MdiffError, match=said):
        make()
