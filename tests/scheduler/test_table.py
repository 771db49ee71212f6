"""The executor: what a row does, on arrays of any shape, on MindSpore tensors, and in which precision."""

import numpy as np
import pytest

from mdiff.noise.prediction import dynamic_threshold
from mdiff.noise.schedule import symmetric_beta_quantile
from mdiff.scheduler import SCHEDULERS, DDIMScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler, Registers, Table
from mdiff.scheduler.table import H
from tests.scheduler.trajectory import run


def test_a_row_by_hand():
    table = Table.blank(np.array([5.0]), np.array([1.0]), clip=lambda d: d.clip(-1, 1))
    table.put(s=0.5, a=2, b=3, c=4, e=5, r=10, churn=7, dst=2, draw=True)
    table.mix(x=1, o=2, m=3, n=4, s=5).mix("keep", x=1, n=-1)
    table.next[0, H + 1] = 6
    registers = Registers(np.array([1.0]))._replace(saved=np.array([10.0]), history=(None, np.array([0.5]), None, None))
    assert table.input(0, registers) == 0.5
    after = table.apply(0, registers, np.array([-6.0]), np.array([0.5]))
    x = 1.0 + 7 * 0.5
    d = np.clip(2 * x + 3 * -6.0, -1, 1)
    m = (4 * x + 5 * d) / 10
    assert after.x == pytest.approx(x + 2 * -6.0 + 3 * m + 4 * 0.5 + 5 * 10.0 + 6 * 0.5)
    assert after.saved == pytest.approx(x - 0.5)
    assert after.history[2] == pytest.approx(m)
    assert (after.stored, after.original) == (pytest.approx(m), d)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_float32_stays_float32_whatever_the_shape(name):
    table = SCHEDULERS[name]().table(6)
    whole = np.random.default_rng(0).standard_normal((2, 4, 3, 3), dtype=np.float32)

    def noise(shape):
        return np.full(shape, 0.25, np.float32)

    batch, single = run(table, whole, noise=noise), run(table, whole[1], noise=noise)
    assert batch.dtype == single.dtype == np.float32
    assert np.allclose(batch[:, 1], single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "UniPCMultistepScheduler", "DDIMScheduler", "LCMScheduler"])
def test_mindspore_tensors(name):
    mindspore = pytest.importorskip("mindspore")
    table = SCHEDULERS[name]().table(4)
    stream = np.random.default_rng(0)
    sample = stream.standard_normal((1, 2, 2, 2), dtype=np.float32)
    ours, theirs = Registers(sample), Registers(mindspore.Tensor(sample))
    for row in range(len(table)):
        output, noise = stream.standard_normal((2, 1, 2, 2, 2), dtype=np.float32)
        ours = table.apply(row, ours, output, noise if table.draw[row] else None)
        tensors = mindspore.Tensor(output), mindspore.Tensor(noise) if table.draw[row] else None
        theirs = table.apply(row, theirs, *tensors)
        assert theirs.x.dtype == mindspore.float32
        assert np.allclose(theirs.x.asnumpy(), ours.x, rtol=1e-5, atol=1e-5)


def test_mindspore_steps_in_half_precision_with_a_generator():
    mindspore = pytest.importorskip("mindspore")
    scheduler = DDIMScheduler(thresholding=True)
    scheduler.set_timesteps(3)
    sample = mindspore.Tensor(np.random.default_rng(0).standard_normal((2, 1, 2, 2)), mindspore.bfloat16)
    for t in scheduler.timesteps:
        result = scheduler.step(sample * 0.5, t, sample, eta=1.0, generator=np.random.default_rng(1))
        assert result.prev_sample.dtype == result.pred_original_sample.dtype == mindspore.bfloat16
        sample = result[0]
    noisy = scheduler.add_noise(sample.astype(mindspore.float32), sample.astype(mindspore.float32), np.array([10, 900]))
    assert noisy.shape == sample.shape


def test_dynamic_threshold_is_one_an_image():
    images = np.stack([np.linspace(-4, 4, 101), np.linspace(-0.5, 0.5, 101)]).reshape(2, 1, 1, 101).astype(np.float32)
    bounded = dynamic_threshold(images, 0.5, 10.0)
    assert bounded[0].max() == 1.0
    assert np.isclose(bounded[0, 0, 0, 62], images[0, 0, 0, 62] / 2.0)
    assert np.array_equal(bounded[1], images[1])
    assert np.array_equal(dynamic_threshold(images[0], 0.5, 10.0), bounded[0])


def test_quantiles_of_the_beta_distribution():
    """The arcsine law, Beta(1/2, 1/2), has quantiles sin^2(pi p / 2); and the ends and the middle are exact."""
    p = np.linspace(0, 1, 101)
    assert np.allclose(symmetric_beta_quantile(p, 0.5), np.sin(np.pi * p / 2) ** 2, atol=1e-13)
    assert np.array_equal(symmetric_beta_quantile(np.array([0.0, 1.0]), 0.6), [0.0, 1.0])


def test_tables_are_cached_and_pure():
    scheduler = LMSDiscreteScheduler()
    first = scheduler.table(10)
    scheduler.set_timesteps(5)
    assert scheduler.table(10) is first
    assert scheduler.table(10, order=2) is not first
    assert np.array_equal(LMSDiscreteScheduler().table(10).next, first.next)


def test_a_run_that_begins_in_the_middle_is_the_rest_of_the_run():
    scheduler = HeunDiscreteScheduler()
    whole, rest = scheduler.table(10), scheduler.table(10, begin=6)
    assert len(rest) == len(whole) - 6
    for column in ("t", "s", "a", "b", "next", "sigma"):
        assert np.array_equal(getattr(rest, column), getattr(whole, column)[6:])
