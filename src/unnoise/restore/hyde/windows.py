"""Sliding windows over rows, columns and bands, and the weights with which their results add up to a cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from unnoise.errors import InputError, unknown

BLENDS = ("cosine", "crop")
BATCH = 1 << 20  # voxels that go through the network at once


@dataclass(frozen=True)
class Axis:
    """Windows of one axis: `starts` of each, all `length` long, and `weights` (windows, length), which sum to 1."""

    starts: tuple[int, ...]
    length: int
    weights: Tensor


def plan(size: int, window: int | None, overlap: int, blend: str = "cosine") -> Axis:
    """Windows that cover an axis of `size`; `None`, or a window as large as the axis, is the whole of it at once.

    They start every `window - overlap`, and the last is moved back to end with the axis. "cosine" fades each into the
    next along half a cosine; "crop", which is HyDe's rule, drops the first `overlap` values of all windows but the
    first, and takes a later window rather than an earlier one.

    Raises
    ------
    InputError : an overlap that is not less than the window, or an unknown blend.

    >>> axis = plan(10, 6, 2)
    >>> axis.starts, [round(w, 2) for w in axis.weights[0].tolist()]
    ((0, 4), [1.0, 1.0, 1.0, 1.0, 0.85, 0.15])
    """
    if blend not in BLENDS:
        raise unknown("blend", blend, BLENDS)
    if window is None or window >= size:
        return Axis((0,), size, torch.ones(1, size))
    if not 0 <= overlap < window:
        raise InputError(f"an overlap of {overlap} does not fit a window of {window}: choose 0 to {window - 1}")
    starts = [*range(0, size - window, window - overlap), size - window]
    weights = torch.zeros(len(starts), window, dtype=torch.float64)
    for i, start in enumerate(starts):
        if blend == "crop":
            end = starts[i + 1] + overlap if i + 1 < len(starts) else size
            weights[i, overlap if i else 0 : end - start] = 1
            continue
        weights[i] = 1
        if i and (shared := starts[i - 1] + window - start):
            weights[i, :shared] *= _rise(shared)
        if i + 1 < len(starts) and (shared := start + window - starts[i + 1]):
            weights[i, -shared:] *= _rise(shared).flip(0)
    total = torch.zeros(size, dtype=torch.float64)
    for start, w in zip(starts, weights, strict=True):
        total[start : start + window] += w
    for start, w in zip(starts, weights, strict=True):
        w /= total[start : start + window]
    return Axis(tuple(starts), window, weights.float())


def _rise(n: int) -> Tensor:
    """Half a cosine that rises from 0 to 1 in n steps, symmetric: it and its mirror image add up to 1."""
    return 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n)


def apply(
    net: Callable[[Tensor], Tensor], y: Tensor, axes: tuple[Axis, Axis, Axis], batch: int | None = None
) -> Tensor:
    """`net` on every window of a cube y (bands, H, W), blended; `axes` are those of bands, rows and columns.

    `net` takes windows (n, bands, H, W) and keeps their shape; `batch` at most at once, `None`: a million voxels.
    """
    out = torch.zeros_like(y)
    windows = list(product(*(range(len(a.starts)) for a in axes)))
    step = batch or max(1, BATCH // (axes[0].length * axes[1].length * axes[2].length))
    for first in range(0, len(windows), step):
        some = windows[first : first + step]
        places = [
            tuple(slice(a.starts[i], a.starts[i] + a.length) for a, i in zip(axes, at, strict=True)) for at in some
        ]
        clean = net(torch.stack([y[place] for place in places]))
        for at, place, window in zip(some, places, clean, strict=True):
            b, r, c = (a.weights[i].to(y) for a, i in zip(axes, at, strict=True))
            out[place] += window * (b[:, None, None] * r[:, None] * c)
    return out
