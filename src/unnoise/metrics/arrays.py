"""Pairs of pictures, whatever they come as, in the one form the measures compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unnoise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def samples(
    x_hat: NDArray[Any] | Tensor, x: NDArray[Any] | Tensor, batched: bool, border: int
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Pairs of (H, W) or (H, W, C) arrays without their border, one a sample; a single one unless `batched`.

    numpy comes as (H, W) or (H, W, C), a batch with a first axis more; torch as (C, H, W) or (B, C, H, W).
    An unbatched torch batch of B pictures stays whole, as (H, W, B, C): every measure here is a mean over it.
    """
    if tuple(x_hat.shape) != tuple(x.shape):
        raise InputError(f"pictures of shapes {tuple(x_hat.shape)} and {tuple(x.shape)} cannot be compared: crop one")
    if not 2 <= x.ndim <= 4:
        raise InputError(f"a picture has 2 or 3 axes, a batch one more; got the shape {tuple(x.shape)}")
    pair = [_spatial_first(value, batched) for value in (x_hat, x)]
    pairs = list(zip(*pair, strict=True)) if batched else [(pair[0], pair[1])]
    if border == 0:
        return pairs
    if border < 0 or 2 * border >= min(pairs[0][0].shape[:2]):
        raise InputError(f"a border of {border} pixels leaves nothing of {pairs[0][0].shape[:2]}: choose a smaller one")
    inner = slice(border, -border)
    return [(a[inner, inner], b[inner, inner]) for a, b in pairs]


def _spatial_first(value: Any, batched: bool) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    array = np.asarray(value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu())
    if array.ndim == 2:
        return array
    if array.ndim == 3:
        return array if batched else array.transpose(1, 2, 0)
    return array.transpose(0, 2, 3, 1) if batched else array.transpose(2, 3, 0, 1)
