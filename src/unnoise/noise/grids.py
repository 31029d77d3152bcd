"""The falling noise levels that a sampler visits: float64, the last one zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from unnoise.errors import InputError, unknown
from unnoise.noise.schedule import DiscreteVP


def karras(steps: int, low: float = 0.002, high: float = 80.0, rho: float = 7.0) -> Tensor:
    """`(high**(1/rho) + i/(N-1) (low**(1/rho) - high**(1/rho)))**rho`, then zero: shape (steps + 1,).

    Source: Karras et al. 2022, eq. 5. Raises `InputError` for steps < 1 or levels that are not `0 < low < high`.

    >>> [round(s, 3) for s in karras(3, 0.01, 10.0).tolist()]
    [10.0, 0.718, 0.01, 0.0]
    """
    u = _unit(steps, low, high)
    return _ended((high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))) ** rho)


def uniform_lambda(steps: int, low: float = 0.002, high: float = 80.0) -> Tensor:
    """Evenly spaced in `lambda = -log sigma` (also called exponential), then zero: shape (steps + 1,).

    Raises `InputError` as `karras` does. Source: Lu et al. 2022, "DPM-Solver", section 3.
    """
    u = _unit(steps, low, high)
    return _ended((math.log(high) + u * (math.log(low) - math.log(high))).exp())


def flow(steps: int, shift: float = 1.0, last: float = 0.999, low: float = 0.001) -> Tensor:
    """Times of a rectified flow evenly spaced from `last` to `low`, shifted towards noise, as noise levels; then zero.

    `t' = shift t / (1 + (shift - 1) t)`, `sigma = t' / (1 - t')`. Source: Esser et al. 2024, "Scaling rectified flow
    transformers", eq. 23. A time of 1, where sigma is infinite, is refused.
    """
    if shift <= 0:
        raise InputError(f"the shift of a flow grid must be positive, got {shift:g}")
    if last >= 1:
        raise InputError(f"a flow grid must start below time 1, where sigma is infinite, got {last:g}")
    t = last + _unit(steps, low, last) * (low - last)
    t = shift * t / (1 + (shift - 1) * t)
    return _ended(t / (1 - t))


SPACINGS = ("leading", "trailing", "linspace", "linspace_rounded")


def network_steps(n: int, count: int = 1000, spacing: str = "trailing", offset: int = 0) -> Tensor:
    """The n of `count` network steps that a grid visits, falling, float64.

    Parameters
    ----------
    spacing : "leading" (multiples of count // n, plus `offset`), "trailing" (the last step included), "linspace" (both
        ends included, fractional steps) or "linspace_rounded" (n + 1 rounded points, the lowest left out).

    Raises
    ------
    InputError : unknown spacing, n < 1 or more than `count`.

    Source: Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", table 2.

    >>> network_steps(5, 1000, "trailing").tolist()
    [999.0, 799.0, 599.0, 399.0, 199.0]
    """
    if spacing not in SPACINGS:
        raise unknown("spacing", spacing, SPACINGS)
    if not 1 <= n <= count:
        raise InputError(f"steps must be between 1 and the {count} of the network, got {n}")
    if spacing == "leading":
        return (torch.arange(n, dtype=torch.float64) * (count // n)).round().flip(0) + offset
    if spacing == "trailing":
        return (count - torch.arange(n, dtype=torch.float64) * (count / n)).round() - 1
    if spacing == "linspace":
        return torch.linspace(0, count - 1, n, dtype=torch.float64).flip(0)
    return torch.linspace(0, count - 1, n + 1, dtype=torch.float64).round().flip(0)[:-1]


def discrete(schedule: DiscreteVP, n: int, spacing: str = "trailing", offset: int = 0) -> Tensor:
    """Levels of n steps of a discrete process, spaced as `network_steps` says, then zero: shape (n + 1,).

    Fractional steps are interpolated linearly in sigma, as Hugging Face diffusers does it.
    """
    table = schedule.sigmas
    t = network_steps(n, len(table), spacing, offset)
    k = t.floor().long().clamp(0, len(table) - 2)
    return _ended(torch.lerp(table[k], table[k + 1], t - k))


def check_sigmas(sigmas: Tensor | Sequence[float]) -> list[float]:
    """A grid as Python floats; raises `InputError` unless it has two levels or more, is finite, and falls to >= 0."""
    levels = [float(s) for s in sigmas]
    if len(levels) < 2:
        raise InputError(f"a sampler needs at least two noise levels, got {len(levels)}")
    for a, b in pairwise(levels):
        if not (math.isfinite(a) and a > b >= 0):
            raise InputError(f"sigmas must be finite and fall to zero or above, but {a:g} is followed by {b:g}")
    return levels


def _unit(steps: int, low: float, high: float) -> Tensor:
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    if not 0 < low < high:
        raise InputError(f"noise levels must be 0 < low < high, got low {low:g} and high {high:g}")
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def _ended(levels: Tensor) -> Tensor:
    return torch.cat([levels, levels.new_zeros(1)])
