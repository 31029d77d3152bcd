"""What the study measures: coupling, a long run, errors by number of samples, and what the regression learns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from unnoise.explain.score_estimation import (
    Coupling,
    KernelScoreRegressor,
    NTKScoreRegressor,
    Samples,
    coupling,
    draw_samples,
    kappa,
    process,
)
from unnoise.studies.report import Check
from unnoise.studies.score_estimation.targets import NEVER, T_MAX, Target, error, grid

RULES = ("holdout", "rwy", "rwy_vector", "discrepancy")


@dataclass(frozen=True, eq=False)
class Long:
    """Errors after each number of steps: of kernels, one list a seed, and of one network, which is at its end."""

    kernel: list[list[float]]
    network: list[float]
    net: NTKScoreRegressor


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def coupling_rows(
    target: Target, test: Samples, n: int, widths: Sequence[int], taus: Sequence[int], seeds: int
) -> list[list[Coupling]]:
    """A list a seed: every width after each number of steps."""
    options = {"t_min": target.t_min, "t_max": T_MAX, "radius": target.radius}
    return [
        [
            row
            for width in widths
            for row in coupling(target.sample(n, s), test.x, test.t, width, list(taus), seed=s, **options)
        ]
        for s in range(seeds)
    ]


def long_run(target: Target, test: Samples, n: int, width: int, taus: Sequence[int], seeds: int) -> Long:
    """The error while kernels and one network learn on, past the best moment."""
    truth = target.truth(test.x, test.t)
    curves = []
    for s in range(seeds):
        kernel = target.fitted(n, s)
        curves.append([error(f, truth) for f in kernel.predict_x0(test.x, test.t, list(taus))])
    net = NTKScoreRegressor(width=width, stop=0, radius=target.radius, t_min=target.t_min, t_max=T_MAX, seed=0).fit(
        target.sample(n, 0)
    )
    found = []
    for before, tau in pairwise([0, *taus]):
        net.train(tau - before)
        found.append(error(net.predict_x0(test.x, test.t), truth))
    return Long(curves, found, net)


def by_size(
    target: Target, test: Samples, sizes: Sequence[int], seeds: Sequence[int], most: int
) -> dict[int, dict[str, list[float]]]:
    """n -> way to stop -> error of f, one a seed; "oracle" is the best of a grid, known by the truth alone."""
    truth = target.truth(test.x, test.t)
    found: dict[int, dict[str, list[float]]] = {}
    for n in sizes:
        errors: dict[str, list[float]] = {k: [] for k in ("zero", "oracle", *RULES, "interpolation")}
        for s in seeds:
            kernel = target.fitted(n, s)
            taus = {rule: stopping_time(kernel, target, rule, most) for rule in RULES}
            steps = [*grid(most), *taus.values(), NEVER]
            values = [error(f, truth) for f in kernel.predict_x0(test.x, test.t, steps)]
            errors["zero"].append(values[0])
            errors["oracle"].append(min(values[: -len(RULES) - 1]))
            for rule, value in zip((*RULES, "interpolation"), values[-len(RULES) - 1 :], strict=True):
                errors[rule].append(value)
        found[n] = errors
    return found


def stopping_time(kernel: KernelScoreRegressor, target: Target, rule: str, most: int) -> int:
    """What a rule says of a fitted regression; all but "holdout" are told the labels' noise."""
    kernel.most, kernel.noise = most, target.noise(kernel.samples_)
    return kernel.stopping_time(rule)


def forms(target: Target, n: int, seeds: Sequence[int], test: int, most: int) -> dict[str, list[float]]:
    """Weighted score error with the best stop when x0, the noise or the score itself is what the kernel regresses."""
    s = target.states(test)
    alpha, h = (v[:, None] for v in process(s.t))
    exact = (alpha * target.truth(s.x, s.t) - s.x) / h
    found: dict[str, list[float]] = {"x0": [], "eps": [], "score": []}
    for seed in seeds:
        kernel = target.fitted(n, seed)
        drawn = kernel.samples_
        a, b = (v[:, None] for v in process(drawn.t))
        eps = (drawn.x - a * drawn.x0) / b.sqrt()
        labels = {"x0": drawn.x0, "eps": eps, "score": -eps / b.sqrt()}
        for name, y in labels.items():
            f = kernel.predict_x0(s.x, s.t, grid(most), labels=y)
            score = (alpha * f - s.x) / h if name == "x0" else -f / h.sqrt() if name == "eps" else f
            weighted = ((h / alpha).square() * (score - exact).square()).sum(2).mean(1)
            found[name].append(float(weighted.min()))
    return found


def invariants(target: Target, long: Long) -> Iterator[Check]:
    """What must hold whatever the numbers."""
    net = long.net
    h, y = kappa(net.z_, net.z_), net.samples_.x0
    gamma = torch.zeros_like(y)
    for _ in range(50):
        gamma = gamma - net.step_size_ * (h @ gamma - y)
    yield Check("closed form differs from 50 steps of the kernel's recursion", _most(net.gamma(50) - gamma), 1e-10)
    yield Check("labels left after endless steps, relative", _most(h @ net.gamma(NEVER) - y) / _most(y), 1e-6)
    least = float(net.eigenvalues_[0] / net.eigenvalues_[-1])
    yield Check("smallest eigenvalue of the kernel matrix, relative", least, -1e-12, ">=")
    rises = sum(b > a * (1 + 1e-12) for a, b in pairwise(net.history_))
    yield Check("steps of the network at which its training loss rose", rises, 0, "==")
    yield Check("loss less its constant differs from the score error, in standard errors", _identity(target), 4)


def _most(x: Tensor) -> float:
    return float(x.abs().max())


def _identity(target: Target, n: int = 200_000) -> float:
    """`L(f) - E Tr Cov(X_0 | X_t) = E (h / alpha)**2 |s - s*|**2` for f half the truth."""
    s = draw_samples(target.sample(n, 1), t_min=target.t_min, t_max=T_MAX, radius=1e9, seed=2)
    alpha, h = (v[:, None] for v in process(s.t))
    truth = target.truth(s.x, s.t)
    score, exact = ((alpha * f - s.x) / h for f in (0.5 * truth, truth))
    loss = (0.5 * truth - s.x0).square().sum(1) - (truth - s.x0).square().sum(1)
    off = loss - ((h / alpha).square() * (score - exact).square()).sum(1)
    return float(off.mean().abs() / off.std()) * math.sqrt(n)
