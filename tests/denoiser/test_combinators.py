import pytest
import torch

from unnoise.denoiser import Blind, Card, Denoiser, Ensemble, Stabilised, Tiled, as_denoiser
from unnoise.errors import InputError
from unnoise.noise.models import PoissonGaussian
from unnoise.noise.schedule import DiscreteVP, Flow


def test_blind_estimates_once_and_only_when_asked(linear):
    calls = []

    def estimator(y):
        calls.append(y.shape)
        return torch.full(y.shape[:2], 2.0)

    y = torch.rand(2, 3, 8, 8)
    d = Blind(Tiled(linear, 4), estimator)
    torch.testing.assert_close(d(y), y / 5)
    assert calls == [y.shape]  # the whole picture, not the tiles
    torch.testing.assert_close(d(y, 1.0), y / 2)
    assert len(calls) == 1
    assert d.card.blind


def test_blind_cannot_be_tiled(linear):
    with pytest.raises(InputError, match="whole picture"):
        Tiled(Blind(linear, lambda y: y.std((2, 3))), 8)


class Recorder(Denoiser):
    """Returns its input and remembers what it was given."""

    card = Card(sigma_range=(0.0, 1.0), reach=0)

    def forward(self, y, sigma=None):
        self.y, self.sigma = y, sigma
        return y


def test_stabilised_gives_uniform_noise_of_the_stated_level():
    gain, read = 0.01, 0.02
    inner = Recorder()
    d = Stabilised(inner, PoissonGaussian(gain, read))
    g = torch.Generator().manual_seed(0)
    for level in (0.1, 0.4, 0.9):
        x = torch.full((1, 1, 300, 300), level)
        d(PoissonGaussian(gain, read).sample(x, g))
        assert inner.y.std().item() == pytest.approx(inner.sigma, rel=0.02)


def test_stabilised_average_is_unbiased():
    class Mean(Denoiser):
        card = Card(sigma_range=(0.0, 1.0))

        def forward(self, y, sigma=None):
            return y.mean((2, 3), keepdim=True).expand_as(y)

    gain, read = 0.05, 0.03  # down to two photons, where the algebraic inverse is visibly biased
    noise = PoissonGaussian(gain, read)
    for level in (0.1, 0.5):
        y = noise.sample(torch.full((1, 1, 500, 500), level), torch.Generator().manual_seed(1))
        x_hat = Stabilised(Mean(), noise)(y)[0, 0, 0, 0].item()
        assert x_hat == pytest.approx(y.mean().item(), rel=0.01)


def test_ensemble_of_an_equivariant_denoiser_is_itself(linear):
    y, sigma = torch.rand(1, 3, 9, 14), torch.rand(1, 1, 9, 14)
    torch.testing.assert_close(Ensemble(linear)(y, sigma), linear(y, sigma))


def test_ensemble_is_equivariant_to_every_flip_and_rotation(strided):
    d = Ensemble(strided(1))
    y = torch.rand(1, 1, 12, 12)
    for flip in (False, True):
        for turns in range(4):
            z = torch.rot90(y.flip(-1) if flip else y, turns, (-2, -1))
            expected = d(y, 0.1)
            expected = torch.rot90(expected.flip(-1) if flip else expected, turns, (-2, -1))
            torch.testing.assert_close(d(z, 0.1), expected, rtol=0, atol=1e-6)


def test_ensemble_reach_is_honest(strided):
    y = torch.rand(1, 1, 31, 22)
    local = Ensemble(strided(1))
    torch.testing.assert_close(Tiled(local, 8)(y, 0.1), local(y, 0.1), rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="whole picture"):
        Tiled(Ensemble(strided(2)), 8)
    torch.testing.assert_close(Ensemble(Tiled(strided(2), 8))(y, 0.1), Ensemble(strided(2))(y, 0.1), rtol=0, atol=1e-5)


class GaussianNet(torch.nn.Module):
    """The exact network for data N(mean, var) in every parameterisation."""

    def __init__(self, param, schedule, mean, var):
        super().__init__()
        self.param, self.schedule, self.mean, self.var = param, schedule, mean, var

    def forward(self, x_t, t):
        # invert t -> sigma on a fine grid, as a trained network knows it only by t
        grid = torch.logspace(-2, 2, 20001, dtype=torch.float64)
        times = self.schedule.t(grid)
        sigma = grid[torch.searchsorted(times, t).clamp(max=len(grid) - 1)].reshape(-1, 1, 1, 1)
        alpha = self.schedule.alpha(sigma)
        y = x_t / alpha
        x0 = self.mean + self.var / (self.var + sigma**2) * (y - self.mean)
        n = (y - x0) / sigma
        return {"x0": x0, "eps": n, "v": alpha * n - alpha * sigma * x0, "flow": n - x0}[self.param]


@pytest.mark.parametrize("schedule", [DiscreteVP.linear(), DiscreteVP.cosine(), Flow(), Flow(1000.0)])
@pytest.mark.parametrize("param", ["x0", "eps", "v", "flow"])
def test_as_denoiser_gives_the_same_denoiser_from_every_parameterisation(param, schedule):
    y = torch.rand(3, 2, 4, 4, dtype=torch.float64)
    sigma = torch.tensor([0.02, 0.3, 2.0], dtype=torch.float64)
    s = sigma.reshape(-1, 1, 1, 1)
    # the network lives on [-1, 1]: data there N(0.2, 0.25) is N(0.6, 0.0625) on [0, 1]
    d = as_denoiser(GaussianNet(param, schedule, 0.2, 0.25), param, schedule)
    expected = 0.6 + 0.0625 / (0.0625 + s**2) * (y - 0.6)
    torch.testing.assert_close(d(y, sigma), expected, rtol=2e-3, atol=2e-3)
    unsigned = as_denoiser(GaussianNet(param, schedule, 0.6, 0.0625), param, schedule, signed=False)
    torch.testing.assert_close(unsigned(y, sigma), expected, rtol=2e-3, atol=2e-3)


def test_as_denoiser_refuses(linear):
    with pytest.raises(InputError, match="did you mean 'eps'"):
        as_denoiser(torch.nn.Identity(), "epss", Flow())
    d = as_denoiser(GaussianNet("x0", Flow(), 0, 1), "x0", Flow())
    with pytest.raises(TypeError, match="unknown condition"):
        d(torch.zeros(1, 1, 2, 2), 0.1, label=3)
    with pytest.raises(InputError, match="noise level"):
        d(torch.zeros(1, 1, 2, 2))
