"""Estimates on photographs with known noise, and their invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise.errors import InputError
from unnoise.noise.estimate import (
    autocorrelation,
    fit_poisson_gaussian,
    mad_sigma,
    patch_sigma,
)
from unnoise.noise.models import Correlated, Gaussian, PoissonGaussian
from unnoise.noise.seeds import generator


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee", "chelsea"])
@pytest.mark.parametrize("level", [5, 15, 25, 50])
def test_levels_of_white_noise_on_photographs(photos, name, level):
    y = Gaussian(level / 255).sample(photos[name], generator(0, level))
    assert (mad_sigma(y) * 255 / level - 1).abs().max() < {5: 0.35, 15: 0.11, 25: 0.05, 50: 0.03}[level]
    assert (patch_sigma(y) * 255 / level - 1).abs().max() < {5: 0.13, 15: 0.05, 25: 0.04, 50: 0.03}[level]


def test_patch_covariance_is_not_misled_by_texture_as_mad_is():
    from skimage import data

    grass = torch.from_numpy(data.grass())[None, None].float() / 255
    smooth = torch.full((1, 1, 512, 128), 0.5)
    y = Gaussian(5 / 255).sample(torch.cat([grass, smooth], 3), generator(1))
    assert mad_sigma(y) * 255 > 9
    assert abs(float(patch_sigma(y)) * 255 - 5) < 0.3


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10), st.floats(-1, 1), st.integers(0, 999))
def test_levels_follow_scale_and_ignore_offset(scale, offset, seed):
    y = 0.05 * torch.randn(1, 1, 64, 64, dtype=torch.float64, generator=generator(seed))
    # the estimate from patches counts eigenvalues up to where mean and median meet: rounding may move that by one
    for estimate, rtol in ((mad_sigma, 1e-3), (patch_sigma, 0.02)):
        assert torch.allclose(estimate(scale * y + offset), scale * estimate(y), rtol=rtol, atol=1e-6)


def test_levels_are_per_sample_and_channel():
    y = torch.randn(2, 3, 128, 128, generator=generator(2)) * torch.tensor([[1.0, 2, 3], [4, 5, 6]])[..., None, None]
    for estimate in (mad_sigma, patch_sigma):
        assert torch.allclose(estimate(y), torch.tensor([[1.0, 2, 3], [4, 5, 6]]), rtol=0.06)


@pytest.mark.parametrize("estimate", [mad_sigma, patch_sigma])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (15, 40), (16, 16)])
def test_tiny_and_constant_pictures_have_finite_levels(estimate, size):
    assert torch.isfinite(estimate(torch.rand(1, 2, *size))).all()
    assert (estimate(torch.full((1, 2, *size), 0.5)) < 1e-6).all()


def test_white_noise_is_uncorrelated_and_correlated_noise_is_found(photos):
    for x in photos.values():
        white = autocorrelation(Gaussian(15 / 255).sample(x, generator(3)))
        assert white.abs().max() < 0.15
    noise = Correlated(8 / 255, width=0.75)
    y = noise.sample(torch.full((1, 1, 384, 384), 0.5), generator(4))
    found = autocorrelation(y)[0, 0]
    truth = torch.tensor([float(noise.correlation(0, lag)) for lag in (1, 2, 3, 4)])
    assert (found - truth).abs().max() < 0.07


def test_correlation_has_a_direction():
    y = Correlated(0.05, kernel=torch.ones(1, 3)).sample(torch.full((1, 1, 256, 256), 0.5), generator(5))
    along, across = autocorrelation(y)[0, 0, :, 0]
    assert abs(float(along) - 2 / 3) < 0.04
    assert abs(float(across)) < 0.07


@pytest.mark.parametrize("gain,read", [(0.01, 0.02), (0.002, 0.01), (0.03, 0.0)])
def test_poisson_gaussian_law_of_a_ramp(gain, read):
    x = torch.linspace(0.02, 0.95, 512).expand(1, 1, 512, 512)
    fit = fit_poisson_gaussian(PoissonGaussian(gain, read).sample(x, generator(6)))
    assert abs(fit.gain / gain - 1) < 0.08
    assert abs(fit.read**2 - read**2) < 0.1 * gain * 0.5 + 1e-6


def test_poisson_gaussian_law_of_linear_photographs(photos):
    noise = PoissonGaussian(0.01, 0.02)
    for x in photos.values():
        linear = x**2.2
        fit = fit_poisson_gaussian(noise.sample(linear, generator(7)))
        error = fit.std(linear).square().mean() / noise.std(linear).square().mean() - 1
        assert abs(float(error)) < 0.15


def test_a_law_without_photons_has_no_gain():
    fit = fit_poisson_gaussian(Gaussian(0.05).sample(torch.full((1, 1, 256, 256), 0.4), generator(8)))
    assert abs((fit.gain * 0.5 + fit.read**2) ** 0.5 - 0.05) < 0.004


def test_shapes_are_checked():
    for estimate in (mad_sigma, patch_sigma, autocorrelation, fit_poisson_gaussian):
        with pytest.raises(InputError, match=r"\(B, C, H, W\)"):
            estimate(torch.zeros(8, 8))
