"""The Python API: what people write for diffusers and mindone.diffusers, and what they get wrong."""

import numpy as np
import pytest

import mdiff
from mdiff import DiffusionPipeline, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, Generator, MdiffError
from tests.checkpoint import make_checkpoint

SMALL = {"width": 16, "height": 16, "num_inference_steps": 2, "guidance_scale": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("api"), "sd15-tiny")


@pytest.fixture(scope="module")
def pipeline(folder):
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    return pipeline


def latents(pipeline, *prompt, **options):
    return pipeline(*(prompt or ("the cat",)), **(SMALL | {"output_type": "latent"} | options))[0]


def test_the_result_is_a_tuple_and_has_a_name(pipeline):
    result = pipeline("the cat", seed=0, **SMALL)
    assert result[0][0].size == (16, 16)
    assert result.images is result[0]
    array = pipeline("the cat", seed=0, output_type="np", **SMALL)[0]
    assert array.shape == (1, 16, 16, 3)
    assert array.dtype == np.float32
    assert 0 <= array.min() <= array.max() <= 1
    assert np.array_equal(np.round(array[0] * 255).astype(np.uint8), np.asarray(result[0][0]))


def test_seeds_generators_and_latents_say_the_same(pipeline):
    by_seed = latents(pipeline, seed=7)
    assert np.array_equal(by_seed, latents(pipeline, generator=Generator(7)))
    assert np.array_equal(by_seed, latents(pipeline, generator=[Generator(7)]))
    assert np.array_equal(by_seed, latents(pipeline, latents=Generator(7).randn((1, 4, 2, 2))))
    assert not np.array_equal(by_seed, latents(pipeline, seed=0))
    assert not np.array_equal(latents(pipeline), latents(pipeline)), "without a seed each picture is another"
    two = latents(pipeline, num_images_per_prompt=2, seed=7, batch=1)
    assert np.array_equal(two[0], by_seed[0])
    assert np.array_equal(two[1], latents(pipeline, seed=8)[0])
    assert np.array_equal(latents(pipeline, ["the cat"] * 2, seed=[8, 7], batch=1), two[::-1])


def test_the_encoder_comes_on_demand_and_changes_no_image(folder):
    import mindspore as ms

    pipeline = DiffusionPipeline.from_pretrained(folder)
    first = pipeline("the cat", seed=0, output_type="np", **SMALL)[0]
    moments = pipeline.vae.encode(ms.Tensor(first.transpose(0, 3, 1, 2) * 2 - 1))
    assert np.isfinite(moments.asnumpy()).all()
    assert np.array_equal(pipeline("the cat", seed=0, output_type="np", **SMALL)[0], first)


def test_one_generator_for_several_images_draws_for_all_of_them_at_once(pipeline):
    pipeline.scheduler, kept = (
        EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config),
        pipeline.scheduler,
    )
    try:
        options = {"num_images_per_prompt": 3, "batch": 1}
        one = latents(pipeline, generator=Generator(0), **options)
        again = latents(pipeline, generator=Generator(0), **(options | {"batch": 3}))
        assert np.abs(one - again).max() < 1e-4 * np.abs(one).max()
        noise = Generator(0).randn((3, 4, 2, 2))
        begun = latents(pipeline, latents=noise, generator=Generator(1), **options)
        assert not np.array_equal(one, begun)
    finally:
        pipeline.scheduler = kept


def test_guidance_of_one_or_less_is_no_guidance(pipeline):
    plain = latents(pipeline, seed=0, guidance_scale=1.0)
    assert np.array_equal(plain, latents(pipeline, seed=0, guidance_scale=0.0))
    assert np.array_equal(plain, latents(pipeline, seed=0, guidance_scale=1.0, negative_prompt="dog"))
    assert not np.array_equal(plain, latents(pipeline, seed=0))


def test_embeddings_stand_in_for_prompts(pipeline):
    from mdiff.pipeline.request import Text

    positive, negative = pipeline._session.text.pair(Text("the cat"), Text("dog"), ())
    given = latents(pipeline, None, prompt_embeds=positive.context, negative_prompt_embeds=negative.context, seed=1)
    assert np.array_equal(given, latents(pipeline, negative_prompt="dog", seed=1))


def test_the_callback_sees_each_step_and_may_change_it(pipeline):
    seen = []

    def look(pipe, step, timestep, values):
        assert pipe is pipeline
        seen.append((step, timestep, values["latents"].shape))

    pipeline.scheduler, kept = mdiff.HeunDiscreteScheduler.from_config(pipeline.scheduler.config), pipeline.scheduler
    try:
        latents(pipeline, ["the cat", "dog"], seed=0, num_inference_steps=3, callback_on_step_end=look)
    finally:
        pipeline.scheduler = kept
    assert [step for step, _, _ in seen] == [0, 1, 2]
    assert all(shape == (2, 4, 2, 2) for _, _, shape in seen)
    zeroed = latents(
        pipeline,
        seed=0,
        callback_on_step_end=lambda p, step, t, v: {"latents": v["latents"] * 0} if step == 1 else None,
    )
    assert np.array_equal(zeroed, np.zeros_like(zeroed))


def test_emphasis_is_off_unless_the_config_asks_for_it(pipeline):
    assert not np.array_equal(latents(pipeline, "(cat)", seed=0), latents(pipeline, "cat", seed=0))


def test_a_long_prompt_is_cut_with_a_warning_that_quotes_the_rest(pipeline):
    words = "the cat " * 60
    with pytest.warns(UserWarning, match="dropped: .*the cat"):
        latents(pipeline, words + "zebra", seed=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 20}, "width is 20; this model needs a positive multiple of 8, such as 16"),
        ({"height": 0}, "height is 0; this model needs a positive multiple of 8, such as 8"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5"),
        ({"guidance_scale": float("nan")}, "guidance_scale is nan"),
        ({"output_type": "png"}, "output_type is 'png'; choose from latent, np, pil"),
        ({"seed": "one"}, "a seed is a whole number"),
        ({"seed": [1, 2]}, "2 seeds for 1 images"),
        ({"seed": 1, "generator": Generator(1)}, "seed or generator, not both"),
        ({"negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
        ({"latents": np.zeros((1, 4, 3, 3), np.float32)}, r"latents have shape \(4, 3, 3\)"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(pipeline, options, said):
    with pytest.raises(MdiffError, match=said):
        latents(pipeline, **options)


def test_no_prompt_and_an_empty_list(pipeline):
    with pytest.raises(MdiffError, match="the list of prompts is empty"):
        latents(pipeline, [])
    with pytest.raises(MdiffError, match="either prompt or prompt_embeds"):
        latents(pipeline, None)
    with pytest.raises(MdiffError, match="prompt holds 5"):
        latents(pipeline, ["a", 5])


def test_loading_says_what_is_wrong(folder, tmp_path):
    with pytest.raises(MdiffError, match=r"model_index\.json"):
        DiffusionPipeline.from_pretrained(tmp_path)
    with pytest.raises(MdiffError, match="safetensors only"):
        DiffusionPipeline.from_pretrained(folder, use_safetensors=False)
    with pytest.raises(MdiffError, match="no option 'variants'; did you mean 'variant'"):
        DiffusionPipeline.from_pretrained(folder, variants="fp16")
    with pytest.raises(MdiffError, match="mindspore_dtype is int8"):
        DiffusionPipeline.from_pretrained(folder, mindspore_dtype="int8")
