"""Exact tiling: a picture of any size through a local denoiser, in bounded memory and without seams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma
from unnoise.errors import InputError

Progress = Callable[[int, int], None]
Slices = tuple[slice, ...]

_ALL: Slices = (slice(None), slice(None))  # batch and channels are never cut


class Tiled(Denoiser):
    """Run a local denoiser tile by tile; the result equals the untiled one to floating-point rounding.

    Every tile is computed with a halo of at least the denoiser's `reach`, on origins that are multiples of its
    `stride`, and both are clipped at the picture's borders, so each output pixel sees exactly the input, the padding
    and the sampling phase that it sees without tiling. Only one tile with its halo is in work at a time: memory
    is input + output + one tile.

    Parameters
    ----------
    denoiser : a denoiser with a finite `card.reach`.
    tile : edge length in pixels of the kept part of a tile, rounded up to a multiple of the stride; an int, or one
        for each spatial dimension.
    progress : called after each tile with the pixels done and the pixels in all.

    Raises
    ------
    InputError : the denoiser's output depends on the whole picture (`reach is None`), or tile < 1.

    Examples
    --------
    >>> from unnoise.denoiser import Card, Denoiser, Tiled
    >>> class Blur(Denoiser):
    ...     card = Card(reach=1)
    ...     def forward(self, y, sigma=None):
    ...         return torch.nn.functional.avg_pool2d(y, 3, 1, 1)
    >>> y = torch.rand(1, 3, 70, 45)
    >>> bool(torch.allclose(Tiled(Blur(), tile=16)(y), Blur()(y)))
    True
    """

    def __init__(self, denoiser: Denoiser, tile: int | tuple[int, ...] = 512, progress: Progress | None = None) -> None:
        super().__init__()
        reach, stride = denoiser.card.reach, denoiser.card.stride
        if reach is None:
            raise InputError("this method looks at the whole picture and cannot be tiled: leave tile out")
        if any(edge < 1 for edge in (tile if isinstance(tile, tuple) else (tile,))):
            raise InputError(f"tile must be at least 1 pixel, got {tile}")
        self.denoiser = denoiser
        self.tile = tile
        self.halo = _round_up(reach, stride)
        self.progress = progress
        self.card = denoiser.card

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y (batch, channels, *spatial); spatial maps among sigma and conditions are cut along."""
        spatial = y.shape[2:]
        out = torch.empty_like(y)  # keeps y's memory layout: a view of an (H, W, C) array stays one
        total, done = spatial.numel(), 0
        for core, window in self._tiles(tuple(spatial)):
            cut = {name: _crop(value, window, y) for name, value in conditions.items()}
            # `contiguous` copies one window only; libraries behind a denoiser dislike strided views
            x_hat = self.denoiser(y[_ALL + window].contiguous(), _crop(sigma, window, y), **cut)
            inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
            out[_ALL + core] = x_hat[_ALL + inner]
            if self.progress is not None:
                done += math.prod(c.stop - c.start for c in core)
                self.progress(done, total)
        return out

    def _tiles(self, spatial: tuple[int, ...]) -> Iterator[tuple[Slices, Slices]]:
        edges = self.tile if isinstance(self.tile, tuple) else (self.tile,) * len(spatial)
        if len(edges) != len(spatial):
            raise InputError(f"tile {edges} needs one edge for each of the {len(spatial)} spatial dimensions")
        return tiles(spatial, edges, self.halo, self.card.stride)


def tiles(
    spatial: tuple[int, ...], edges: tuple[int, ...], reach: int, stride: int = 1
) -> Iterator[tuple[Slices, Slices]]:
    """Kept part and window with halo of every tile of a picture, in raster order.

    >>> list(tiles((7,), (4,), 1))
    [((slice(0, 4, None),), (slice(0, 5, None),)), ((slice(4, 7, None),), (slice(3, 7, None),))]
    """
    axes, halo = [], _round_up(reach, stride)
    for size, edge in zip(spatial, edges, strict=True):
        step = _round_up(edge, stride)
        cores = [slice(a, min(a + step, size)) for a in range(0, size, step)]
        axes.append([(c, slice(max(c.start - halo, 0), min(c.stop + halo, size))) for c in cores])
    for pairs in itertools.product(*axes):
        yield tuple(c for c, _ in pairs), tuple(w for _, w in pairs)


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def _crop(value: Any, window: Slices, y: Tensor) -> Any:
    """The part of a spatial map that lies in the window; anything that is no map passes unchanged."""
    if not isinstance(value, Tensor) or value.ndim != y.ndim:
        return value
    sizes = zip(window, value.shape[2:], y.shape[2:], strict=True)
    return value[_ALL + tuple(w if have == full else slice(None) for w, have, full in sizes)]
