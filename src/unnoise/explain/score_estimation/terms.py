"""How far network and kernel are apart, and the four terms of which the error of the score is made.

Han, Razaviyayn and Xu 2024 (2401.15604).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.explain.score_estimation.kernel import KernelScoreRegressor, kappa
from unnoise.explain.score_estimation.network import NTKScoreRegressor


@dataclass(frozen=True)
class Coupling:
    """How far network and kernel are apart after tau steps: root mean square of f, largest move of a weight, share of
    activations on the samples that have changed."""

    width: int
    tau: int
    rms: float
    move: float
    flips: float


def coupling(x0: Tensor, x: Tensor, t: Tensor, width: int, taus: list[int], **options: Any) -> list[Coupling]:
    """Train a network and compare it with its kernel at test states x (n, d), t (n,) after each of the rising taus."""
    net = NTKScoreRegressor(width=width, stop=0, **options).fit(x0)
    rows, done = [], 0
    before = net.z_ @ net.initial_.T > 0
    for tau in taus:
        net.train(tau - done)
        done = tau
        kernel = KernelScoreRegressor.predict_x0(net, x, t, tau)
        rms = float((net.predict_x0(x, t) - kernel).square().sum(1).mean().sqrt())
        move = float((net.weights_ - net.initial_).norm(dim=1).max())
        flips = float(((net.z_ @ net.weights_.T > 0) != before).double().mean())
        rows.append(Coupling(width, tau, rms, move, flips))
    return rows


@dataclass(frozen=True)
class ErrorTerms:
    """Root mean squared errors of f at test states: the whole, and four terms whose sum is at least as large.

    `coupling` network against kernel regression; `mismatch` the kernel regression on the noisy labels against that on
    labels made from f_H, the kernel's own approximation of the truth; `stopping` the latter against f_H;
    `approximation` f_H against the truth.
    """

    total: float
    coupling: float
    mismatch: float
    stopping: float
    approximation: float


Truth = Callable[[Tensor, Tensor], Tensor]


def error_terms(
    net: NTKScoreRegressor, truth: Truth, x: Tensor, t: Tensor, *, n: int = 1500, ridge: float = 1e-4
) -> ErrorTerms:
    """The paper's decomposition of the error, for a target whose posterior mean `truth(x, t)` is known.

    Parameters
    ----------
    net : fitted; its kernel regression is taken after as many steps as the network has had.
    x, t : test states (m, d) and times (m,).
    n : test states, the first of them, on whose exact labels f_H is fitted; the errors are measured on the others.
    ridge : its penalty, relative to the mean eigenvalue.

    Raises `InputError` when no test state is left.
    """
    if n >= len(x):
        raise InputError(f"f_H takes {n} test states of {len(x)}: pass a smaller n, or more states")
    z = net._inputs(x[:n], t[:n])
    h = kappa(z, z)
    penalty = ridge * float(h.diagonal().mean())
    solved = torch.linalg.solve(h + penalty * torch.eye(n, dtype=h.dtype), truth(x[:n], t[:n]))

    def f_h(x: Tensor, t: Tensor) -> Tensor:
        return kappa(net._inputs(x, t), z) @ solved

    x, t, s, tau = x[n:], t[n:], net.samples_, float(len(net.history_))
    exact, close = truth(x, t), f_h(x, t)
    off = truth(s.x, s.t) - f_h(s.x, s.t)
    f, kernel, moved = (
        net.predict_x0(x, t),
        KernelScoreRegressor.predict_x0(net, x, t, tau),
        KernelScoreRegressor.predict_x0(net, x, t, tau, labels=off),
    )

    def rms(a: Tensor) -> float:
        return float(a.square().sum(1).mean().sqrt())

    return ErrorTerms(rms(f - exact), rms(f - kernel), rms(moved), rms(kernel - moved - close), rms(close - exact))
