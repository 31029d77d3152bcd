"""Closed forms of the measures of cubes."""

import math

import numpy as np
import pytest

from unnoise.errors import InputError
from unnoise.metrics.cube import band_psnr, ergas, evaluate, global_psnr, mpsnr, mssim, sam, snr

X = np.random.default_rng(0).random((20, 24, 6)) + 0.2


def test_equal_cubes_are_perfect():
    assert mpsnr(X, X) == math.inf and global_psnr(X, X) == math.inf and snr(X, X) == math.inf
    assert sam(X, X) == 0 and ergas(X, X) == 0 and mssim(X, X) == pytest.approx(1)


def test_the_angle_ignores_brightness_and_is_never_nan():
    assert sam(3 * X, X) == pytest.approx(0, abs=1e-6)
    x = X.copy()
    x[0, 0] = 0
    assert sam(x, X) == pytest.approx(0, abs=1e-6)  # a pixel without a spectrum has no angle
    assert math.isnan(sam(np.zeros_like(X), X))


def test_known_angles():
    a, b = np.zeros((1, 2, 2)), np.zeros((1, 2, 2))
    a[0, :, 0] = 1
    b[0, 0, 1], b[0, 1] = 1, (1, 1)
    assert sam(a, b) == pytest.approx((90 + 45) / 2)
    assert sam(a, b, degrees=False) == pytest.approx(math.radians(67.5))


def test_psnr_of_white_noise_is_its_level():
    x = np.zeros((300, 300, 4))
    y = 0.1 * np.random.default_rng(1).standard_normal(x.shape)
    assert mpsnr(y, x, peak=1) == pytest.approx(20, abs=0.05)
    assert band_psnr(y, x, peak=1).shape == (4,)


def test_peaks_are_those_of_the_reference_bands():
    x = np.ones((4, 4, 2)) * [1, 10]
    assert band_psnr(x + 0.1, x).tolist() == pytest.approx([20, 40])
    assert global_psnr(x + 0.1, x) == pytest.approx(40)


def test_ergas_is_the_relative_error_and_ignores_gain():
    x = np.ones((4, 4, 2)) * [1.0, 5.0]
    assert ergas(1.1 * x, x) == pytest.approx(10)
    y = X + 0.05 * np.random.default_rng(2).standard_normal(X.shape)
    assert ergas(7 * y, 7 * X) == pytest.approx(ergas(y, X))
    assert sam(7 * y, 7 * X) == pytest.approx(sam(y, X))


def test_all_of_them_at_once():
    y = X + 0.05 * np.random.default_rng(3).standard_normal(X.shape)
    found = evaluate(y.astype(np.float32), X)
    assert found["snr"] == pytest.approx(snr(y, X), rel=1e-4) and 0 < found["mssim"] < 1


def test_cubes_that_do_not_match_are_named():
    with pytest.raises(InputError, match=r"got \(20, 24, 6\) and \(20, 24, 5\)"):
        mpsnr(X, X[..., :5])
