"""The Tukey-lambda distribution: one shape number from short tails through normal and logistic to Cauchy-like ones.

It is defined by its quantile function `Q(p; lambda) = (p**lambda - (1 - p)**lambda) / lambda`, the logit at 0; shape
0.14 is close to normal, 0 logistic, -1 close to Cauchy. A scale s multiplies Q and is not the standard deviation.
Source: Wei et al. 2020, "A physics-based noise formation model for extreme low-light raw denoising", section 3.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.seeds import Randomness, uniform_like

SHAPES = (-0.5, 0.5)  # where a shape is looked for: published ones of cameras lie in [-0.243, 0.2]
QUANTILES = 2000  # order statistics kept of a large sample; the fit agrees with that on all of them to 4 digits

Array = NDArray[np.float64]


def quantile(p: Tensor, shape: float) -> Tensor:
    """Q(p; shape) of probabilities strictly between 0 and 1, of p's shape and dtype.

    >>> quantile(torch.tensor([0.25, 0.5, 1.0]), 1.0)
    tensor([-0.5000,  0.0000,  1.0000])
    """
    upper = torch.log1p(-p)
    if abs(shape) < 1e-9:
        return torch.log(p) - upper
    # expm1 keeps the difference of two powers near 1 exact for small shapes
    return (torch.expm1(shape * torch.log(p)) - torch.expm1(shape * upper)) / shape


def standard_deviation(shape: float) -> float:
    """Of Q(U), U uniform: 1.4527 at the nearly normal shape 0.14; infinite for shapes of -1/2 and below.

    >>> round(standard_deviation(0.14), 4), round(standard_deviation(0.0) ** 2, 4)
    (1.4527, 3.2899)
    """
    if shape <= -0.5:
        return math.inf
    if abs(shape) < 1e-4:  # below, the formula subtracts two numbers that agree to all digits; this is its tangent
        return math.sqrt(math.pi**2 / 3 - 11.386 * shape)
    ratio = math.exp(2 * math.lgamma(shape + 1) - math.lgamma(2 * shape + 2))
    return math.sqrt(2 / shape**2 * (1 / (1 + 2 * shape) - ratio))


def tukey_like(x: Tensor, shape: float, source: Randomness = None) -> Tensor:
    """Draws of scale 1 and location 0, of x's shape, dtype and device."""
    # float32 has no number between 1 - 6e-8 and 1, and the quantile of 0 and 1 is infinite
    return quantile(uniform_like(x, source).clamp_(1e-7, 1 - 1e-7), shape)


def medians(n: int) -> Array:
    """Medians of the n order statistics of uniform numbers, after Filliben 1975.

    >>> medians(3).round(4)
    array([0.2063, 0.5   , 0.7937])
    """
    m = (np.arange(1, n + 1) - 0.3175) / (n + 0.365)
    m[-1] = 0.5 ** (1 / n)
    m[0] = 1 - m[-1]
    return np.asarray(m, np.float64)


def thinned(x: NDArray[np.floating]) -> tuple[Array, Array]:
    """Up to `QUANTILES` order statistics of all values of x, and the probabilities they belong to."""
    ordered = np.sort(np.asarray(x, np.float64), axis=None)
    kept = min(ordered.size, QUANTILES)
    at = ((np.arange(kept) + 0.5) * (ordered.size / kept)).astype(int)  # the middle of each block weighs like its block
    return ordered[at], medians(ordered.size)[at]


def probability_plot(ordered: Array, p: Array, shape: float | None) -> tuple[float, float, float]:
    """Scale, location and squared correlation of the line through order statistics against quantiles.

    `ordered` and `p` are those of `thinned`; `shape` is that of a Tukey-lambda distribution, `None` the normal one.
    """
    if shape is None:
        from scipy.special import ndtri

        q = ndtri(p)
    else:
        q = quantile(torch.from_numpy(p), shape).numpy()
    centred, values = q - q.mean(), ordered - ordered.mean()
    variance, total = float((centred**2).sum()), float((values**2).sum())
    scale = float((centred * values).sum()) / variance
    return scale, float(ordered.mean() - scale * q.mean()), scale**2 * variance / total


def fit_shape(ordered: Array, p: Array) -> float:
    """Shape of the largest probability-plot correlation (PPCC) in `SHAPES`.

    Raises
    ------
    InputError : fewer than 10 different values, from which no shape can be told.
    """
    from scipy.optimize import minimize_scalar

    if len(ordered) < 10 or ordered[0] == ordered[-1]:
        raise InputError(
            f"{len(ordered)} values of spread {np.ptp(ordered):g} show no distribution: give larger frames"
        )
    found = minimize_scalar(
        lambda shape: -probability_plot(ordered, p, float(shape))[2],
        bounds=SHAPES,
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(found.x)
