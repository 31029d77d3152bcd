import json

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, expand_sigma, score
from unnoise.errors import InputError, UnnoiseError


@pytest.mark.parametrize(
    ("sigma", "shape"),
    [
        (0.5, (1, 1, 1, 1)),
        (0, (1, 1, 1, 1)),
        (torch.tensor(0.5), (1, 1, 1, 1)),
        (torch.tensor([0.1, 0.2]), (2, 1, 1, 1)),
        (torch.full((1, 3, 1, 1), 0.1), (1, 3, 1, 1)),
        (torch.full((2, 1, 5, 7), 0.1), (2, 1, 5, 7)),
    ],
)
def test_expand_sigma_shapes(sigma, shape):
    y = torch.zeros(2, 3, 5, 7, dtype=torch.float64)
    s = expand_sigma(sigma, y)
    assert s.shape == shape
    assert s.dtype == y.dtype
    torch.broadcast_to(s, y.shape)


@pytest.mark.parametrize(
    ("sigma", "says"),
    [
        (None, "noise level"),
        (-1, ">= 0"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (torch.tensor([0.1, 0.2, 0.3]), "fits no sample"),
        (torch.zeros(1, 2, 1, 1), "fits no sample"),
        (torch.zeros(3, 5), "fits no sample"),
        (torch.tensor([0.1, -0.1]), ">= 0"),
        (torch.full((2, 1, 5, 7), float("nan")), "finite"),
    ],
)
def test_expand_sigma_refuses(sigma, says):
    with pytest.raises(InputError, match=says):
        expand_sigma(sigma, torch.zeros(2, 3, 5, 7))


def test_score_of_gaussian_data_is_closed_form(linear):
    # y ~ N(0, 1 + sigma^2), so grad log p(y) = -y / (1 + sigma^2)
    y = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.5, 1.0, 3.0], dtype=torch.float64)
    expected = -y / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)
    torch.testing.assert_close(score(linear, y, sigma), expected, rtol=1e-10, atol=1e-12)


def test_score_is_the_gradient_of_a_mixture_log_density():
    # two point masses: the exact denoiser is a softmax, the density is a sum of two Gaussians
    atoms = torch.tensor([-1.0, 2.0], dtype=torch.float64)

    class TwoPoints(Denoiser):
        card = Card(kind="any", value_range=None, sigma_range=(0.0, float("inf")), reach=0)

        def forward(self, y, sigma=None):
            w = torch.softmax(-((y[..., None] - atoms) ** 2) / (2 * expand_sigma(sigma, y)[..., None] ** 2), -1)
            return (w * atoms).sum(-1)

    y = torch.linspace(-3, 4, 50, dtype=torch.float64).reshape(1, 50).requires_grad_()
    for sigma in (0.3, 1.0, 4.0):
        log_p = torch.logsumexp(-((y[..., None] - atoms) ** 2) / (2 * sigma**2), -1).sum()
        (gradient,) = torch.autograd.grad(log_p, y)
        torch.testing.assert_close(score(TwoPoints(), y, sigma), gradient, rtol=1e-10, atol=1e-10)


def test_score_refuses_zero_sigma(linear):
    with pytest.raises(InputError, match="sigma = 0"):
        score(linear, torch.zeros(1, 1, 2, 2), 0.0)


def test_card_survives_json():
    card = Card(channels=3, sigma_range=(0.0, 0.3), conditions=("strength",), reach=7, training={"steps": 3})
    assert Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert not card.blind
    assert Card().blind


def test_errors_are_catchable_as_builtins():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, UnnoiseError)
