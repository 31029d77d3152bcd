"""The closed form is the regression it stands for."""

import numpy as np
import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.spectral import band_sigma, gram, poisson_sigma, regression_residual


@pytest.fixture(scope="module")
def cube():
    """Rank 5 with noise of 0.05, (1, 50, 100, 100)."""
    a, b = (torch.rand(s, generator=generator(i)) for i, s in enumerate([(50, 5), (5, 10000)]))
    return (a @ b + 0.05 * torch.randn(50, 10000, generator=generator(2))).reshape(1, 50, 100, 100)


def test_the_closed_form_is_leaving_one_band_out(cube):
    y = cube[0].flatten(1).double().numpy()
    ours, residual = band_sigma(cube.double())[0, :, 0, 0], regression_residual(cube[0].flatten(1).double())
    for i in (0, 17, 49):
        others = np.delete(y, i, 0).T
        left = y[i] - others @ np.linalg.lstsq(others, y[i], rcond=None)[0]
        assert float(ours[i]) == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-5)
        assert np.allclose(residual[i].numpy(), left, atol=1e-5)


def test_every_band_is_within_five_percent(cube):
    """Of what a regression on noisy bands can see: the variance grows by the band's leverage on the signal space."""
    a = torch.rand(50, 5, generator=generator(0)).double()
    leverage = (a @ torch.linalg.inv(a.T @ a) * a).sum(1)
    assert bool(((band_sigma(cube).flatten() / (0.05 * (1 + leverage).sqrt()) - 1).abs() < 0.05).all())


def test_levels_scale_and_follow_their_bands(cube):
    s = band_sigma(cube)
    assert torch.allclose(band_sigma(1000 * cube), 1000 * s, rtol=1e-4)
    order = torch.randperm(50, generator=generator(3))
    assert torch.allclose(band_sigma(cube[:, order]), s[:, order], rtol=1e-4)


def test_few_pixels_are_no_bias(cube):
    few = cube[..., :12, :12]  # 144 pixels for 50 bands
    assert float(band_sigma(few).square().mean().sqrt()) == pytest.approx(0.05, rel=0.08)


def test_mad_needs_no_other_bands():
    y = 3 + 0.2 * torch.randn(1, 2, 64, 64, generator=generator(4))
    assert torch.allclose(band_sigma(y, "mad"), torch.full((1, 2, 1, 1), 0.2), rtol=0.1)


def test_photon_noise_has_the_level_of_its_mean():
    x = 20 + 60 * torch.rand(1, 1, 80, 80, generator=generator(5)) * torch.linspace(0.5, 1, 20)[:, None, None]
    s = poisson_sigma(torch.poisson(x, generator=generator(6)))
    assert torch.allclose(s.flatten(), x.mean((2, 3)).sqrt().flatten(), rtol=0.1)


def test_the_gram_matrix_is_summed_in_pieces(monkeypatch):
    y = torch.randn(7, 1000, generator=generator(7))
    monkeypatch.setattr("unnoise.noise.spectral._PIECE", 70)
    assert torch.allclose(gram(y), y.double() @ y.double().T, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "says"),
    [((1, 2, 9, 9), "noise of 2 bands"), ((1, 30, 5, 6), "30 pixels for 30 bands"), ((3, 4), r"got shape \(3, 4\)")],
)
def test_what_cannot_be_estimated_is_said(shape, says):
    with pytest.raises(InputError, match=says):
        band_sigma(torch.rand(shape))
    with pytest.raises(InputError, match="use regression or mad"):
        band_sigma(torch.rand(1, 4, 9, 9), "guess")
