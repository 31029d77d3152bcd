"""The 8 x 8 grid that JPEG leaves in a picture: how strong, and where it starts."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError


def jpeg_grid(y: Tensor) -> float:
    """Strength of the JPEG grid of `(B, C, H, W)`: 0 is none; a step across block borders twice that inside is 1.

    The mean over rows and columns of the excess of steps at the strongest of the eight phases over the median phase.
    """
    return sum(_excess(y, axis)[0] for axis in (2, 3)) / 2


def jpeg_phase(y: Tensor) -> tuple[int, int]:
    """Row and column (0 to 7) where the blocks of the strongest grid start."""
    return _excess(y, 2)[1], _excess(y, 3)[1]


def _excess(y: Tensor, axis: int) -> tuple[float, int]:
    """Excess and phase along one axis; steps that only go on with the slope around them do not count."""
    if y.ndim != 4:
        raise InputError(f"a JPEG grid is sought in data (B, C, H, W), got shape {tuple(y.shape)}")
    n = y.shape[axis]
    if n < 32:
        return 0.0, 0
    luma = y.mean(1).movedim(axis - 1, -1)
    step = luma.diff(dim=-1)
    # second difference of steps: large where a single border departs from the slopes on either side
    bend = (step[..., 1:-1] - 0.5 * (step[..., :-2] + step[..., 2:])).abs_()
    # between blocks the texture changes as much as the grid: large bends tell of edges and are held down
    line = bend.clamp(max=3 / 255 + 2 * float(bend.mean())).flatten(0, -2).mean(0)
    line = torch.cat([line, line.new_full((-len(line) % 8,), torch.nan)])
    phases = line.reshape(-1, 8).nanmean(0)
    best = int(phases.argmax())
    ordinary = float(phases.sort().values[3:5].mean())
    if ordinary <= 1e-6:
        return 0.0, 0
    return max(0.0, float(phases[best]) / ordinary - 1), (best + 2) % 8
