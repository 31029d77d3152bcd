"""What adaptive guidance saves on a network of one's own, and how far from full guidance its pictures end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.generate.adaptive_guidance import Adaptive, threshold
from unnoise.generate.guidance import Guided
from unnoise.generate.sample import default_grid, sample
from unnoise.metrics import ssim


@dataclass(frozen=True)
class Row:
    """One way to sample: its threshold if it has one, mean evaluations of the network a sample, and its distance from
    full guidance from the same starts: mean squared error, and structural similarity where samples are pictures.
    """

    name: str
    gamma_bar: float | None
    nfe: float
    mse: float
    ssim: float


@dataclass(frozen=True, eq=False)
class Sweep:
    """Rows of `sweep`, and the cosines (evaluations, n) of the fully guided runs."""

    rows: tuple[Row, ...]
    gamma: Tensor


def calls(sampler: str, steps: int) -> int:
    """How often a sampler asks for an estimate."""
    return 2 * steps - 1 if sampler == "heun" else steps


def sweep(
    denoiser: Denoiser,
    x_T: Tensor,
    scale: float,
    *,
    sampler: str = "dpmpp_2m",
    steps: int = 20,
    savings: Sequence[float] = (0.1, 0.2, 0.25, 0.3, 0.4),
    space: str = "x0",
    **conditions: Any,
) -> Sweep:
    """For each share of the evaluations to be saved: adaptive guidance, and full guidance with fewer steps.

    Parameters
    ----------
    x_T : starts (n, *shape) of the first level of `default_grid(denoiser, steps)`.
    savings : from 0 to below 0.5, where no guidance would be left; thresholds are found for them (`threshold`).
    """

    def run(guided: Denoiser, n: int) -> Any:
        return sample(guided, x_T=x_T, sampler=sampler, sigmas=default_grid(denoiser, n), **conditions)

    full = run(Guided(denoiser, scale), steps)
    gamma = full.trace.gamma
    if space != "x0":
        gamma = run(Guided(denoiser, scale, Adaptive(math.inf, space)), steps).trace.gamma
    rows = [Row("full guidance", None, float(full.nfe.double().mean()), 0.0, 1.0)]
    for saving in savings:
        budget = 2 * calls(sampler, steps) * (1 - saving)
        gamma_bar = threshold(gamma, budget)
        fewer = round((budget / 2 + 1) / 2) if sampler == "heun" else round(budget / 2)
        for name, bar, found in (
            ("adaptive", gamma_bar, run(Guided(denoiser, scale, Adaptive(gamma_bar, space)), steps)),
            (f"full guidance, {fewer} steps", None, run(Guided(denoiser, scale), fewer)),
        ):
            mse, similar = closeness(found.x, full.x)
            nfe = float(found.nfe.double().mean())
            rows.append(Row(name, bar, nfe, float(mse.mean()), float(similar.mean())))
    return Sweep(tuple(rows), gamma)


def closeness(x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error and structural similarity of each sample, (n,); the latter NaN for what is no picture.

    Pictures smaller than the usual window of 11 x 11 get one of 7 x 7.
    """
    mse = (x - reference).double().square().flatten(1).mean(1)
    if x.ndim != 4 or min(x.shape[-2:]) < 7:
        return mse, torch.full_like(mse, math.nan)
    sigma = 1.5 if min(x.shape[-2:]) >= 11 else 0.75
    pairs = zip(x.float(), reference.float().clamp(0, 1), strict=True)
    return mse, torch.tensor([ssim(a, b, sigma=sigma) for a, b in pairs], dtype=torch.float64)
