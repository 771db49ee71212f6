"""The noise stream beside numbers that PyTorch 2.13 printed, and beside PyTorch itself where it is installed."""

import numpy as np
import pytest

from mdiff.errors import MdiffError
from mdiff.noise import Generator, SharedNoise, draw

TORCH_SEED_0 = {  # torch.randn(n, generator=torch.Generator().manual_seed(0))
    3: [1.5409960746765137, -0.293428897857666, -2.1787893772125244],
    17: [-1.1258398294448853, -1.6959311962127686, 0.5666506290435791, 0.7935083508491516, 0.5988394618034363],
    33: [-1.1258398294448853, -1.152360200881958, -0.2505785822868347, -0.4338788092136383, 0.8487103581428528],
}


@pytest.mark.parametrize("count", TORCH_SEED_0)
def test_draws_equal_the_recorded_ones(count):
    expected = TORCH_SEED_0[count]
    assert Generator(0).randn((count,))[: len(expected)] == pytest.approx(expected, abs=1e-6)


def test_the_uneven_tail_is_drawn_again():
    even, uneven = Generator(0).randn((32,)), Generator(0).randn((33,))
    assert np.array_equal(even[:17], uneven[:17])
    assert not np.array_equal(even[17:32], uneven[17:32])


def test_seed_takes_its_low_32_bits_and_zero_is_a_seed():
    assert np.array_equal(Generator(2**32).randn((4, 4)), Generator(0).randn((4, 4)))
    assert not np.array_equal(Generator(0).randn((4, 4)), Generator(1).randn((4, 4)))
    with pytest.raises(MdiffError, match="whole number"):
        Generator(1.5)


def test_noise_is_standard_normal():
    noise = Generator(7).randn((1000, 1000))
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 4e-3
    assert abs(noise.std() - 1) < 3e-3


def test_shared_noise_is_one_large_draw_whatever_the_order():
    whole, generator = Generator(5), Generator(5)
    expected = [whole.randn((3, 4, 2, 2)) for _ in range(2)]
    shared = SharedNoise(generator, 3)
    sources = [shared.source(index) for index in range(3)]
    got = {(index, step): None for index in range(3) for step in range(2)}
    for index, step in [(0, 0), (0, 1), (2, 0), (1, 0), (1, 1), (2, 1)]:
        got[index, step] = sources[index]((4, 2, 2))
    for (index, step), value in got.items():
        assert np.array_equal(value, expected[step][index])


def test_draw_takes_numpy_generators_and_refuses_others():
    assert draw(np.random.default_rng(0), (2, 3)).dtype == np.float32
    with pytest.raises(MdiffError, match="generator is str"):
        draw("0", (2,))


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(1,), (5,), (15,), (16,), (17,), (31,), (1, 4, 8, 8), (2, 4, 9, 7), (3, 5)])
@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**40 + 3])
def test_equals_torch(shape, seed):
    torch = pytest.importorskip("torch")
    ours, theirs = Generator(seed), torch.Generator().manual_seed(seed)
    for _ in range(3):
        expected = torch.randn(shape, generator=theirs).numpy()
        assert np.abs(ours.randn(shape) - expected).max() <= 5e-7 * 6
