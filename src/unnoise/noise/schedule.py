"""Noise processes of diffusion and flow models, as maps between network time and the noise level in data units.

A process makes `x_t = alpha_t x_0 + sigma_t n`. In the variance-exploding units that every denoiser here speaks,
`y = x_t / alpha_t = x_0 + sigma n` with `sigma = sigma_t / alpha_t`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

SMALLEST = 1e-12  # levels are clamped here before a logarithm is taken


class Schedule(Protocol):
    """What a network's time means: elementwise maps on tensors of any shape."""

    def t(self, sigma: Tensor) -> Tensor:
        """Time that the network was conditioned on at noise level sigma."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at that time: the inverse of `t`."""

    def alpha(self, sigma: Tensor) -> Tensor:
        """Signal scale of `x_t` at noise level sigma."""


@dataclass(frozen=True)
class DiscreteVP:
    """Variance-preserving process of N discrete steps: `alpha_bar = prod(1 - beta)`, `alpha = sqrt(alpha_bar)`.

    `alpha_bar` is float64: in float32 the last steps lose three digits (Ho et al. 2020, "DDPM", eq. 4). With
    `rounded`, the network gets the nearest whole step, as one that looks its time up in a table needs.
    """

    alpha_bar: Tensor
    rounded: bool = False

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

    def zero_snr(self) -> DiscreteVP:
        """The process rescaled so that its last step is pure noise (Lin et al. 2023, algorithm 1).

        The last alpha_bar is 2**-24 rather than zero, which keeps its noise level finite.
        """
        root = self.alpha_bar.sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        alpha_bar = root**2
        alpha_bar[-1] = 2**-24
        return DiscreteVP(alpha_bar, self.rounded)

    @cached_property
    def sigmas(self) -> Tensor:
        """Noise level of every step, rising, shape (N,), float64."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    @cached_property
    def log_sigmas(self) -> Tensor:
        """Their logarithms."""
        return self.sigmas.log()

    def t(self, sigma: Tensor) -> Tensor:
        """Fractional step at noise level sigma, linear in log sigma between steps, clamped to the table."""
        if self.rounded:
            levels = self.sigmas.to(sigma.device)
            k = torch.searchsorted(levels, sigma.double()).clamp(1, len(levels) - 1)
            lower = sigma.double() - levels[k - 1] < levels[k] - sigma.double()
            return torch.where(lower, k - 1, k).to(sigma.dtype)
        table = self.log_sigmas.to(sigma.device)
        s = sigma.double().clamp(min=SMALLEST).log().clamp(table[0], table[-1])
        k = torch.searchsorted(table, s).clamp(1, len(table) - 1)
        low, high = table[k - 1], table[k]
        t = k - 1 + (s - low) / (high - low)
        whole = t.round()  # a step's own level, rounded to float32, is to give that step and not 998.99997
        return torch.where((t - whole).abs() < 1e-3, whole, t).to(sigma.dtype)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at a fractional step, interpolated in log sigma."""
        table = self.log_sigmas.to(t.device)
        u = t.double().clamp(0, len(table) - 1)
        k = u.floor().long().clamp(max=len(table) - 2)
        return torch.lerp(table[k], table[k + 1], u - k).exp().to(t.dtype)

    def alpha(self, sigma: Tensor) -> Tensor:
        """`1 / sqrt(1 + sigma**2)`."""
        return (1 + sigma**2).rsqrt()


@dataclass(frozen=True)
class VP:
    """Continuous variance-preserving process on t in [0, 1] (Song et al. 2021, "Score-based generative modeling").

    `beta(t) = beta_min + beta_d t`; `scale` multiplies the time given to the network (999 for DDPM++ networks).
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    scale: float = 1.0

    def t(self, sigma: Tensor) -> Tensor:
        """The positive root of `beta_d t**2 / 2 + beta_min t = log(1 + sigma**2)`, times `scale`."""
        log = torch.log1p(sigma**2)
        return self.scale * 2 * log / (self.beta_min + (self.beta_min**2 + 2 * self.beta_d * log).sqrt())

    def sigma(self, t: Tensor) -> Tensor:
        """`sqrt(exp(beta_d t**2 / 2 + beta_min t) - 1)`."""
        u = t / self.scale
        return torch.expm1(self.beta_d * u**2 / 2 + self.beta_min * u).sqrt()

    def alpha(self, sigma: Tensor) -> Tensor:
        """`1 / sqrt(1 + sigma**2)`."""
        return (1 + sigma**2).rsqrt()


@dataclass(frozen=True)
class VE:
    """Variance-exploding process, alpha = 1; the network is told `log(sigma / 2)` (Song et al. 2021, NCSN++)."""

    def t(self, sigma: Tensor) -> Tensor:
        """`log(sigma / 2)`."""
        return (sigma.clamp(min=SMALLEST) / 2).log()

    def sigma(self, t: Tensor) -> Tensor:
        """`2 exp(t)`."""
        return 2 * t.exp()

    def alpha(self, sigma: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(sigma)


@dataclass(frozen=True)
class EDM:
    """Karras et al. 2022, "Elucidating the design space": alpha = 1, the network is told `log(sigma) / 4`.

    `sigma_data` is the standard deviation of the data in the network's units, for its preconditioning (table 1).
    """

    sigma_data: float = 0.5

    def t(self, sigma: Tensor) -> Tensor:
        """`c_noise = log(sigma) / 4`."""
        return sigma.clamp(min=SMALLEST).log() / 4

    def sigma(self, t: Tensor) -> Tensor:
        """`exp(4 t)`."""
        return (4 * t).exp()

    def alpha(self, sigma: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(sigma)

    def c_skip(self, sigma: Tensor) -> Tensor:
        """Weight of the noisy input in the estimate."""
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Weight of the network's output."""
        return sigma * self.sigma_data * (sigma**2 + self.sigma_data**2).rsqrt()

    def c_in(self, sigma: Tensor) -> Tensor:
        """Scale of the network's input, which gives it unit variance."""
        return (sigma**2 + self.sigma_data**2).rsqrt()

    def weight(self, sigma: Tensor) -> Tensor:
        """Weight of the squared error of D in training, `1 / c_out**2`."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


@dataclass(frozen=True)
class Flow:
    """Rectified flow `x_t = (1 - t) x_0 + t n` (Lipman et al. 2023): `sigma = t / (1 - t)`.

    `scale` multiplies the time given to the network, 1000 for networks that count steps.
    """

    scale: float = 1.0

    def t(self, sigma: Tensor) -> Tensor:
        """`scale * sigma / (1 + sigma)`."""
        return self.scale * sigma / (1 + sigma)

    def sigma(self, t: Tensor) -> Tensor:
        """`u / (1 - u)` with `u = t / scale`, infinite at the end."""
        u = t / self.scale
        return u / (1 - u)

    def alpha(self, sigma: Tensor) -> Tensor:
        """`1 - t = 1 / (1 + sigma)`."""
        return 1 / (1 + sigma)
