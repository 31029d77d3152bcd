"""The Anscombe transform makes the variance one, and its inverse gives means without bias."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from unnoise.noise.anscombe import anscombe, inverse_anscombe
from unnoise.noise.models import PoissonGaussian
from unnoise.noise.seeds import generator


def moments(counts, gain, read):
    """Mean and variance of the transform of Poisson-Gaussian data, by summation over counts and quadrature."""
    k = np.arange(stats.poisson.ppf(1e-14, counts), stats.poisson.ppf(1 - 1e-14, counts) + 2)
    nodes = np.linspace(-9, 9, 20001)  # dense, since the transform has a kink where its root is cut at 0
    weights = np.exp(-(nodes**2) / 2)
    if read == 0:
        nodes, weights = np.zeros(1), np.ones(1)
    y = torch.from_numpy(gain * k[:, None] + read * nodes)
    z = anscombe(y, gain, read).numpy()
    w = stats.poisson.pmf(k, counts)[:, None] * weights / weights.sum()
    mean = (w * z).sum()
    return mean, (w * (z - mean) ** 2).sum()


@pytest.mark.parametrize("gain", [1.0, 0.01])
@pytest.mark.parametrize("read_counts", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("counts", [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 190.0, 210.0, 1000.0])
def test_inverse_of_the_mean_is_unbiased(gain, read_counts, counts):
    mean, _ = moments(counts, gain, read_counts * gain)
    x = inverse_anscombe(torch.tensor([mean], dtype=torch.float64), gain, read_counts * gain)
    assert abs(float(x) / gain - counts) < 2e-3 * math.sqrt(counts)


@pytest.mark.parametrize("read_counts", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("counts,tolerance", [(2.0, 0.15), (4.0, 0.06), (20.0, 0.01), (200.0, 0.001)])
def test_variance_is_near_one(read_counts, counts, tolerance):
    assert abs(moments(counts, 0.02, read_counts * 0.02)[1] - 1) < tolerance


def test_algebraic_inverse_would_be_biased_where_ours_is_not():
    counts = 2.0
    mean, _ = moments(counts, 1.0, 0.0)
    algebraic = (mean / 2) ** 2 - 3 / 8
    exact = float(inverse_anscombe(torch.tensor([mean], dtype=torch.float64), 1.0, 0.0))
    assert algebraic < counts - 0.2
    assert abs(exact - counts) < 1e-3


def test_inverse_is_increasing_and_never_negative():
    z = torch.linspace(-3, 60, 5000, dtype=torch.float64)
    x = inverse_anscombe(z, 1.0, 0.7)
    assert bool((x >= 0).all())
    assert bool((x.diff() >= -1e-9).all())


def test_averaging_after_the_transform_recovers_a_flat_picture():
    noise = PoissonGaussian(0.05, 0.03)
    x = torch.full((1, 1, 700, 700), 0.1, dtype=torch.float64)
    z = anscombe(noise.sample(x, generator(0)), noise.gain, noise.read)
    assert abs(float(inverse_anscombe(z.mean().reshape(1), noise.gain, noise.read)) - 0.1) < 5e-4


def test_without_photons_it_is_a_scaling():
    y = torch.randn(10, generator=generator(1))
    assert torch.equal(anscombe(y, 0.0, 0.5), y / 0.5)
    assert torch.allclose(inverse_anscombe(anscombe(y, 0.0, 0.5), 0.0, 0.5), y)
