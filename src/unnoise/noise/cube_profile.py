"""What noise is in a cube: level and signal-to-noise ratio of every band, impulses, stripes, empty bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.estimate import NORMAL_MAD
from unnoise.noise.spectral import check_regression, gram, regression_residual, regression_sigma

SPIKE = 6.0  # robust standard deviations beyond which a residual is no Gaussian's
SPIKES = 0.02  # share of such pixels from which a band has impulses; edges of clean cubes stay under 0.008
STRIPES = 2.0  # largest mean of a row or column, in standard deviations; weak scanner stripes stay under 1.5


@dataclass(frozen=True)
class CubeProfile:
    """The noise found in a cube, in its own units.

    Attributes
    ----------
    sigma : noise level of every band; 0 for constant and empty ones.
    snr : signal-to-noise ratio of every band in dB.
    impulses, stripes : bands with impulses, and with stripes or dead lines.
    constant, empty : bands that hold one value, and none.
    missing : pixels without any value outside the empty bands.
    partly : pixels with values in some of those bands only.
    pixels : pixels in all.
    """

    sigma: tuple[float, ...]
    snr: tuple[float, ...]
    impulses: tuple[int, ...]
    stripes: tuple[int, ...]
    constant: tuple[int, ...]
    empty: tuple[int, ...]
    missing: int
    partly: int
    pixels: int

    @property
    def live(self) -> tuple[int, ...]:
        """Bands that are neither constant nor empty."""
        dead = {*self.constant, *self.empty}
        return tuple(b for b in range(len(self.sigma)) if b not in dead)

    @property
    def median_snr(self) -> float:
        """Of the live bands, in dB."""
        values = sorted(self.snr[b] for b in self.live)
        return values[len(values) // 2] if values else float("inf")

    def describe(self) -> str:
        """One sentence.

        >>> CubeProfile((0.1,) * 3, (20.0,) * 3, (), (1,), (), (2,), 4, 0, 99).describe()
        'noise of median SNR 20.0 dB over 2 bands, 1 with stripes; empty: band 2; 4 of 99 pixels without data'
        """
        parts = [f"noise of median SNR {self.median_snr:.1f} dB over {len(self.live)} bands"]
        parts += [f"{len(b)} with {what}" for b, what in ((self.impulses, "impulses"), (self.stripes, "stripes")) if b]
        text = ", ".join(parts)
        for bands, what in ((self.empty, "empty"), (self.constant, "constant")):
            if bands:
                text += f"; {what}: band{'s' * (len(bands) > 1)} {ranges(bands)}"
        if self.missing:
            text += f"; {self.missing} of {self.pixels} pixels without data"
        if self.partly:
            text += f"; {self.partly} with some bands missing"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        from dataclasses import asdict

        return asdict(self)


def ranges(numbers: tuple[int, ...]) -> str:
    """Sorted numbers in few words.

    >>> ranges((1, 4, 5, 6, 9))
    '1, 4-6, 9'
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def analyse_cube(y: Tensor, valid: Tensor | None = None, sigma: Tensor | None = None) -> CubeProfile:
    """The noise in one cube (bands, H, W); `valid` of its shape is false where nothing was measured.

    Levels are `sigma` (1 or bands,) where they are known. Else they come from the regression of every band on the
    others, over the pixels that all live bands have.

    Raises
    ------
    InputError : nothing measured anywhere; without sigma fewer than 3 live bands, or too few complete pixels.
    """
    valid = torch.isfinite(y) if valid is None else valid & torch.isfinite(y)
    bands, pixels = len(y), y[0].numel()
    seen = valid.flatten(1).any(1)
    if not bool(seen.any()):
        raise InputError("the cube holds no values at all: every one is NaN or the no-data value")
    low = y.masked_fill(~valid, torch.inf).flatten(1).amin(1)
    high = y.masked_fill(~valid, -torch.inf).flatten(1).amax(1)
    live = seen & (high > low)
    at = live.nonzero()[:, 0]
    have = valid[at].flatten(1).sum(0)
    complete = have == len(at)
    levels, snr = torch.zeros(bands, dtype=torch.float64), torch.full((bands,), torch.inf, dtype=torch.float64)
    impulses: tuple[int, ...] = ()
    stripes: tuple[int, ...] = ()
    if len(at):
        samples = int(complete.sum())
        if sigma is None:
            check_regression(len(at), samples)
        flat = y[at].flatten(1)
        flat = flat if samples == pixels else flat[:, complete]
        g = gram(flat)
        power = g.diagonal() / samples if samples else _power(y[at].flatten(1), valid[at].flatten(1))
        level = regression_sigma(g, samples) if sigma is None else sigma.double().expand(bands)[at]
        levels[at] = level.cpu()
        snr[at] = decibels(power, level).cpu()
    if len(at) > 2 and samples > len(at):  # else nothing tells impulses from the scene
        w = regression_residual(flat, g)
        w -= w.median(1, keepdim=True).values  # impulses of one sign shift the fit
        spread = w.abs().median(1, keepdim=True).values / NORMAL_MAD
        spiky = (w.abs() > SPIKE * spread).double().mean(1) > SPIKES
        striped = torch.zeros_like(spiky)
        if bool(complete.all()):
            image = w.reshape(-1, *y.shape[1:])
            lines = torch.maximum(*(image.mean(axis).abs().amax(1) for axis in (1, 2)))
            striped = lines > STRIPES * w.std(1)
        stripes = tuple(at[striped].tolist())
        impulses = tuple(at[spiky & ~striped].tolist())
    return CubeProfile(
        sigma=tuple(levels.tolist()),
        snr=tuple(snr.tolist()),
        impulses=impulses,
        stripes=stripes,
        constant=tuple((seen & ~live).nonzero()[:, 0].tolist()),
        empty=tuple((~seen).nonzero()[:, 0].tolist()),
        missing=int((have == 0).sum()) if len(at) else 0,
        partly=int(((have > 0) & ~complete).sum()) if len(at) else 0,
        pixels=pixels,
    )


def decibels(power: Tensor, sigma: Tensor) -> Tensor:
    """The signal-to-noise ratio of bands with so much power, signal and noise, and a noise level each."""
    return 10 * (power / sigma.square() - 1).clamp(min=1e-9).log10()


def _power(flat: Tensor, valid: Tensor) -> Tensor:
    """Mean square of the values that there are in every band (bands, pixels)."""
    return flat.masked_fill(~valid, 0).square().sum(1, dtype=torch.float64) / valid.sum(1)
