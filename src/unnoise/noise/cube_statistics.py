"""What must be known of a whole cube to clean any part of it, as sums that pieces of the cube add up to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.cube_profile import CubeProfile, decibels
from unnoise.noise.spectral import check_regression, gram, regression_sigma


@dataclass(frozen=True, eq=False)
class CubeStatistics:
    """Sums over the pixels of a cube; `a + b` is what both pieces together have, whatever the cut and the order.

    A pixel is complete when it has every band that has any value anywhere. A piece knows only its own bands, so
    products are kept apart by the bands that the piece has, and those of pieces that lack a band drop out at the end.

    Attributes
    ----------
    low, high : smallest and largest value of every band, (bands,) float64; infinities where it has none.
    pixels, blank : pixels in all, and without any value.
    grams : the bands that a piece has (indices) -> its complete pixels, and the products of their bands
        (bands, bands) float64, zero for the other bands.
    """

    low: Tensor
    high: Tensor
    pixels: int
    blank: int
    grams: Mapping[tuple[int, ...], tuple[int, Tensor]] = field(default_factory=dict)

    def __add__(self, other: CubeStatistics) -> CubeStatistics:
        grams = dict(self.grams)
        for bands, (samples, g) in other.grams.items():
            if bands in grams:
                grams[bands] = (grams[bands][0] + samples, grams[bands][1] + g)
            else:
                grams[bands] = (samples, g)
        return CubeStatistics(
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
            self.pixels + other.pixels,
            self.blank + other.blank,
            grams,
        )

    @property
    def seen(self) -> tuple[int, ...]:
        """Bands with any value."""
        return tuple((self.low <= self.high).nonzero()[:, 0].tolist())

    @property
    def live(self) -> tuple[int, ...]:
        """Bands with more than one value."""
        return tuple((self.low < self.high).nonzero()[:, 0].tolist())

    @property
    def complete(self) -> int:
        """Complete pixels."""
        return self.grams[self.seen][0] if self.seen in self.grams else 0

    def gram(self) -> Tensor:
        """Products of the live bands over the complete pixels, (live, live) float64."""
        at = torch.tensor(self.live)
        if not self.complete:
            raise InputError(
                "no pixel of the cube has all bands, so it cannot be cleaned in pieces: give enough --memory for the "
                "whole, or leave bands out that are mostly missing"
            )
        return self.grams[self.seen][1][at][:, at]

    def sigma(self) -> Tensor:
        """Noise level of the live bands, (live,) float64, by their regression on one another."""
        check_regression(len(self.live), self.complete)
        return regression_sigma(self.gram(), self.complete)

    def profile(self, sigma: Tensor | None = None) -> CubeProfile:
        """The noise of the cube, without a look for impulses and stripes, which takes the cube itself; `sigma` (bands,)
        where it is known.

        Raises `InputError` where nothing was measured anywhere, or too little to tell noise.
        """
        if not self.seen:
            raise InputError("the cube holds no values at all: every one is NaN or the no-data value")
        bands, at = len(self.low), torch.tensor(self.live, dtype=torch.long)
        levels, snr = torch.zeros(bands, dtype=torch.float64), torch.full((bands,), torch.inf, dtype=torch.float64)
        if len(at):
            levels[at] = self.sigma() if sigma is None else sigma[at]
            snr[at] = decibels(self.gram().diagonal() / self.complete, levels[at])
        return CubeProfile(
            sigma=tuple(levels.tolist()),
            snr=tuple(snr.tolist()),
            impulses=(),
            stripes=(),
            constant=tuple(b for b in self.seen if b not in set(self.live)),
            empty=tuple(b for b in range(bands) if b not in set(self.seen)),
            missing=self.blank,
            partly=self.pixels - self.blank - self.complete,
            pixels=self.pixels,
        )

    def save(self, path: Path, **more: Any) -> None:
        """As `.npz` at once, with arrays of other names beside it."""
        values: dict[str, Any] = {f"gram{i}": g.numpy() for i, (_, g) in enumerate(self.grams.values())}
        for i, (bands, (samples, _)) in enumerate(self.grams.items()):
            values |= {f"bands{i}": np.array(bands, int), f"samples{i}": np.array(samples)}
        numbers = np.array([self.pixels, self.blank, len(self.grams)])
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, low=self.low.numpy(), high=self.high.numpy(), numbers=numbers, **values, **more)
        os.replace(temporary, path)  # noqa: PTH105

    @classmethod
    def load(cls, path: Path) -> tuple[CubeStatistics, dict[str, Any]]:
        """What `save` wrote, and the other arrays."""
        with np.load(path, allow_pickle=False) as file:
            found = dict(file)
        pixels, blank, count = found.pop("numbers").tolist()
        low, high = (torch.from_numpy(found.pop(name)) for name in ("low", "high"))
        grams = {}
        for i in range(count):
            bands = tuple(found.pop(f"bands{i}").tolist())
            grams[bands] = (int(found.pop(f"samples{i}")), torch.from_numpy(found.pop(f"gram{i}")))
        return cls(low, high, pixels, blank, grams), found


def piece_statistics(y: Tensor, valid: Tensor | None = None) -> CubeStatistics:
    """The sums of one piece (bands, pixels); `valid` of its shape is false where nothing was measured.

    >>> y = torch.arange(24.0).reshape(3, 8).square()
    >>> halves = piece_statistics(y[:, :3]) + piece_statistics(y[:, 3:])
    >>> bool(torch.equal(halves.gram(), piece_statistics(y).gram())), halves.live, halves.complete
    (True, (0, 1, 2), 8)
    """
    bands, pixels = y.shape
    if valid is None or bool(valid.all()):
        low, high = y.amin(1), y.amax(1)
        grams = {tuple(range(bands)): (pixels, gram(y))}
        return CubeStatistics(low.double().cpu(), high.double().cpu(), pixels, 0, grams)
    low = y.masked_fill(~valid, torch.inf).amin(1).double().cpu()
    high = y.masked_fill(~valid, -torch.inf).amax(1).double().cpu()
    seen = valid.any(1)
    whole = valid[seen].all(0)
    blank = int((~valid.any(0)).sum())
    if not bool(seen.any()):
        return CubeStatistics(low, high, pixels, blank)
    g = torch.zeros(bands, bands, dtype=torch.float64)
    at = seen.nonzero()[:, 0].cpu()
    g[at[:, None], at] = gram(y[seen][:, whole]).cpu()
    return CubeStatistics(low, high, pixels, blank, {tuple(at.tolist()): (int(whole.sum()), g)})
