"""Linear demosaicking of an RGGB mosaic: bilinear, and gradient-corrected (Malvar, He and Cutler 2004).

Both are linear, so noise passes through them alone: `demosaick(a + b) = demosaick(a) + demosaick(b)`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.errors import unknown

# Rows of 5x5 filters: green at red or blue; colour at green in its own row; in its own column; at the other colour.
_BILINEAR = (
    ((2, 1, 1), (1, 2, 1), (3, 2, 1), (2, 3, 1)),
    ((2, 1, 2), (2, 3, 2)),
    ((1, 2, 2), (3, 2, 2)),
    ((1, 1, 1), (1, 3, 1), (3, 1, 1), (3, 3, 1)),
)
_MALVAR = (
    ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)),
    ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0)),
    ((0, 0, -1, 0, 0), (0, -1, 4, -1, 0), (0.5, 0, 5, 0, 0.5), (0, -1, 4, -1, 0), (0, 0, -1, 0, 0)),
    ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0)),
)
DEMOSAICKERS = ("bilinear", "malvar")


@lru_cache(maxsize=16)
def _kernels(method: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    if method == "malvar":
        k = torch.tensor(_MALVAR, dtype=torch.float64) / 8
    elif method == "bilinear":
        k = torch.zeros(4, 5, 5, dtype=torch.float64)
        for i, taps in enumerate(_BILINEAR):
            for row, column, weight in taps:
                k[i, row, column] = weight / sum(t[2] for t in taps)
    else:
        raise unknown("demosaicking method", method, DEMOSAICKERS)
    return k[:, None].to(device, dtype)


def mosaic(rgb: Tensor) -> Tensor:
    """What an RGGB sensor sees of a picture `(B, 3, H, W)`: `(B, 1, H, W)`."""
    out = rgb[:, 1:2].clone()
    out[..., 0::2, 0::2] = rgb[:, 0:1, 0::2, 0::2]
    out[..., 1::2, 1::2] = rgb[:, 2:3, 1::2, 1::2]
    return out


def demosaick(raw: Tensor, method: str = "malvar") -> Tensor:
    """RGB `(B, 3, H, W)` from an RGGB mosaic `(B, 1, H, W)`, sizes at least 3; borders are mirrored.

    Nothing is clipped. Source: Malvar, He, Cutler 2004, "High-quality linear interpolation for demosaicing of
    Bayer-patterned color images", fig. 2.

    >>> demosaick(torch.ones(1, 1, 8, 8)).unique()
    tensor([1.])
    """
    f = F.conv2d(F.pad(raw, (2, 2, 2, 2), mode="reflect"), _kernels(method, raw.device, raw.dtype))
    green, own_row, own_column, other = f.unbind(1)
    known = raw[:, 0]
    r, g, b = known.clone(), known.clone(), known.clone()
    red, blue = (..., slice(0, None, 2), slice(0, None, 2)), (..., slice(1, None, 2), slice(1, None, 2))
    in_red_row = (..., slice(0, None, 2), slice(1, None, 2))
    in_blue_row = (..., slice(1, None, 2), slice(0, None, 2))
    g[red], g[blue] = green[red], green[blue]
    r[blue], b[red] = other[blue], other[red]
    r[in_red_row], b[in_red_row] = own_row[in_red_row], own_column[in_red_row]
    r[in_blue_row], b[in_blue_row] = own_column[in_blue_row], own_row[in_blue_row]
    return torch.stack([r, g, b], 1)
