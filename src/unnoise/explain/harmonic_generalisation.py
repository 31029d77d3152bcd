"""Whether denoisers memorise or generalise: how well they do on pictures they saw and others, and how two differ.

Kadkhodaie, Guth, Simoncelli and Mallat 2024 (2310.02557), section 2. Works on any denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser
from unnoise.errors import InputError
from unnoise.noise.seeds import generators, normal_like


def picture_psnr(denoiser: Denoiser, x: Tensor, sigma: float, seed: int = 0, **conditions: Any) -> Tensor:
    """PSNR (dB, peak 1) of each denoised picture (n,), float64, of clean ones x (n, C, H, W) at one level.

    Raises `InputError` for a sigma that is not above 0.
    """
    check_level(sigma)
    with torch.no_grad():
        x_hat = denoiser(x + sigma * normal_like(x, generators(seed, range(len(x)))), sigma, **conditions)
    return _psnr(x_hat, x)


def psnr_curve(
    denoiser: Denoiser, x: Tensor, sigmas: Sequence[float], seed: int = 0, **conditions: Any
) -> tuple[list[float], list[float]]:
    """Input and output PSNR (dB, peak 1, averaged in dB) of clean pictures x (n, C, H, W) at each level."""
    before, after = [], []
    for sigma in sigmas:
        y = x + sigma * normal_like(x, generators(seed, range(len(x))))
        before.append(float(_psnr(y, x).mean()))
        after.append(float(picture_psnr(denoiser, x, sigma, seed, **conditions).mean()))
    return before, after


def psnr_slope(before: Sequence[float], after: Sequence[float], low: float = 0.0, high: float = math.inf) -> float:
    """Output dB per input dB, least squares over the points whose input PSNR lies in [low, high]."""
    points = [(a, b) for a, b in zip(before, after, strict=True) if low <= a <= high]
    if len(points) < 2:
        raise InputError(f"a slope needs two points with an input PSNR between {low:g} and {high:g} dB")
    a, b = torch.tensor(points, dtype=torch.float64).T
    a = a - a.mean()
    return float((a * b).sum() / (a * a).sum())


@dataclass(frozen=True)
class Generalisation:
    """Two denoisers of disjoint training sets at one noise level; PSNR in dB, squared errors per pixel on the test set.

    `variance` is half the mean squared difference of both, which vanishes when they have become one function, whatever
    that function's own error.
    """

    sigma: float
    train_psnr: float
    test_psnr: float
    variance: float
    mse: float

    @property
    def gap(self) -> float:
        """How much better training pictures are denoised."""
        return self.train_psnr - self.test_psnr

    @property
    def ratio(self) -> float:
        """Variance as a share of the error."""
        return self.variance / self.mse


def generalisation_report(
    first: Denoiser,
    second: Denoiser,
    train: tuple[Tensor, Tensor],
    test: Tensor,
    sigmas: Sequence[float],
    seed: int = 0,
) -> list[Generalisation]:
    """Compare two denoisers trained on the disjoint sets `train`, on those and on pictures of neither (section 2).

    Raises `InputError` when the two do not take the same number of channels.
    """
    if first.card.channels != second.card.channels:
        raise InputError(
            f"both denoisers must take the same pictures, got {first.card.channels} and {second.card.channels} channels"
        )
    rows = []
    for sigma in sigmas:
        seen = [float(picture_psnr(d, x, sigma, seed).mean()) for d, x in zip((first, second), train, strict=True)]
        y = test + sigma * normal_like(test, generators(seed, range(len(test))))
        with torch.no_grad():
            a, b = first(y, sigma), second(y, sigma)
        unseen = float((_psnr(a, test) + _psnr(b, test)).mean()) / 2
        variance = 0.5 * float((a - b).square().mean())
        mse = 0.5 * float((a - test).square().mean() + (b - test).square().mean())
        rows.append(Generalisation(sigma, sum(seen) / 2, unseen, variance, mse))
    return rows


def kl_bound(sigmas: Sequence[float], excess: Sequence[float], d: int) -> float:
    """Nats by which the densities of the data and of a denoiser may differ, from what it errs more than the best one.

    `KL(p || p_D) <= integral of (MSE(D) - MSE(D*)) / sigma**3 d sigma` (section 2), MSE summed over the d numbers of a
    picture; here over the levels that were measured, by the trapezium rule in log sigma. What lies below and above them
    is left out.

    Parameters
    ----------
    sigmas : rising levels. excess : at each, the squared error per number above the optimum. Where the optimum is not
        known, `Generalisation.variance` is the part of it that two training sets show: what both have in common, wrong
        or not, is not in it.

    Raises `InputError` for fewer than two levels, or levels that do not rise.
    """
    if len(sigmas) < 2 or any(not 0 < a < b for a, b in pairwise(sigmas)):
        raise InputError("the integral needs two rising noise levels or more")
    logs = torch.tensor(sigmas, dtype=torch.float64).log()
    heights = torch.tensor([d * e / s**2 for e, s in zip(excess, sigmas, strict=True)], dtype=torch.float64)
    return float(torch.trapezoid(heights, logs))


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of pictures less their means, (n,), pairwise."""
    a, b = _centred(a), _centred(b)
    return (a * b).sum(1)


def closest(a: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each picture the largest cosine with any of the others, (n,), and which it is."""
    best = (_centred(a) @ _centred(others).T).max(1)
    return best.values, best.indices


def _centred(x: Tensor) -> Tensor:
    flat = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
    norm = flat.norm(dim=1, keepdim=True)
    return flat / torch.where(norm == 0, 1e-3, norm)


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    return -10 * (a - b).double().square().flatten(1).mean(1).log10()


def check_level(sigma: float) -> None:
    """Raise `InputError` for a noise level that is not above 0."""
    if not 0 < sigma < math.inf:
        raise InputError(f"sigma must be above 0, in the units of the data, got {sigma:g}")
