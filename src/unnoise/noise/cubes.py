"""What corrupts spectral cubes: Gaussian noise by level, by SNR or by band, photons, impulses, stripes, dead lines.

Every model is `sample(x, generator) -> y` on cubes `(B, bands, H, W)`; x stays as it is. `generator` is one for the
batch or a list of one a sample. Impulses, stripes and dead lines scale with each band's own minimum and maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.seeds import Randomness, normal_like, poisson_like

Source = torch.Generator | None


def snr_sigma(x: Tensor, snr: float | Tensor) -> Tensor:
    """The level (B, 1, 1, 1) at which Gaussian noise on x (B, bands, H, W) has a signal-to-noise ratio in dB.

    >>> snr_sigma(torch.ones(1, 2, 4, 4), 20.0).item()
    0.10000000149011612
    """
    power = x.double().square().flatten(1).mean(1)
    return (power * 10 ** (-torch.as_tensor(snr, dtype=torch.float64) / 10)).sqrt().to(x.dtype).reshape(-1, 1, 1, 1)


@dataclass(frozen=True)
class GaussianSNR:
    """Gaussian noise of one level for the whole cube, `sigma**2 = mean(x**2) / 10**(snr / 10)`.

    `snr` in dB: a number, or a range (low, high) of which each cube draws its own.
    """

    snr: float | tuple[float, float]

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x plus noise."""
        if isinstance(self.snr, tuple):
            low, high = self.snr
            drawn = torch.stack([low + (high - low) * _uniform(1, g, x)[0] for g in _sources(x, generator)])
            return x + snr_sigma(x, drawn) * normal_like(x, generator)
        return x + snr_sigma(x, self.snr) * normal_like(x, generator)


@dataclass(frozen=True)
class NonIID:
    """Gaussian noise whose level each band draws for itself from U(low, high), in data units."""

    low: float = 0.0
    high: float = 40 / 255

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x plus noise."""
        levels = torch.stack([_uniform(x.shape[1], g, x) for g in _sources(x, generator)])
        sigma = self.low + (self.high - self.low) * levels
        return x + sigma[..., None, None] * normal_like(x, generator)


@dataclass(frozen=True)
class BandPoisson:
    """Photon noise with a gain a band that gives it the SNR (dB): `y = Poisson(a x) / a`, `a = 10**(snr/10) sum x / sum x**2`.

    Negative x counts as dark.
    """  # noqa: E501

    snr: float = 15.0

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """Noisy cube in the units of x."""
        light = x.clamp(min=0)
        power = light.double().square().sum((2, 3), keepdim=True).clamp(min=1e-300)
        a = (10 ** (self.snr / 10) * light.double().sum((2, 3), keepdim=True) / power).to(x.dtype)
        return torch.where(a > 0, poisson_like(a * light, generator) / a.clamp(min=1e-30), x)


@dataclass(frozen=True)
class BandImpulses:
    """Salt and pepper: in some bands a share of the pixels, drawn of `shares`, becomes the band's maximum or minimum.

    `bands` is a count (int) or a fraction in (0, 1]; `salt` the chance of the maximum.
    """

    bands: int | float = 1 / 3
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7)
    salt: float = 0.5

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x with impulses."""
        return _hit_bands(x, self.bands, generator, self.on)

    def on(self, chosen: Tensor, g: Source) -> Tensor:
        """Bands (n, H, W) with impulses in each."""
        shares = chosen.new_tensor(list(self.shares))
        share = shares[(_uniform(len(chosen), g, chosen) * len(shares)).long()]
        hit = _uniform(chosen.numel(), g, chosen).reshape(chosen.shape) < share[:, None, None]
        salt = _uniform(chosen.numel(), g, chosen).reshape(chosen.shape) < self.salt
        high, low = chosen.amax((1, 2), keepdim=True), chosen.amin((1, 2), keepdim=True)
        return torch.where(hit, torch.where(salt, high, low), chosen)


