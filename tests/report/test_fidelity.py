"""PSNR and SSIM against their definitions and against scikit-image."""

import math

import numpy as np
import pytest

from mdiff.report.fidelity import C1, C2, mse, psnr, ssim, statistic


def pair(side=48, noise=12.0):
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (side, side + 7, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, noise, a.shape), 0, 255).astype(np.uint8)
    return a, b


def test_mse_and_psnr_of_known_differences():
    black, grey = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 10, np.uint8)
    assert mse(black, grey) == 100
    assert psnr(100) == pytest.approx(28.1308, abs=1e-4)
    assert psnr(mse(grey, grey)) == math.inf


def test_mse_does_not_wrap_around():
    assert mse(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)) == 255**2


def test_images_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        mse(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))


def test_ssim_of_one_window_by_equation_13():
    # Where the image is as large as the window there is one position, and the equation can be written out.
    a, b = (np.random.default_rng(seed).integers(0, 256, (11, 11, 3), dtype=np.uint8) for seed in (0, 1))
    y, x = np.mgrid[-5:6, -5:6]
    weight = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    weight /= weight.sum()
    u, v = (image @ np.array([0.299, 0.587, 0.114]) for image in (a, b))
    mu, mv = (weight * u).sum(), (weight * v).sum()
    su, sv = (weight * (u - mu) ** 2).sum(), (weight * (v - mv) ** 2).sum()
    suv = (weight * (u - mu) * (v - mv)).sum()
    expected = (2 * mu * mv + C1) * (2 * suv + C2) / ((mu**2 + mv**2 + C1) * (su + sv + C2))
    assert ssim(statistic(a), statistic(b)) == pytest.approx(expected, abs=1e-12)


def test_ssim_is_one_for_the_same_image_symmetric_and_falls_with_noise():
    a, little = pair(noise=4)
    _, much = pair(noise=40)
    of_a = statistic(a)
    assert ssim(of_a, of_a) == pytest.approx(1, abs=1e-12)
    assert ssim(of_a, statistic(little)) == pytest.approx(ssim(statistic(little), of_a), abs=1e-12)
    assert ssim(of_a, statistic(little)) > ssim(of_a, statistic(much)) + 0.1


def test_an_image_smaller_than_the_window_has_no_ssim():
    assert statistic(np.zeros((10, 30, 3), np.uint8)) is None


@pytest.mark.parity
def test_ssim_equals_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    luma = np.array([0.299, 0.587, 0.114])
    for noise in (1, 12, 60):
        a, b = pair(noise=noise)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        expected = metrics.structural_similarity(a @ luma, b @ luma, **options)
        assert ssim(statistic(a), statistic(b)) == pytest.approx(expected, abs=1e-10)
        assert psnr(mse(a, b)) == pytest.approx(metrics.peak_signal_noise_ratio(a, b), abs=1e-4)
