"""Every derivative of networks in the layouts and forms that are fast, against finite differences."""

import pytest
import torch

from unnoise.denoiser import Card, Denoiser
from unnoise.denoiser.derivatives import differentiable, require_gradients
from unnoise.errors import InputError
from unnoise.explain.harmonic_bases import jacobian, shrinkage_basis, sure
from unnoise.generate.digits import Digits
from unnoise.generate.sample import log_likelihood
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator


@pytest.fixture
def digits():
    """A small network with group normalisation, attention and the channels-last layout; none of its weights 0."""
    torch.manual_seed(0)
    d = Digits(widths=(16, 32), blocks=(1, 1), embedding=32, size=8).eval()
    for p in d.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return d


class Stopped(Denoiser):
    """Computes without gradients, as the classical methods do."""

    card = Card(kind="any")

    @torch.no_grad()
    def forward(self, y, sigma=None):
        return 0.5 * y


def test_products_with_the_jacobian_are_differences_of_estimates(digits):
    y = torch.rand(1, 1, 8, 8, generator=generator(1))
    j = jacobian(digits, y, 0.3, label=torch.tensor([2])).double()
    assert j.abs().max() > 0.01
    columns = torch.eye(64).reshape(64, 1, 8, 8)
    step, label = 1e-2, torch.full((64,), 2)
    with torch.no_grad():
        moved = digits(y + step * columns, 0.3, label=label) - digits(y - step * columns, 0.3, label=label)
    torch.testing.assert_close(j.T, moved.flatten(1).double() / (2 * step), rtol=0.02, atol=2e-3)
    top = shrinkage_basis(digits, y, 0.3, k=3, method="randomised", label=torch.tensor([2]))
    full = torch.linalg.eigvalsh((j + j.T) / 2).flip(0)
    torch.testing.assert_close(top.eigenvalues, full[:3], rtol=1e-3, atol=1e-3)


def test_stein_and_the_likelihood_of_a_network_with_attention(digits):
    y = torch.rand(2, 1, 8, 8, generator=generator(2))
    label = torch.tensor([0, 1])
    trace = [float(jacobian(digits, y[i : i + 1], 0.3, label=label[i : i + 1]).trace()) for i in range(2)]
    with torch.no_grad():
        residual = (y - digits(y, 0.3, label=label)).square().flatten(1).mean(1).double()
    exact = residual - 0.09 + 2 * 0.09 * torch.tensor(trace, dtype=torch.float64) / 64
    found = sure(digits, y, 0.3, probes=400, label=label)
    torch.testing.assert_close(found, exact, rtol=0, atol=0.02)
    grid = karras(4, 0.05, 5.0)
    nats = log_likelihood(digits, y, grid, label=label)
    alone = log_likelihood(digits, y[1:], grid, label=label[1:])
    torch.testing.assert_close(nats[1:], alone, rtol=1e-4, atol=1e-3)
    estimated = log_likelihood(digits, y, grid, probes=60, label=label)
    assert (estimated - nats).abs().max() < 0.05 * nats.abs().max()


def test_a_network_is_left_as_it_was(digits):
    y, layout = torch.rand(1, 1, 8, 8), digits.inner.net.head.weight.stride()
    before = digits(y, 0.3)
    with pytest.raises(ZeroDivisionError), differentiable(digits):
        1 / 0  # noqa: B018
    assert not any(m._forward_pre_hooks for m in digits.modules())
    assert digits.inner.net.head.weight.stride() == layout and torch.equal(digits(y, 0.3), before)


def test_a_denoiser_without_gradients_is_named():
    y = torch.rand(1, 1, 4, 4)
    for call in (
        lambda: require_gradients(Stopped(), y, None, {}),
        lambda: jacobian(Stopped(), y),
        lambda: sure(Stopped(), y, 0.1),
        lambda: log_likelihood(Stopped(), y, karras(2, 0.1, 1.0)),
    ):
        with pytest.raises(InputError, match="Stopped computes without gradients"):
            call()
    for call in (lambda: sure(Stopped(), y, 0.1, probes=0), lambda: log_likelihood(Stopped(), y, [1, 0.5], probes=0)):
        with pytest.raises(InputError, match="probes=0"):
            call()
