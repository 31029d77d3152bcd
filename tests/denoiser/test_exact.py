"""Posterior means against autograd of the log-density, and the limits of small and large noise."""

import pytest
import torch

from unnoise.denoiser import Empirical, GaussianMixture, score
from unnoise.errors import InputError
from unnoise.noise.seeds import generator


def mixtures():
    g = generator(0)
    means = torch.randn(3, 2, generator=g, dtype=torch.float64)
    a = torch.randn(3, 2, 2, generator=g, dtype=torch.float64)
    return [
        GaussianMixture([0.5, 0.2, 0.3], means, [0.1, 0.3, 0.2], labels=[0, 1, 1]),
        GaussianMixture([0.5, 0.2, 0.3], means, a @ a.mT, labels=[0, 1, 1]),
    ]


Y = torch.randn(6, 2, generator=generator(1), dtype=torch.float64)
LABEL = torch.tensor([0, 1, -1, 0, 1, -1])


@pytest.mark.parametrize("d", mixtures(), ids=["isotropic", "full"])
@pytest.mark.parametrize("conditions", [{}, {"label": LABEL}], ids=["all", "classes"])
@pytest.mark.parametrize("sigma", [0.05, 0.7, 20.0])
def test_tweedie(d, conditions, sigma):
    y = Y.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(d.log_prob(y, sigma, **conditions).sum(), y)
    torch.testing.assert_close(score(d, Y, sigma, **conditions), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("d", [*mixtures(), Empirical(Y[:4], labels=[0, 0, 1, 1])], ids=["isotropic", "full", "points"])
def test_the_jacobian_is_the_posterior_covariance_over_sigma_squared(d):
    jacobian = torch.stack([torch.func.jacrev(lambda u: d(u[None], 0.4, label=LABEL[:1])[0])(y) for y in Y])
    torch.testing.assert_close(0.16 * jacobian, d.posterior_cov(Y, 0.4, label=LABEL[:1]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("d", mixtures(), ids=["isotropic", "full"])
def test_limits_of_the_noise(d):
    torch.testing.assert_close(d(Y, 1e-7), Y, rtol=0, atol=1e-9)
    mean = (d.log_w.exp()[:, None] * d.means).sum(0)
    torch.testing.assert_close(d(Y, 1e6), mean.expand(6, 2), rtol=0, atol=1e-5)


def test_samples_have_the_density_of_the_mixture():
    d = mixtures()[1]
    x = d.sample(40_000, generator(3))
    mean = (d.log_w.exp()[:, None] * d.means).sum(0)
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(d.posterior_cov(Y[:1], 1e6)[0], torch.cov(x.T), rtol=0.05, atol=0.05)
    alone = mixtures()[0].sample(1000, generator(4), label=0)
    torch.testing.assert_close(alone.mean(0), mixtures()[0].means[0], rtol=0, atol=0.02)


def test_points_nearest_at_zero_and_mean_at_infinity():
    points = Empirical(Y[:4])
    nearest = Y[:4][torch.cdist(Y, Y[:4]).argmin(1)]
    torch.testing.assert_close(points(Y, 0.0), nearest)
    torch.testing.assert_close(points(Y, 1e6), Y[:4].mean(0).expand(6, 2), rtol=0, atol=1e-9)
    weights = points.weights(Y, 0.5)
    torch.testing.assert_close(weights.sum(1), torch.ones(6, dtype=torch.float64))  # the estimate is in the hull


def test_points_keep_the_shape_and_obey_labels():
    points = Empirical(torch.rand(5, 1, 4, 4), labels=torch.tensor([0, 0, 1, 1, 1]))
    x_hat = points(torch.rand(2, 1, 4, 4), torch.tensor([1e-3, 1e-3]), label=torch.tensor([0, 1]))
    assert x_hat.shape == (2, 1, 4, 4)
    assert torch.cdist(x_hat[:1].flatten(1), points.data[:2]).min() < 1e-5
    assert torch.cdist(x_hat[1:].flatten(1), points.data[2:]).min() < 1e-5


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianMixture([1.0, -1.0], [[0.0], [1.0]], 1.0),
        lambda: GaussianMixture([1.0], [0.0], 1.0),
        lambda: GaussianMixture([1.0], [[0.0]], [[[1.0, 2.0]]]),
        lambda: GaussianMixture([1.0], [[0.0]], 1.0, labels=[0, 1]),
        lambda: Empirical(Y, labels=[0]),
        lambda: mixtures()[0](Y, 0.1, label=torch.full((6,), 7)),
        lambda: mixtures()[0](Y, torch.rand(6, 2)),
    ],
)
def test_bad_input_is_refused(make):
    with pytest.raises(InputError):
        make()
    with pytest.raises(TypeError):
        GaussianMixture([1.0], [[0.0]], 1.0)(Y[:, :1], 0.1, label=torch.zeros(6))
