"""What tau steps of gradient descent do to each eigenvalue of the kernel, and the classical rule for when to stop.

Raskutti, Wainwright and Yu 2014, "Early stopping and non-parametric regression".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RULES = ("holdout", "rwy", "rwy_vector", "discrepancy")
"""Names of the rules of `KernelScoreRegressor`."""


def evolved(eigenvalues: Tensor, eta: float, tau: float) -> Tensor:
    """`(1 - (1 - eta l)**tau) / l`, the filter that tau steps of gradient descent apply; eta tau where l is 0."""
    l = eigenvalues.clamp(min=0)  # noqa: E741  # the eigenvalue of the formula
    grown = -torch.expm1(tau * torch.log1p(-(eta * l).clamp(max=1 - 1e-15)))
    return torch.where(l > 1e-14, grown / l.clamp(min=1e-14), eta * tau)


def stop_rwy(eigenvalues: Tensor, eta: float, noise: float, most: int = 100_000, n: int | None = None) -> int:
    """The last step at which the local complexity stays below `1 / (2 e sigma eta_tau)` (Raskutti et al. 2014, eq. 8).

    `eigenvalues` are those of the kernel matrix H, `noise` the standard deviation of the labels in one coordinate. The
    sum of step sizes is taken in the normalisation of H / n. `n` is the number of samples where the eigenvalues that
    are not given are 0.
    """
    n = len(eigenvalues) if n is None else n
    mu = eigenvalues.clamp(min=0) / n
    low, high = 0, most

    def holds(tau: int) -> bool:
        total = eta * n * tau
        complexity = float((torch.minimum(mu, torch.full_like(mu, 1 / total)).sum() / n).sqrt())
        return 2 * math.e * noise * total * complexity <= 1

    while low < high:  # the rule holds up to some tau and fails beyond it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
