"""95 % intervals over seeds and over pictures, for claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from unnoise.errors import InputError
from unnoise.studies.report import Interval


def mean_interval(values: Sequence[float]) -> tuple[float, Interval | None]:
    """Mean and its 95 % Student-t interval, for one value a seed; no interval from fewer than two values.

    >>> mean_interval([1.0, 1.0, 1.0])
    (1.0, (1.0, 1.0))
    """
    values = _numbers(values)
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    from scipy.stats import t

    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    half = float(t.ppf(0.975, len(values) - 1)) * spread
    return mean, (mean - half, mean + half)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[..., Any] | None = None,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> tuple[float, Interval | None]:
    """Statistic (the mean unless told) and its 95 % percentile bootstrap interval, for one value a picture.

    `statistic(array, axis)` reduces an axis as numpy's functions do. Source: Efron 1979, "Bootstrap methods".
    """
    import numpy as np

    statistic = statistic or np.mean
    data = np.asarray(_numbers(values), dtype=float)
    value = float(statistic(data, axis=0))
    if len(data) < 2:
        return value, None
    resampled = np.random.default_rng(seed).choice(data, size=(draws, len(data)))
    low, high = np.percentile(statistic(resampled, axis=1), (2.5, 97.5))
    return value, (min(float(low), value), max(float(high), value))


def bootstrap_groups(
    statistic: Callable[..., float], *groups: Any, seed: int = 0, draws: int = 2000
) -> tuple[float, Interval | None]:
    """A statistic of several samples and its 95 % percentile bootstrap interval, every sample resampled by itself.

    Parameters
    ----------
    statistic : `statistic(*arrays)` to a number.
    groups : arrays whose rows are pictures, (n,) or (n, k); rows stay whole, so that their columns stay paired.

    Raises `InputError` for values that are not finite.
    """
    import numpy as np

    data = [np.asarray(g, dtype=float) for g in groups]
    if not all(len(g) and bool(np.isfinite(g).all()) for g in data):
        raise InputError("an interval needs finite values, and at least one of each group")
    value = float(statistic(*data))
    if min(map(len, data)) < 2:
        return value, None
    rng = np.random.default_rng(seed)
    found = [statistic(*(g[rng.integers(len(g), size=len(g))] for g in data)) for _ in range(draws)]
    low, high = np.percentile(found, (2.5, 97.5))
    return value, (min(float(low), value), max(float(high), value))


def _numbers(values: Sequence[float]) -> list[float]:
    numbers = [float(v) for v in values]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InputError(f"an interval needs finite values, got {numbers}")
    return numbers
