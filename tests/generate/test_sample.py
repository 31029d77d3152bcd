import math

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, Empirical
from unnoise.errors import InputError, UnnoiseError
from unnoise.generate.sample import invert, log_likelihood, sample
from unnoise.generate.samplers import heun
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator


def test_moments_of_samples_are_those_of_the_mixture(mixture):
    x = sample(mixture, (2,), 4000, sampler="heun", steps=24).x.double()
    weights = mixture.log_w.exp()
    mean = weights @ mixture.means
    second = (weights[:, None, None] * torch.diag_embed(mixture.values)).sum(0) + torch.einsum(
        "k,ki,kj->ij", weights, mixture.means - mean, mixture.means - mean
    )
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.04)
    torch.testing.assert_close(torch.cov(x.T), second, rtol=0.04, atol=0.03)


def test_conditional_samples_are_of_their_class(mixture):
    label = torch.tensor([0, 1] * 50)
    drawn = sample(mixture, (2,), 100, label=label)
    near = torch.cdist(drawn.x.double(), mixture.means) / mixture.values[:, 0].sqrt()
    assert (mixture.labels[near.argmin(1)] == label).float().mean() > 0.97
    assert drawn.nfe.tolist() == [20] * 100


def test_a_denoiser_that_memorised_gives_its_training_images():
    from sklearn.datasets import load_digits

    digits = torch.from_numpy(load_digits().images[:300] / 16).float()[:, None]
    x = sample(Empirical(digits), (1, 8, 8), 12, sigmas=karras(30, 0.01, 20.0)).x
    assert torch.cdist(x.flatten(1), digits.flatten(1)).amin(1).max() < 1e-3


def test_sample_i_depends_on_the_seed_and_i_alone(mixture):
    many = sample(mixture, (2,), 5, sampler="ddpm", seed=3).x
    torch.testing.assert_close(
        sample(mixture, (2,), 2, sampler="ddpm", seed=3, first=2).x, many[2:4], rtol=0, atol=1e-5
    )
    assert not torch.equal(sample(mixture, (2,), 5, sampler="ddpm", seed=4).x, many)


def test_inverting_and_sampling_again_returns_the_data(mixture):
    x = mixture.sample(64, generator(0))
    grid = karras(256, 0.002, 80.0)
    assert (heun(mixture, invert(mixture, x, grid), grid) - x).abs().max() < 1e-3


def test_log_likelihood_of_a_gaussian(gaussian):
    x = gaussian.sample(8, generator(0))
    exact = gaussian.log_prob(x, 0.002)
    grid = karras(260, 0.002, 80.0)
    found = log_likelihood(gaussian, x, grid)
    assert ((found - exact) / 3).abs().max() < 1e-3
    # v' J v of an isotropic J is its trace for every vector of signs
    torch.testing.assert_close(log_likelihood(gaussian, x, grid, probes=2), found, rtol=0, atol=1e-9)


def test_log_likelihood_of_a_mixture(mixture):
    x = mixture.sample(16, generator(0))
    found = log_likelihood(mixture, x, karras(200, 0.002, 80.0))
    torch.testing.assert_close(found, mixture.log_prob(x, 0.002), rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sampler": "dpmp_2m"}, "did you mean 'dpmpp_2m'"),
        ({"steps": 0}, "at least 1"),
        ({"n": 0}, "at least 1"),
        ({"shape": None}, "shape"),
        ({"sigmas": [1.0, 2.0]}, "fall"),
        ({"label": torch.tensor([9])}, "unknown label"),
        ({"label": torch.tensor([0, 1])}, "2 values of label for 1 samples"),
    ],
)
def test_bad_arguments_are_one_sentence(mixture, change, says):
    arguments = {"shape": (2,), "n": 1} | change
    with pytest.raises(InputError, match=says) as caught:
        sample(mixture, **arguments)
    assert "\n" not in str(caught.value)


def test_inverting_with_a_network_that_fails_names_the_level():
    class Broken(Denoiser):
        card = Card(kind="any")

        def forward(self, y, sigma=None):
            return y * (float("nan") if sigma > 1 else 0.5)

    with pytest.raises(UnnoiseError, match="not finite at sigma 2"):
        invert(Broken(), torch.ones(1, 2), [4.0, 2.0, 0.5])


def test_start_lies_round_the_middle_of_the_values():
    points = Empirical(torch.zeros(2, 1, 2, 2))
    seen = []
    sample(points, (1, 2, 2), 500, sigmas=[3.0, 1.0], callback=seen.append, sampler="euler")
    assert math.isclose(seen[0].x.std().item(), 1.0, rel_tol=0.1)
