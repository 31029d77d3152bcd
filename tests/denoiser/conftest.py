"""Small denoisers with known reach and stride, whose output depends on every pixel they may see."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unnoise.denoiser import Card, Denoiser, expand_sigma


class Strided(Denoiser):
    """Pixel-unshuffle by s, two 3x3 convolutions on [data, sigma map], pixel-shuffle; pads right and below."""

    def __init__(self, stride: int, seed: int = 0) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        width = stride**2
        self.stride = stride
        self.a = nn.Parameter(torch.randn(8, 2 * width, 3, 3, generator=g) / 9)
        self.b = nn.Parameter(torch.randn(width, 8, 3, 3, generator=g) / 9)
        # two 3x3 on the coarse grid reach 2 coarse pixels, from any phase: 2 s + s - 1 fine ones
        self.card = Card(
            channels=None, sigma_range=(0.0, 1.0), conditions=("gain",), reach=3 * stride - 1, stride=stride
        )

    def forward(self, y, sigma=None, *, gain=None):
        b, c, h, w = y.shape
        s = expand_sigma(sigma, y).expand(b, c, h, w)
        z = torch.stack([y if gain is None else gain * y, s], 2).flatten(0, 1)
        z = F.pad(z, (0, -w % self.stride, 0, -h % self.stride), mode="replicate")
        z = F.conv2d(F.relu(F.conv2d(F.pixel_unshuffle(z, self.stride), self.a, padding=1)), self.b, padding=1)
        return y + F.pixel_shuffle(z, self.stride)[..., :h, :w].reshape(b, c, h, w)


class Linear(Denoiser):
    """x_hat = y / (1 + sigma**2): the posterior mean of standard normal data."""

    card = Card(kind="any", value_range=None, sigma_range=(0.0, float("inf")), reach=0)

    def forward(self, y, sigma=None):
        return y / (1 + expand_sigma(sigma, y) ** 2)


@pytest.fixture
def strided():
    return Strided


@pytest.fixture
def linear():
    return Linear()
