"""Flat places of a picture: where noise can be seen without the picture in the way.

The picture is cut into square blocks, the plane that fits each is taken out, and a block counts as flat when its
*neighbours* vary little. Noise is independent from block to block, so judging a block by its neighbours leaves its
own noise unbiased, while picking blocks for their own low variance would underestimate it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CLIPPED_SHARE = 0.02  # of a block's pixels at 0 or 1, above which its noise is cut off


@dataclass(frozen=True)
class Blocks:
    """Blocks of a stack of windows; n of them, each `size` by `size` pixels.

    mean, variance : `(C, n)`, the variance about the fitted plane. residual : `(C, n, size, size)`.
    roughness : `(n,)`, mean variance of the neighbours. whole : `(n,)`, true where hardly a pixel is clipped, never
    false everywhere.
    """

    size: int
    pixels: Tensor
    mean: Tensor
    residual: Tensor
    variance: Tensor
    roughness: Tensor
    whole: Tensor

    def flattest(self, share: float, bins: int = 1, least: int = 4) -> list[Tensor]:
        """Indices of the flattest `share` of whole blocks, in each of `bins` equal groups by brightness."""
        usable = self.whole.nonzero()[:, 0]
        ordered = usable[self.mean.mean(0)[usable].argsort(stable=True)]
        groups = ordered.tensor_split(max(1, min(bins, len(ordered) // least)))
        return [
            g[self.roughness[g].argsort(stable=True)[: max(min(least, len(g)), int(share * len(g)))]] for g in groups
        ]


def as_blocks(x: Tensor, size: int) -> Tensor:
    """`(N, C, H, W)` cut into `(C, n, size, size)`, what does not fill a block left out."""
    n, c, h, w = x.shape
    h, w = h // size, w // size
    x = x[:, :, : h * size, : w * size].reshape(n, c, h, size, w, size)
    return x.permute(1, 0, 2, 4, 3, 5).reshape(c, n * h * w, size, size)


def cut(windows: Tensor, size: int) -> Blocks:
    """The blocks of windows `(N, C, H, W)`, H and W at least `size`, which is at least 3."""
    grid = (windows.shape[2] // size, windows.shape[3] // size)
    pixels = as_blocks(windows, size)
    flat = pixels.flatten(2)
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    plane = torch.stack(
        [torch.ones(size * size, dtype=torch.float64), line.repeat_interleave(size), line.repeat(size)], 1
    )
    plane = (plane / plane.norm(dim=0)).to(flat)
    mean = flat.mean(2)
    centred = flat - mean[..., None]
    residual = centred - (centred @ plane) @ plane.T
    variance = residual.square().sum(2) / (size * size - 3)
    return Blocks(
        size=size,
        pixels=pixels,
        mean=mean,
        residual=residual.reshape(pixels.shape),
        variance=variance,
        roughness=_neighbours(variance.mean(0).reshape(-1, 1, *grid)).flatten(),
        whole=_whole(flat),
    )


def _whole(flat: Tensor) -> Tensor:
    """Blocks `(C, n, pixels)` with few values stuck at an end of the range, or the best there are."""
    low, high = flat.min().clamp(max=0), flat.max().clamp(min=1)  # of data that was not clipped, one value each
    stuck = ((flat <= low) | (flat >= high)).to(flat.dtype).mean(2).amax(0)
    return stuck <= stuck.kthvalue(1 + len(stuck) // 20).values.clamp(min=CLIPPED_SHARE)


def _neighbours(x: Tensor) -> Tensor:
    """Mean of the up to eight neighbours of every cell of `(N, 1, h, w)`; a lone cell is its own neighbour."""
    if x.shape[2] * x.shape[3] == 1:
        return x
    ring = x.new_ones(1, 1, 3, 3)
    ring[..., 1, 1] = 0
    return F.conv2d(x, ring, padding=1) / F.conv2d(torch.ones_like(x), ring, padding=1)
