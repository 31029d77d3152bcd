"""Scales of a cube, each with its exact inverse; a constant band maps to zeros and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unnoise.errors import unknown


@dataclass(frozen=True, eq=False)
class Scale:
    """`to(y) = (y - offset) / step`, and `back` undoes it; both broadcast against cubes (B, bands, H, W)."""

    offset: Tensor
    step: Tensor

    def to(self, y: Tensor) -> Tensor:
        """The cube in the new scale."""
        return (y - self.offset) / self.step

    def back(self, z: Tensor) -> Tensor:
        """The cube in its own scale again."""
        return z * self.step + self.offset


def _extent(y: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    low, high = y.amin(axes, keepdim=True), y.amax(axes, keepdim=True)
    return low, (high - low).masked_fill(high == low, 1)


def band01(y: Tensor) -> Scale:
    """Every band to [0, 1] by its own minimum and maximum.

    >>> import torch
    >>> y = torch.tensor([[[[2.0, 4.0]], [[3.0, 3.0]]]])
    >>> scale = band01(y)
    >>> scale.to(y).flatten().tolist(), bool((scale.back(scale.to(y)) == y).all())
    ([0.0, 1.0, 0.0, 0.0], True)
    """
    return Scale(*_extent(y, (2, 3)))


def global01(y: Tensor) -> Scale:
    """The cube to [0, 1] by its minimum and maximum."""
    return Scale(*_extent(y, (1, 2, 3)))


def scale_no_shift(y: Tensor, c: float = 255.0) -> Scale:
    """Every band to an extent of c, zero kept."""
    low, extent = _extent(y, (2, 3))
    return Scale(low * 0, extent / c)


def noise_whiten(y: Tensor, sigma: Tensor) -> Scale:
    """Every band in units of its noise, `sigma` (B, bands, 1, 1); a band without noise is kept."""
    return Scale(sigma * 0, sigma.masked_fill(sigma <= 0, 1).to(y))


SCALES: dict[str, Callable[[Tensor], Scale]] = {
    "band01": band01,
    "global01": global01,
    "scale_no_shift": scale_no_shift,
}
"""Scales that need nothing but the cube, by name."""


def scale(y: Tensor, name: str) -> Scale:
    """One of `SCALES` for the cube y."""
    if name not in SCALES:
        raise unknown("scale", name, SCALES)
    return SCALES[name](y)
