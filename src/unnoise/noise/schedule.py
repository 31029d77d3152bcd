"""Noise processes of diffusion and flow models, as tables from network time to the noise level in data units.

A process makes `x_t = alpha_t x_0 + sigma_t n`. In the variance-exploding units that every denoiser here speaks,
`y = x_t / alpha_t = x_0 + sigma n` with `sigma = sigma_t / alpha_t`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """What a network's time means: `t(sigma)` and `alpha(sigma)`, elementwise on tensors of any shape."""

    def t(self, sigma: Tensor) -> Tensor:
        """Time that the network was conditioned on at noise level sigma."""

    def alpha(self, sigma: Tensor) -> Tensor:
        """Signal scale of `x_t` at noise level sigma."""


@dataclass(frozen=True)
class DiscreteVP:
    """Variance-preserving process of N discrete steps: `alpha_bar = prod(1 - beta)`, `alpha = sqrt(alpha_bar)`.

    `alpha_bar` is float64: in float32 the last steps lose three digits (Ho et al. 2020, "DDPM", eq. 4).
    """

    alpha_bar: Tensor

    @classmethod
    def linear(cls, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> DiscreteVP:
        """Betas evenly spaced (DDPM)."""
        return cls(torch.cumprod(1 - torch.linspace(first, last, steps, dtype=torch.float64), 0))

    @classmethod
    def scaled_linear(cls, steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> DiscreteVP:
        """Square roots of the betas evenly spaced (Stable Diffusion)."""
        roots = torch.linspace(math.sqrt(first), math.sqrt(last), steps, dtype=torch.float64)
        return cls(torch.cumprod(1 - roots**2, 0))

    @classmethod
    def cosine(cls, steps: int = 1000) -> DiscreteVP:
        """Squared-cosine alpha_bar, betas capped at 0.999 (Nichol and Dhariwal 2021, eq. 17)."""
        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        return cls(torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp(max=0.999), 0))

    @property
    def sigmas(self) -> Tensor:
        """Noise level of every step, rising, shape (N,), float64."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    def t(self, sigma: Tensor) -> Tensor:
        """Fractional step at noise level sigma, linear in log sigma between steps, clamped to the table."""
        table = self.sigmas.log().to(sigma.device)
        s = sigma.double().clamp(min=1e-12).log().clamp(table[0], table[-1])
        k = torch.searchsorted(table, s).clamp(1, len(table) - 1)
        low, high = table[k - 1], table[k]
        return (k - 1 + (s - low) / (high - low)).to(sigma.dtype)

    def alpha(self, sigma: Tensor) -> Tensor:
        """`1 / sqrt(1 + sigma**2)`."""
        return (1 + sigma**2).rsqrt()


@dataclass(frozen=True)
class Flow:
    """Rectified flow `x_t = (1 - t) x_0 + t n` (Lipman et al. 2023): `sigma = t / (1 - t)`.

    `scale` multiplies the time given to the network, 1000 for networks that count steps.
    """

    scale: float = 1.0

    def t(self, sigma: Tensor) -> Tensor:
        """`scale * sigma / (1 + sigma)`."""
        return self.scale * sigma / (1 + sigma)

    def alpha(self, sigma: Tensor) -> Tensor:
        """`1 - t = 1 / (1 + sigma)`."""
        return 1 / (1 + sigma)
