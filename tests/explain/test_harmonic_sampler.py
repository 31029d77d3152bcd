import math

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, Empirical, GaussianMixture
from unnoise.errors import InputError, UnnoiseError
from unnoise.explain.harmonic_sampler import sample_from_denoiser
from unnoise.noise.seeds import generator


def test_a_sample_of_a_gaussian_has_its_mean_and_variance():
    """In many dimensions one sample shows both."""
    d = 20_000
    gauss = GaussianMixture([1.0], torch.full((1, d), 0.4), 0.3)
    run = sample_from_denoiser(gauss, (d,), 1, h=0.02, beta=0.4, sigma_end=0.03)
    assert run.finished
    assert run.x.mean().item() == pytest.approx(0.4, abs=0.01)
    assert run.x.std().item() == pytest.approx(0.3, rel=0.02)
    assert bool((run.sigmas.diff(dim=0) < 0).all())


class Blind(Denoiser):
    """A blind denoiser of points: it reads the level off the distance to the nearest one."""

    card = Card(kind="any", value_range=(0.0, 1.0))

    def __init__(self, points):
        super().__init__()
        self.exact = Empirical(points)

    def forward(self, y, sigma=None):
        nearest = torch.cdist(y.flatten(1), self.exact.data).amin(1) / math.sqrt(y[0].numel())
        return self.exact(y, nearest.clamp(min=1e-3))


POINTS = torch.rand(5, 1, 8, 8, generator=generator(0))


def test_a_blind_denoiser_of_points_ends_on_one_and_reads_a_falling_level():
    run = sample_from_denoiser(Blind(POINTS), (1, 8, 8), 6, h=0.1, beta=1.0, sigma_end=0.01)
    assert run.finished
    assert torch.cdist(run.x.flatten(1), POINTS.flatten(1)).amin(1).max() < 0.05
    assert bool((run.sigmas.diff(dim=0)[:, :] <= 1e-4).all())
    assert run.sigmas[0] == pytest.approx(torch.ones(6), abs=0.2)


def test_without_injected_noise_the_end_depends_on_the_start_alone():
    one = sample_from_denoiser(Blind(POINTS), (1, 8, 8), 4, h=0.1, beta=1.0, sigma_end=0.01, seed=5)
    part = sample_from_denoiser(Blind(POINTS), (1, 8, 8), 2, h=0.1, beta=1.0, sigma_end=0.01, seed=5)
    torch.testing.assert_close(part.x, one.x[:2], rtol=0, atol=1e-5)


def test_measurements_are_met_and_the_prior_fills_in_the_rest():
    x = POINTS[2].flatten()
    m = torch.eye(64)[:, :40]  # forty of the pixels are known
    run = sample_from_denoiser(Blind(POINTS), (1, 8, 8), 3, h=0.1, beta=0.5, sigma_end=0.01, constraint=(m, x[:40]))
    torch.testing.assert_close(run.x.flatten(1)[:, :40], x[:40].expand(3, 40), rtol=0, atol=1e-5)
    torch.testing.assert_close(run.x.flatten(1), x.expand(3, 64), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "bad",
    [{"h": 0.0}, {"beta": 2.0}, {"sigma_end": 3.0}, {"constraint": (torch.eye(3), torch.zeros(3))}],
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(InputError):
        sample_from_denoiser(Blind(POINTS), (1, 8, 8), **bad)


def test_a_denoiser_that_climbs_away_is_stopped():
    class Away(Denoiser):
        card = Card(kind="any")

        def forward(self, y, sigma=None):
            return 3 * y

    with pytest.raises(UnnoiseError, match="does not descend"):
        sample_from_denoiser(Away(), (1, 4, 4), 2, h=0.5)