@dataclass(frozen=True)
class Stripes:
    """In some bands a share of the columns is shifted by a constant each, U(-amplitude, amplitude) of the band's range.

    `bands` is a count (int) or a fraction in (0, 1]; `columns` the least and largest share of columns hit.
    """

    bands: int | float = 1 / 3
    columns: tuple[float, float] = (0.05, 0.15)
    amplitude: float = 0.25

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x with stripes."""
        return _hit_bands(x, self.bands, generator, self.on)

    def on(self, chosen: Tensor, g: Source) -> Tensor:
        """Bands (n, H, W) with stripes in each."""
        hit = _columns(chosen, self.columns, g)
        height = (2 * _uniform(hit.numel(), g, chosen).reshape(hit.shape) - 1) * self.amplitude
        extent = chosen.amax((1, 2), keepdim=True) - chosen.amin((1, 2), keepdim=True)
        return chosen + hit[:, None] * height[:, None] * extent


@dataclass(frozen=True)
class DeadLines:
    """In some bands a share of the columns reads the band's minimum.

    `bands` is a count (int) or a fraction in (0, 1]; `columns` the least and largest share of columns hit.
    """

    bands: int | float = 1 / 3
    columns: tuple[float, float] = (0.05, 0.15)

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x with dead columns."""
        return _hit_bands(x, self.bands, generator, self.on)

    def on(self, chosen: Tensor, g: Source) -> Tensor:
        """Bands (n, H, W) with dead columns in each."""
        dead = _columns(chosen, self.columns, g)[:, None].bool()
        return torch.where(dead, chosen.amin((1, 2), keepdim=True), chosen)


Sparse = BandImpulses | Stripes | DeadLines


@dataclass(frozen=True)
class Mixed:
    """Gaussian noise of a level a band, then sparse corruptions, each on bands of its own (disjoint, at random)."""

    gaussian: NonIID = field(default_factory=NonIID)
    sparse: tuple[Sparse, ...] = (BandImpulses(), Stripes(), DeadLines())

    def __post_init__(self) -> None:
        if sum(s.bands for s in self.sparse if isinstance(s.bands, float)) > 1 + 1e-9:
            raise InputError("the bands of mixed noise must be disjoint: their fractions may add up to 1 at most")

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """Noisy cube."""
        y = self.gaussian.sample(x, generator)
        for i, g in enumerate(_sources(x, generator)):
            order, first = _permutation(x.shape[1], g), 0
            for corruption in self.sparse:
                count = _count(corruption.bands, x.shape[1])
                at = order[first : first + count]
                y[i, at] = corruption.on(y[i, at], g)
                first += count
        return y


def _sources(x: Tensor, generator: Randomness) -> Sequence[Source]:
    return generator if isinstance(generator, Sequence) else [generator] * len(x)


def _uniform(n: int, g: Source, like: Tensor) -> Tensor:
    where = like.device if g is None else g.device
    return torch.rand(n, generator=g, device=where).to(like)


def _permutation(n: int, g: Source) -> Tensor:
    return torch.randperm(n, generator=g, device="cpu" if g is None else g.device).cpu()


def _count(bands: int | float, total: int) -> int:
    if isinstance(bands, int):
        count = bands
    else:
        count = round(bands * total) if 0 < bands <= 1 else -1
    if not 0 <= count <= total:
        raise InputError(f"bands must be a count up to {total} or a fraction in (0, 1], got {bands}")
    return count


def _hit_bands(x: Tensor, bands: int | float, generator: Randomness, on: object) -> Tensor:
    y = x.clone()
    for i, g in enumerate(_sources(x, generator)):
        at = _permutation(x.shape[1], g)[: _count(bands, x.shape[1])]
        y[i, at] = on(x[i, at], g)  # type: ignore[operator]
    return y


def _columns(chosen: Tensor, share: tuple[float, float], g: Source) -> Tensor:
    """Which columns of each band are hit, (n, W) of 0 and 1, at least one a band."""
    n, width = len(chosen), chosen.shape[2]
    low, high = (max(1, round(s * width)) for s in share)
    counts = low + (_uniform(n, g, chosen) * (high - low + 1)).long()
    order = _uniform(n * width, g, chosen).reshape(n, width).argsort(1).argsort(1)
    return (order < counts[:, None]).to(chosen.dtype)
