"""Which estimate to make at each step, found by gradient descent through the whole sampler.

Castillo et al. 2025 (2312.12487), section 4.1: the choice among {unconditional, conditional, guided} is relaxed to a
softmax; the loss is the distance to the fully guided result plus the expected number of evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError, unknown
from unnoise.generate.guidance import Guided, Table
from unnoise.generate.samplers import SAMPLERS
from unnoise.noise.grids import check_sigmas


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search found.

    Attributes
    ----------
    table : the most likely choice at each evaluation.
    weights : (evaluations, options) softmax weights; options in the order unconditional, conditional, guided scales.
    nfe : expected evaluations of the network a sample, of the relaxed policy.
    mse : of the relaxed result against the fully guided one.
    """

    table: Table
    weights: Tensor
    nfe: float
    mse: float


class Relaxed(Denoiser):
    """Every evaluation a weighted mean of all options; with one-hot weights the discrete policy.

    `alpha` (evaluations, 2 + number of scales) holds the logits.
    """

    def __init__(self, denoiser: Denoiser, scales: Sequence[float], alpha: Tensor, temperature: float = 1.0) -> None:
        super().__init__()
        self.run = Guided(denoiser, scales[0]).trajectory()
        self.card, self.scales, self.alpha, self.temperature, self.i = denoiser.card, scales, alpha, temperature, 0

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Weighted mean of the options at this evaluation."""
        c, u = self.run.both(y, sigma, conditions)
        p = (self.alpha[self.i] / self.temperature).softmax(0).to(y.dtype)
        self.i += 1
        options = [u, c, *(self.run.combine(c, u, scale) for scale in self.scales)]
        return sum((weight * option for weight, option in zip(p, options, strict=True)), torch.zeros_like(y))


def search_policy(
    denoiser: Denoiser,
    draw: Callable[[int], tuple[Tensor, dict[str, Any]]],
    sigmas: Tensor | Sequence[float],
    scale: float,
    *,
    weight: float,
    scales: Sequence[float] = (),
    sampler: str = "euler",
    iterations: int = 200,
    lr: float = 1e-2,
    temperatures: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> Searched:
    """Search a policy for one network, sampler, grid and scale.

    Parameters
    ----------
    draw : iteration k to a batch: the start x_T (B, *shape) and conditions.
    weight : lambda, the price of one evaluation of the network in squared error (mean over entries).
    scales : guided options besides `scale`.
    temperatures : of the softmax, first and last, geometric between.

    Raises
    ------
    InputError : unknown sampler, or one that evaluates more than once a step; a negative weight.
    """
    if sampler not in SAMPLERS:
        raise unknown("sampler", sampler, SAMPLERS)
    if sampler == "heun":
        raise InputError(
            "the search chooses once a step, which Heun's two evaluations do not allow: take another sampler"
        )
    if weight < 0:
        raise InputError(f"the price of an evaluation must not be negative, got {weight:g}")
    levels = check_sigmas(sigmas)
    steps, every = len(levels) - 1, (float(scale), *map(float, scales))
    cost = torch.tensor([1.0, 1.0] + [2.0] * len(every), dtype=torch.float64)
    alpha = torch.zeros(steps, len(cost), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=lr)
    frozen = [p for p in denoiser.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    first, last = temperatures
    nfe = mse = 0.0
    try:
        for k in range(iterations):
            temperature = first * (last / first) ** (k / max(1, iterations - 1))
            x_T, conditions = draw(k)
            with torch.no_grad():
                target = SAMPLERS[sampler](Guided(denoiser, scale), x_T, levels, **conditions)
            end = SAMPLERS[sampler](Relaxed(denoiser, every, alpha, temperature), x_T, levels, **conditions)
            error = (end - target).square().mean()
            expected = ((alpha / temperature).softmax(1) * cost).sum()
            optimizer.zero_grad()
            (error + weight * expected).backward()
            optimizer.step()
            nfe, mse = float(expected.detach()), float(error.detach())
    finally:
        for p in frozen:
            p.requires_grad_(True)
    weights = (alpha.detach() / last).softmax(1)
    names: list[str | float] = ["uncond", "cond", "cfg", *map(float, scales)]
    return Searched(Table(tuple(names[k] for k in weights.argmax(1).tolist())), weights, nfe, mse)
