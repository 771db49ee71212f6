"""The UNet in stages: each compiles on its own, and together they are the whole."""

import mindspore as ms
import numpy as np
import pytest

from mdiff.device.kernel import portable_kernels
from mdiff.nn import guidance_embedding
from tests.nn.example import build, cpu_kernels, error, unet_inputs


@pytest.fixture(scope="module")
def whole():
    """A UNet and its stages as graphs, compiled once for the module."""
    cell = build("sd15-tiny", "unet", cpu_kernels())
    inputs = unet_inputs("sd15-tiny", "even")
    stages = {name: ms.jit(getattr(cell, name)) for name in ("time_embedding", "project_context", "denoise")}
    return cell, stages, inputs


def run(stages, inputs):
    temb = stages["time_embedding"](ms.Tensor(inputs["timesteps"]))
    projections = stages["project_context"](ms.Tensor(inputs["context"]))
    return stages["denoise"](ms.Tensor(inputs["sample"]), temb, *projections).asnumpy()


def test_stages_are_the_whole(whole):
    cell, stages, inputs = whole
    result = run(stages, inputs)
    expected = ms.jit(cell.construct)(
        ms.Tensor(inputs["sample"]), ms.Tensor(inputs["timesteps"]), ms.Tensor(inputs["context"])
    ).asnumpy()
    assert error(result, expected) < 1e-6


def test_what_the_stages_hand_on(whole):
    _, stages, inputs = whole
    temb = stages["time_embedding"](ms.Tensor(inputs["timesteps"]))
    projections = stages["project_context"](ms.Tensor(inputs["context"]))
    assert temb.shape == (2, 32 + 64 + 2 * 64 + 2 * 64 + 2 * 32)
    # One transformer layer down, one in the middle, two up: keys and values, images first
    assert [each.shape for each in projections] == [
        (2, 4, 77, 8),
        (2, 4, 77, 8),
        (2, 4, 77, 16),
        (2, 4, 77, 16),
        *[(2, 4, 77, 8)] * 4,
    ]


def test_images_of_a_batch_do_not_see_each_other(whole):
    """Another image in the second place leaves the first as it was."""
    _, stages, inputs = whole
    other = {key: each.copy() for key, each in inputs.items()}
    other["sample"][1] += 1
    other["timesteps"][1] = 500
    other["context"][1] *= -1
    first, second = run(stages, inputs), run(stages, other)
    assert error(first[:1], second[:1]) < 1e-5
    assert error(first[1:], second[1:]) > 0.1


def test_timesteps_in_a_batch_of_any_size(whole):
    """All timesteps of a table in one call, and between the integers."""
    _, stages, _ = whole
    steps = np.array([999, 17, 500.5, 0], np.float32)
    together = stages["time_embedding"](ms.Tensor(steps)).asnumpy()
    pair = stages["time_embedding"](ms.Tensor(steps[:2])).asnumpy()
    assert error(together[:2], pair) < 1e-5
    assert np.abs(together[2] - together[1]).max() > 1e-3


def test_the_guidance_condition_has_an_effect_and_is_optional():
    cell = build("lcm-tiny", "unet", cpu_kernels())
    inputs = unet_inputs("lcm-tiny", "even")
    steps = ms.Tensor(inputs["timesteps"])
    with_it = cell.time_embedding(steps, None, ms.Tensor(inputs["condition"])).asnumpy()
    assert np.abs(cell.time_embedding(steps).asnumpy() - with_it).max() > 1e-2


def test_guidance_embedding():
    """Luo et al. 2023: sine and cosine of 1000 (scale - 1) at frequencies from 1 to 1/10000."""
    vectors = guidance_embedding(np.array([1.0, 8.5]), 256)
    assert vectors.shape == (2, 256)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors[0], np.repeat(np.float32([0, 1]), 128))
    assert vectors[1, 0] == pytest.approx(np.sin(np.float64(7500)), abs=1e-6)
    assert vectors[1, 127] == pytest.approx(np.sin(0.75), abs=1e-4)
    assert guidance_embedding(np.array([2.0]), 7).shape == (1, 7)


@pytest.mark.slow
def test_plain_formulations_give_the_same(whole):
    _, stages, inputs = whole
    plain = build("sd15-tiny", "unet", portable_kernels())
    expected = ms.jit(plain.construct)(
        ms.Tensor(inputs["sample"]), ms.Tensor(inputs["timesteps"]), ms.Tensor(inputs["context"])
    ).asnumpy()
    assert error(run(stages, inputs), expected) < 2e-5
