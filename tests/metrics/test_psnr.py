"""PSNR: closed forms, and parity with scikit-image."""

import math
import sys

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from unnoise.errors import InputError
from unnoise.metrics import psnr


def test_a_constant_error_of_a_tenth_is_20_db():
    assert psnr(np.full((9, 7, 3), 0.4), np.full((9, 7, 3), 0.5)) == pytest.approx(20, abs=1e-12)
    assert psnr(np.full((9, 7), 125.5), np.full((9, 7), 100.0), data_range=255) == pytest.approx(20, abs=1e-12)


def test_white_against_black_is_0_db_and_equal_is_infinite():
    assert psnr(np.ones((4, 4)), np.zeros((4, 4))) == 0
    assert psnr(np.ones((4, 4)), np.ones((4, 4))) == math.inf


def test_gaussian_noise_has_minus_20_log_sigma():
    noise = np.random.RandomState(0).randn(512, 512)
    assert psnr(0.5 + 0.1 * noise, np.full((512, 512), 0.5), clip=False) == pytest.approx(20, abs=0.02)


def test_equals_scikit_image():
    rng = np.random.default_rng(1)
    a, b = rng.random((33, 20, 3), np.float32), rng.random((33, 20, 3), np.float32)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-6)


def test_uint8_does_not_wrap_around():
    assert psnr(np.full((4, 4), 255, np.uint8), np.full((4, 4), 0, np.uint8), data_range=255) == 0


def test_clipping_acts_on_the_estimate():
    assert psnr(np.full((4, 4), 1.5), np.ones((4, 4))) == math.inf
    assert psnr(np.full((4, 4), 1.5), np.ones((4, 4)), clip=False) == pytest.approx(20 * math.log10(2))


def test_rounding_removes_errors_below_half_a_level():
    truth = np.full((4, 4), 100 / 255)
    assert psnr(truth + 0.4 / 255, truth, round_to_8bit=True) > 250
    assert psnr(truth + 0.6 / 255, truth, round_to_8bit=True) == pytest.approx(20 * math.log10(255))


def test_the_border_is_left_out():
    truth = np.zeros((20, 20, 3))
    estimate = truth.copy()
    estimate[:3] = estimate[-3:] = 1
    assert psnr(estimate, truth) < 6
    assert psnr(estimate, truth, border=3) == math.inf
    assert psnr(torch.tensor(estimate).permute(2, 0, 1), torch.tensor(truth).permute(2, 0, 1), border=3) == math.inf


def test_torch_equals_numpy_and_samples_are_apart():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 16, 18, generator=generator) for _ in range(2))
    each = psnr(a, b, per_sample=True)
    assert each == pytest.approx(
        [psnr(x.permute(1, 2, 0).numpy(), y.permute(1, 2, 0).numpy()) for x, y in zip(a, b, strict=True)]
    )
    pooled = -10 * math.log10(np.mean(10 ** (-each / 10)))
    assert psnr(a, b) == pytest.approx(pooled)


def test_chunks_do_not_change_the_value(monkeypatch):
    rng = np.random.default_rng(2)
    a, b = rng.random((50, 41, 3)), rng.random((50, 41, 3))
    whole = psnr(a, b)
    monkeypatch.setattr(sys.modules["unnoise.metrics.psnr"], "CHUNK", 100)
    assert psnr(a, b) == pytest.approx(whole, abs=1e-10)


@pytest.mark.parametrize(
    ("shapes", "border", "said"),
    [(((4, 4), (4, 5)), 0, "cannot be compared"), (((4, 4), (4, 4)), 2, "smaller"), (((4,), (4,)), 0, "2 or 3 axes")],
)
def test_what_cannot_be_compared_is_an_error(shapes, border, said):
    with pytest.raises(InputError, match=said):
        psnr(np.zeros(shapes[0]), np.zeros(shapes[1]), border=border)
