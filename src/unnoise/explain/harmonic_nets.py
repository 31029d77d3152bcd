"""The bias-free blind denoisers of the paper: BF-UNet and BF-CNN, with their normalisation that only scales.

Kadkhodaie, Guth, Simoncelli and Mallat 2024 (2310.02557), appendix A; Mohan et al. 2020 (1906.05478).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.denoiser.base import Card, Denoiser, Sigma
from unnoise.errors import InputError


class ScaleNorm(nn.Module):
    """`x / sd * gamma` per channel, no mean subtracted and no shift; in `eval` mode linear, with the running sd.

    The running standard deviation follows a batch's (about its mean) with weight 0.1.
    """

    running_sd: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter((torch.randn(width) * (2 / (9 * 64))).clamp(-0.025, 0.025))
        self.register_buffer("running_sd", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W), shape in, shape out."""
        sd = self.running_sd
        if self.training:
            sd = (x.var((0, 2, 3), unbiased=False) + 1e-5).sqrt()
            with torch.no_grad():
                self.running_sd.mul_(0.9).add_(sd, alpha=0.1)
        return x * (self.gamma / sd)[:, None, None]


class _Block(nn.Module):
    """conv3x3 without bias, optionally `ScaleNorm`, ReLU."""

    def __init__(self, c_in: int, c_out: int, norm: bool = True, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv.weight)
        self.norm = ScaleNorm(c_out) if norm else None
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.relu else x


class _Residual(Denoiser):
    """Blind: the network's output is the noise, `D(y) = y - net(y)`. In `eval` mode `D(c y) = c D(y)` for c > 0."""

    def __init__(self, channels: int, stride: int, reach: int | None) -> None:
        super().__init__()
        self.card = Card(channels=channels, reach=reach, stride=stride)
        self.stride = stride

    def noise(self, y: Tensor) -> Tensor:
        """What is taken from y."""
        raise TypeError(f"{type(self).__name__} does not define noise(y)")

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y (B, C, H, W); sigma is ignored."""
        if any(n % self.stride for n in y.shape[-2:]):
            raise InputError(f"this network takes heights and widths that are multiples of {self.stride}")
        return y - self.noise(y)


class BFUNet(_Residual):
    """BF-UNet of `blocks` scales; 7,659,264 parameters with the paper's width 64 and 3 blocks.

    Examples
    --------
    >>> sum(p.numel() for p in BFUNet(blocks=1).parameters())
    366080
    """

    def __init__(self, channels: int = 1, width: int = 64, blocks: int = 3) -> None:
        super().__init__(channels, 2**blocks, None)
        w = [width * 2**b for b in range(blocks + 1)]
        ins = [channels, *w[:-1]]
        self.encoder = nn.ModuleList(
            nn.Sequential(_Block(ins[b], w[b], norm=b > 0), _Block(w[b], w[b])) for b in range(blocks)
        )
        self.middle = nn.Sequential(_Block(w[-2], w[-1]), _Block(w[-1], w[-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(w[b + 1], w[b], 2, 2, bias=False) for b in range(blocks))
        self.decoder = nn.ModuleList(
            nn.Sequential(
                _Block(2 * w[b], w[b]), _Block(w[b], w[b]) if b else _Block(w[0], channels, norm=False, relu=False)
            )
            for b in range(blocks)
        )

    def noise(self, y: Tensor) -> Tensor:
        """Estimated noise, of y's shape."""
        skips = []
        for stage in self.encoder:
            y = stage(y)
            skips.append(y)
            y = F.avg_pool2d(y, 2)
        y = self.middle(y)
        for stage, up in zip(reversed(self.decoder), reversed(self.up), strict=True):
            y = stage(torch.cat([up(y), skips.pop()], 1))
        return y


class BFCNN(_Residual):
    """BF-CNN: `layers` convolutions of 64 channels, 702,784 parameters with 21; optionally no ReLU after the first.

    Examples
    --------
    >>> sum(p.numel() for p in BFCNN(layers=20).parameters())
    665856
    """

    def __init__(self, channels: int = 1, width: int = 64, layers: int = 21, first_linear: bool = False) -> None:
        super().__init__(channels, 1, layers)
        middle = (_Block(width, width) for _ in range(layers - 2))
        self.net = nn.Sequential(
            _Block(channels, width, norm=False, relu=not first_linear),
            *middle,
            _Block(width, channels, norm=False, relu=False),
        )

    def noise(self, y: Tensor) -> Tensor:
        """Estimated noise, of y's shape."""
        out: Tensor = self.net(y)
        return out


def folded(net: _Residual) -> _Residual:
    """A copy in `eval` mode whose normalisations have become part of the convolutions: the same function."""
    copied = copy.deepcopy(net).eval()
    for block in _blocks(copied):
        if block.norm is not None:
            scale = block.norm.gamma / block.norm.running_sd
            block.conv.weight = nn.Parameter((block.conv.weight * scale[:, None, None, None]).detach())
            block.norm = None
    return copied


def _blocks(net: nn.Module) -> Iterator[_Block]:
    return (m for m in net.modules() if isinstance(m, _Block))
