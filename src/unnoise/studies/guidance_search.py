"""When is guidance needed? The differentiable search on exact conditional mixtures."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import GaussianMixture
from unnoise.generate.adaptive_guidance import Adaptive, evaluations, threshold
from unnoise.generate.guidance import Guided, Table, cost
from unnoise.generate.policy_search import Relaxed, Searched, search_policy
from unnoise.generate.sample import sample
from unnoise.generate.samplers import euler
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator, normal_like
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Cell, Check, Claim, Criterion
from unnoise.studies.report import Table as Shown
from unnoise.training.options import Options

T, SCALE, HIGH, DIMENSIONS = 10, 3.0, 12.0, 6
GRID = karras(T, 0.05, HIGH)
PAPER_WEIGHTS = (0.672, 0.291)
"""Mean weight of guidance in the first and the second half of the paper's 20 steps, read off its figure, ± 0.03."""


class SearchOptions(Options):
    """Of the search: `prices` are lambdas, the squared error that an evaluation is worth; claims are on one of them."""

    families: int
    prices: tuple[float, ...]
    claimed: float
    iterations: int
    batch: int = 64
    lr: float = 0.05


def family(seed: int) -> GaussianMixture:
    """Three classes of two Gaussian components each, in six dimensions."""
    g = generator(seed)
    means = 1.2 * torch.randn(6, DIMENSIONS, generator=g, dtype=torch.float64)
    std = 0.2 + 0.15 * torch.rand(6, generator=g, dtype=torch.float64)
    return GaussianMixture(torch.ones(6), means, std, labels=[0, 0, 1, 1, 2, 2])


def starts(n: int, *seed: int) -> tuple[Tensor, dict[str, Any]]:
    """Noise of the first level, and classes in turn."""
    x = HIGH * normal_like(torch.empty(n, DIMENSIONS, dtype=torch.float64), generator(*seed))
    return x, {"label": torch.arange(n) % 3}


def searches(options: SearchOptions) -> dict[float, list[Searched]]:
    """What is found for each price: in every family for the claimed one, in the first for the others."""

    def one(price: float, seed: int) -> Searched:
        return search_policy(
            family(seed),
            lambda k: starts(options.batch, seed, k),
            GRID,
            SCALE,
            weight=price,
            iterations=options.iterations,
            lr=options.lr,
        )

    return {
        price: [one(price, seed) for seed in range(options.families if price == options.claimed else 1)]
        for price in options.prices
    }


def search_claims(found: dict[float, list[Searched]], claimed: float, criteria: dict[str, Any]) -> Iterator[Claim]:
    """Early guidance, none late, fewer evaluations, nearly the same result; over families."""
    half = T // 2
    values = {
        "early": [float(s.weights[:half, 2].mean()) for s in found[claimed]],
        "late": [float(s.weights[half:, 2].mean()) for s in found[claimed]],
        "evaluations": [s.nfe / (2 * T) for s in found[claimed]],
        "error": [s.mse for s in found[claimed]],
    }
    names = {
        "early": ("search: weight of guidance in the first half", PAPER_WEIGHTS[0]),
        "late": ("search: weight of guidance in the second half", PAPER_WEIGHTS[1]),
        "evaluations": ("search: evaluations, as a share of full guidance", 0.75),
        "error": ("search: squared error against full guidance", None),
    }
    for key, (name, paper) in names.items():
        value, interval = mean_interval(values[key])
        yield Claim(name, value, Criterion(**criteria[key]), interval, paper)


def search_table(found: dict[float, list[Searched]]) -> Shown:
    """For each price; means over families where there are several."""
    rows: list[tuple[Cell, ...]] = []
    for price, results in found.items():
        weights = torch.stack([s.weights[:, 2] for s in results]).mean(0)
        rows.append(
            (
                price,
                round(fmean(s.nfe for s in results), 1),
                round(fmean(s.mse for s in results), 5),
                *(round(w, 2) for w in weights.tolist()),
            )
        )
    columns = ("price", "evaluations", "squared error", *(f"step {i}" for i in range(1, T + 1)))
    note = f"Weight of guidance at each step, full guidance costs {2 * T} evaluations; "
    note += "the price of the claims: mean over families."
    return Shown("Search for a policy on exact mixtures", columns, tuple(rows), note)


def space_table() -> Shown:
    """At which step the rule switches, by the space of the cosine, at a threshold that saves a quarter in x0."""
    d = family(0)
    x, conditions = starts(200, 0, 10**6)
    gamma = Guided(d, SCALE).trajectory()
    euler(gamma, x, GRID, **conditions)
    bar = threshold(gamma.trace().gamma, 1.5 * T)
    rows: list[tuple[Cell, ...]] = []
    for space in ("x0", "v", "eps"):
        run = Guided(d, SCALE, Adaptive(bar, space)).trajectory()
        euler(run, x, GRID, **conditions)
        at = torch.where(run.trace().switched_at < 0, T, run.trace().switched_at).double()
        rows.append((space, float(at.min()), float(at.median()), float(at.max()), float((at == 1).double().mean())))
    columns = ("space", "earliest", "median", "latest", "share after one step")
    return Shown(f"Guided steps of {T} at the threshold {bar:.4f}, exact mixture", columns, tuple(rows))


def invariants() -> list[Check]:
    """What holds for any network, in float64."""
    d = family(0)
    x, conditions = starts(24, 0, 10**6)

    def run(guided: Guided) -> Any:
        return sample(guided, x_T=x, sampler="euler", sigmas=GRID, **conditions)

    full = run(Guided(d, SCALE))
    bar = threshold(full.trace.gamma, 1.5 * T)
    adaptive = run(Guided(d, SCALE, Adaptive(bar)))
    at = adaptive.trace.switched_at
    guided = torch.where(at < 0, T, at)
    alone = torch.cat(
        [
            euler(Guided(d, SCALE, Adaptive(bar)), x[i : i + 1], GRID, label=conditions["label"][i : i + 1])
            for i in range(len(x))
        ]
    )
    operations: tuple[str | float, ...] = ("cfg", "uncond", "cond", "cfg", "cond") * (T // 5)
    alpha = torch.full((T, 3), -1e9, dtype=torch.float64)
    for i, operation in enumerate(operations):
        alpha[i, ("uncond", "cond", "cfg").index(str(operation))] = 0
    relaxed = euler(Relaxed(d, (SCALE,), alpha), x, GRID, **conditions)
    table = run(Guided(d, SCALE, Table(operations)))
    conditional = euler(d, x, GRID, **conditions)
    return [
        Check(
            "a threshold above 1 differs from full guidance", _max(run(Guided(d, SCALE, Adaptive(1.1))).x, full.x), 0
        ),
        Check("scale 1 differs from conditional", _max(run(Guided(d, 1.0, Adaptive(bar))).x, conditional), 0),
        Check("evaluations differ from T + k", _max(adaptive.nfe, T + guided), 0),
        Check("evaluations differ from those foretold by full guidance", _max(adaptive.nfe, _foretold(full, bar)), 0),
        Check("samples that switch in a batch differ from those alone", _max(adaptive.x, alone), 1e-6),
        Check("search with one-hot weights differs from its policy", _max(relaxed, table.x), 1e-9),
        Check("cost of a policy differs from what it was charged", _max(table.nfe, cost(operations)), 0),
    ]


def _foretold(full: Any, bar: float) -> Tensor:
    return evaluations(full.trace.gamma, bar)


def _max(a: Tensor, b: Tensor | int) -> float:
    return float((a - b).abs().max())
