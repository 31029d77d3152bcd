"""The forward process `dX = -X/2 dt + dB`, and the noisy regression data that it makes of clean points.

`X_t = alpha X_0 + sqrt(h) eps` with `alpha = exp(-t/2)` and `h = 1 - exp(-t)`. Everything is float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.seeds import generator

ROWS = 2048  # of a distance or kernel matrix held at once


@dataclass(frozen=True, eq=False)
class Samples:
    """Noisy regression data: times t (n,), states x (n, d) and labels, the clean data x0 (n, d)."""

    t: Tensor
    x: Tensor
    x0: Tensor


def draw_samples(
    x0: Tensor, *, t_min: float = 0.1, t_max: float = 2.0, radius: float | None = None, seed: int = 0
) -> Samples:
    """One noise draw for each clean point x0 (n, d), at uniform times; states outside the radius are dropped.

    By default the radius is `max |x0| + sqrt(d) + sqrt(2 log 100)`, which a state leaves with probability under 1 %.
    Raises `InputError` for data that are not finite or not (n, d), or times that are not 0 < t_min < t_max.
    """
    x0 = torch.as_tensor(x0, dtype=torch.float64)
    if x0.ndim != 2 or not bool(torch.isfinite(x0).all()):
        raise InputError(f"clean data must be finite numbers (n, d), got {tuple(x0.shape)}")
    if not 0 < t_min < t_max:
        raise InputError(f"times must be 0 < t_min < t_max, got {t_min:g} and {t_max:g}")
    g = generator(seed, 0)  # not the stream of generator(seed), with which the clean data may have been drawn
    t = t_min + (t_max - t_min) * torch.rand(len(x0), generator=g, dtype=torch.float64)
    alpha, h = process(t)
    x = alpha[:, None] * x0 + h.sqrt()[:, None] * torch.randn(x0.shape, generator=g, dtype=torch.float64)
    inside = x.norm(dim=1) <= (default_radius(x0) if radius is None else radius)
    return Samples(t[inside], x[inside], x0[inside])


def process(t: Tensor) -> tuple[Tensor, Tensor]:
    """`alpha(t) = exp(-t/2)` and `h(t) = 1 - exp(-t)`."""
    return (-t / 2).exp(), -torch.expm1(-t)


def default_radius(x0: Tensor) -> float:
    """Radius that a state leaves with probability under 1 %."""
    return float(x0.norm(dim=1).max()) + math.sqrt(x0.shape[1]) + math.sqrt(2 * math.log(100))


def label_noise(samples: Samples, z: Tensor, k: int = 5) -> Tensor:
    """Standard deviation (d,) of the labels about their mean, from the k nearest samples of each."""
    k = min(k, len(z) - 1)
    nearest = torch.cat([torch.cdist(part, z).topk(k + 1, largest=False).indices for part in z.split(ROWS)])
    return samples.x0[nearest].var(1).mean(0).sqrt()
