"""SSIM: closed forms, and parity with torchmetrics and with a direct transcription of the definition."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from unnoise.errors import InputError
from unnoise.metrics import ssim


def test_of_two_constants_only_the_luminance_term_is_left():
    a, b, c1 = 0.3, 0.7, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(np.full((16, 20), a), np.full((16, 20), b)) == pytest.approx(expected, abs=1e-12)


def test_equals_the_definition_of_wang_2004():
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 30)), rng.random((24, 30))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        return convolve2d(values, window, mode="valid")

    mx, my, c1, c2 = mean(x), mean(y), 0.01**2, 0.03**2
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    local = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(y, x) == pytest.approx(local.mean(), abs=1e-10)


def test_equals_torchmetrics_where_the_window_lies_inside():
    functional = pytest.importorskip("torchmetrics.functional.image")
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 40, 32, generator=generator)
    y = (x + 0.1 * torch.randn(x.shape, generator=generator)).clip(0, 1)
    _, whole = functional.structural_similarity_index_measure(y, x, data_range=1.0, return_full_image=True)
    assert ssim(y, x) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-6)


def test_a_batch_is_the_mean_of_its_pictures():
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.rand(3, 1, 20, 20, generator=generator) for _ in range(2))
    assert ssim(y, x) == pytest.approx(np.mean([ssim(b, a) for a, b in zip(x, y, strict=True)]), abs=1e-9)


def test_data_range_only_scales():
    rng = np.random.default_rng(3)
    x, y = rng.random((20, 20, 3)), rng.random((20, 20, 3))
    assert ssim(255 * y, 255 * x, data_range=255) == pytest.approx(ssim(y, x), abs=1e-12)


def test_smaller_than_the_window_is_an_error():
    with pytest.raises(InputError, match="smaller than the window of 11"):
        ssim(np.zeros((10, 40)), np.zeros((10, 40)))


def test_an_even_window_is_scikit_images_default():
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(4)
    x = rng.random((20, 24, 4))
    y = (x + 0.1 * rng.standard_normal(x.shape)).clip(0, 1)
    assert ssim(y, x, sigma=None) == pytest.approx(
        structural_similarity(255 * y, 255 * x, data_range=255, channel_axis=2)
    )
    with pytest.raises(InputError, match="window of 7"):
        ssim(np.zeros((6, 40)), np.zeros((6, 40)), sigma=None)
