"""Noise by regression, HySime, scales."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.spectral import gram
from unnoise.restore.hyde.normalise import band01, global01, noise_whiten, scale, scale_no_shift
from unnoise.restore.hyde.subspace import above_noise, hysime, pca


@pytest.fixture(scope="module")
def rank5():
    """(50, 10000), rank 5."""
    a, b = (torch.rand(s, generator=generator(i)) for i, s in enumerate([(50, 5), (5, 10000)]))
    return a @ b


@pytest.mark.parametrize("snr", [20, 30, 40])
def test_hysime_finds_the_rank(rank5, snr):
    sigma = (rank5.square().mean() * 10 ** (-snr / 10)).sqrt()
    k, basis = hysime(rank5 + sigma * torch.randn(rank5.shape, generator=generator(2)))
    assert k == 5
    assert torch.allclose(basis.T @ basis, torch.eye(50, dtype=basis.dtype), atol=1e-6)
    # the first five span the signal
    inside = basis[:, :5] @ (basis[:, :5].T @ rank5.double())
    assert float((inside - rank5).norm() / rank5.norm()) < 0.02


def test_noise_alone_stays_below_the_edge(rank5):
    noise = torch.randn(rank5.shape, generator=generator(3))
    values = torch.linalg.eigvalsh(gram(noise)).flip(0)
    assert above_noise(values, noise.shape[1]) == 1  # the least there is
    values = torch.linalg.eigvalsh(gram(rank5 / 0.1 + noise)).flip(0)
    assert above_noise(values, noise.shape[1]) == 5


def test_the_projection_is_that_of_the_svd():
    y = torch.rand(1, 8, 9, 7, generator=generator(4))
    u, s, v = torch.linalg.svd(y[0].flatten(1), full_matrices=False)
    assert torch.allclose(pca(y, 3)[0].flatten(1), u[:, :3] * s[:3] @ v[:3], atol=1e-5)
    with pytest.raises(InputError, match="between 1 and the 8 bands"):
        pca(y, 9)


@pytest.mark.parametrize("of", [band01, global01, scale_no_shift, lambda y: noise_whiten(y, torch.zeros(1, 4, 1, 1))])
def test_scales_invert_and_survive_constant_bands(of):
    y = 100 * torch.rand(2, 4, 5, 6, generator=generator(5)) - 20
    y[:, 2] = 7
    s = of(y)
    z = s.to(y)
    assert bool(torch.isfinite(z).all())
    assert torch.allclose(s.back(z), y, atol=1e-4)


def test_scales_do_what_their_names_say():
    y = 100 * torch.rand(1, 4, 5, 6, generator=generator(6))
    z = scale(y, "band01").to(y)
    assert bool((z.amin((2, 3)) == 0).all()) and torch.allclose(z.amax((2, 3)), torch.ones(1, 4))
    w = scale(y, "scale_no_shift").to(y)
    assert torch.allclose(w.amax((2, 3)) - w.amin((2, 3)), torch.full((1, 4), 255.0), rtol=1e-5)
    with pytest.raises(InputError, match="did you mean 'band01'"):
        scale(y, "band1")
