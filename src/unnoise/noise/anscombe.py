"""The generalised Anscombe transform and its exact unbiased inverse.

Poisson-Gaussian data `y = gain * P + read * n`, `P ~ Poisson(x / gain)`, has variance `gain * x + read**2`; the
transform makes it nearly 1 at every brightness. Source: Makitalo and Foi 2013, "Optimal inversion of the
generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 22(1).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

_LAMBDA_MAX = 200.0  # mean counts up to which the expectation is tabulated; above, the series below errs by < 1e-6
_GRID = 4096


def anscombe(y: Tensor, gain: float, read: float) -> Tensor:
    """Variance-stabilising transform, eq. 1: `2 / gain * sqrt(max(gain * y + 3/8 * gain**2 + read**2, 0))`.

    y in data units, gain in data units a count, read the standard deviation of the Gaussian part in data units.
    Returns z of y's shape with standard deviation close to 1; with gain 0 it is `y / read`.
    """
    if gain == 0:
        return y / read
    return (y * gain + (0.375 * gain**2 + read**2)).clamp_(min=0).sqrt_() * (2 / gain)


def inverse_anscombe(z: Tensor, gain: float, read: float) -> Tensor:
    """Exact unbiased inverse: the x whose noisy data have the mean transform z, eq. 4; never below 0.

    z is a denoised transform, an estimate of `E[anscombe(y) | x]`; the algebraic inverse of that mean is biased,
    visibly so under ten counts. Returns x in data units, of z's shape and dtype.
    """
    if gain == 0:
        return z * read
    s = read / gain
    low, high, table = _expectation(round(s, 12))
    # the table is even in z, so the index is arithmetic; linear interpolation between its entries
    at = ((z - low) * ((_GRID - 1) / (high - low))).clamp(0, _GRID - 1)
    k = at.long().clamp(max=_GRID - 2)
    counts = table.to(dtype=z.dtype, device=z.device)
    within = torch.lerp(counts[k], counts[k + 1], at - k)
    # closed-form approximation, eq. 10 of Makitalo and Foi 2013, for bright data
    w = 1 / z.clamp(min=high)
    root = math.sqrt(1.5)
    above = z * z / 4 - 0.125 - s * s + w * (root / 4 + w * (-1.375 + w * 0.625 * root))
    return torch.where(z < high, within, above) * gain


@lru_cache(maxsize=32)
def _expectation(s: float) -> tuple[float, float, Tensor]:
    """Smallest and largest mean transform, and the mean counts on an even grid between them, for unit gain."""
    lam = np.linspace(0, math.sqrt(_LAMBDA_MAX), 2000) ** 2  # dense where the curve bends
    k = np.arange(int(_LAMBDA_MAX + 12 * math.sqrt(_LAMBDA_MAX)) + 1)
    n, step = np.linspace(-9, 9, 4001, retstep=True)
    weight = np.exp(-n * n / 2) * (step / math.sqrt(2 * math.pi))
    # E over the Gaussian part, given k counts, then over the counts
    given_k = np.array([weight @ (2 * np.sqrt(np.maximum(i + s * n + 0.375 + s * s, 0))) for i in k])
    with np.errstate(divide="ignore", invalid="ignore"):
        log_pmf = np.where(lam[:, None] > 0, k * np.log(lam[:, None]), np.where(k == 0, 0.0, -np.inf))
    pmf = np.exp(log_pmf - lam[:, None] - gammaln(k + 1.0))
    mean = pmf @ given_k
    z = np.linspace(mean[0], mean[-1], _GRID)
    return float(mean[0]), float(mean[-1]), torch.from_numpy(np.interp(z, mean, lam))
