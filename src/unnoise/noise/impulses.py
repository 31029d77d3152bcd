"""Detection of impulses: values that have nothing to do with their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.errors import InputError

_HALF_LEVEL = 0.5 / 255
_DEPARTURE = 0.1  # smallest step in [0, 1] that can be told from texture
_CHUNK = 1 << 18


def impulse_mask(y: Tensor) -> Tensor:
    """True where a value is an impulse, `(B, C, H, W)` of bool, for data in [0, 1].

    A value is an impulse when it is far from the median of its 5 x 5 neighbourhood, on the scale of the spread there,
    and either at the end of the range with few neighbours at the same end (salt and pepper; more readily where both
    ends are near), or far from all but two
    of its eight neighbours (any value: the rank-ordered differences of Garnett et al. 2005, "A universal noise removal
    algorithm with an impulse detector"). The decision about a pixel looks 2 pixels far. Channels are independent.

    >>> y = torch.full((1, 1, 7, 7), 0.5); y[0, 0, 3, 3] = 1.0
    >>> impulse_mask(y).nonzero().tolist()
    [[0, 0, 3, 3]]
    """
    if y.ndim != 4:
        raise InputError(f"impulse_mask takes data (B, C, H, W), got shape {tuple(y.shape)}")
    b, c, h, w = y.shape
    mask = torch.zeros(b, c, h, w, dtype=torch.bool, device=y.device)
    if min(h, w) < 3:
        return mask
    planes = y.reshape(b * c, 1, h, w)
    # a cheap look first: what is close to the mean of its 3 x 3 neighbourhood cannot be an impulse
    around = F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, 1)
    at = ((planes - around).abs() > 0.5 * _DEPARTURE).flatten().nonzero()[:, 0]
    padded = F.pad(planes, (2, 2, 2, 2), mode="reflect").flatten()
    found = [k[_decide(padded, y, k)] for k in at.split(_CHUNK)]
    mask.view(-1)[torch.cat(found) if found else at] = True
    return mask


_RING = [6, 7, 8, 11, 13, 16, 17, 18]  # of the 25 places in a 5 x 5 neighbourhood
_AROUND = [k for k in range(25) if k != 12]


def _decide(padded: Tensor, y: Tensor, at: Tensor) -> Tensor:
    h, w = y.shape[2:]
    plane, row, column = at // (h * w), at // w % h, at % w
    corner = plane * ((h + 4) * (w + 4)) + row * (w + 4) + column
    step = torch.arange(5, device=y.device)
    near = padded[(corner[:, None, None] + step[:, None] * (w + 4) + step).flatten(1)]
    centre, around, ring = near[:, 12], near[:, _AROUND], near[:, _RING]

    low, high = around <= _HALF_LEVEL, around >= 1 - _HALF_LEVEL
    inner = torch.where(low | high, torch.nan, around)
    same_end = torch.where(
        centre <= _HALF_LEVEL,
        (ring <= _HALF_LEVEL).sum(1),
        torch.where(centre >= 1 - _HALF_LEVEL, (ring >= 1 - _HALF_LEVEL).sum(1), 9),
    )
    middle = inner.nanmedian(1).values
    spread = (inner - middle[:, None]).abs().nanmedian(1).values * 1.4826
    departure = (centre - middle).abs()
    # white and black close together are no highlight: less departure convinces
    mixed = torch.where(centre <= _HALF_LEVEL, high.any(1), low.any(1))
    extreme = (same_end <= 2) & (departure > (4 * spread).clamp(min=_DEPARTURE))
    extreme |= mixed & (same_end <= 3) & (departure > (2 * spread).clamp(min=0.5 * _DEPARTURE))

    middle = around.median(1).values
    spread = (around - middle[:, None]).abs().kthvalue(17, 1).values / 1.03  # 17/24 of |n| lie below 1.03 deviations
    third = (ring - centre[:, None]).abs().sort(1).values[:, 2]
    odd = ((centre - middle).abs() > (5.5 * spread).clamp(min=_DEPARTURE)) & (
        third > (3 * spread).clamp(min=0.6 * _DEPARTURE)
    )
    return extreme | odd
