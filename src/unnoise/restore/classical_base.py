"""From tensors to the arrays that image libraries take and back, and noise maps for methods that know one level."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError

Array = NDArray[Any]

LEVELS_PER_OCTAVE = 2


class Classical(Denoiser):
    """A denoiser that works on one picture (H, W, C) of float32 at a time, on the CPU.

    A subclass writes `picture(y, sigma)` for noise levels (C,). A noise map is handled by `at_levels`.
    """

    @torch.no_grad()
    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y (B, C, H, W), of its dtype and on its device."""
        if y.ndim != 4:
            name = type(self).__name__
            raise InputError(f"{name} takes data (batch, channels, height, width), got shape {tuple(y.shape)}")
        s = torch.zeros(1, 1, 1, 1) if self.card.blind else expand_sigma(sigma, y.float()).cpu()
        out = torch.empty_like(y)
        for i in range(len(y)):
            pixels = y[i].permute(1, 2, 0).to("cpu", torch.float32).contiguous().numpy()
            level = s[i if len(s) > 1 else 0].permute(1, 2, 0).numpy()
            if level.shape[:2] == (1, 1):
                x_hat = self.picture(pixels, np.broadcast_to(level[0, 0], pixels.shape[2:]))
            else:
                x_hat = at_levels(self.picture, pixels, level)
            out[i] = torch.from_numpy(np.ascontiguousarray(x_hat)).permute(2, 0, 1).to(y)
        return out

    def picture(self, y: Array, sigma: Array) -> Array:
        """Clean estimate of y (H, W, C) for noise of standard deviation sigma (C,)."""
        raise TypeError(f"{type(self).__name__} does not define picture(y, sigma)")


def at_levels(picture: Callable[[Array, Array], Array], y: Array, sigma: Array) -> Array:
    """Each pixel from the result for its own noise level, with `sigma` broadcastable to y (H, W, C).

    The method is run on a fixed geometric grid of levels, two an octave, and a pixel takes the linear interpolation
    between its neighbours on the grid. The grid does not depend on the map, so tiles agree. Where sigma is 0, y is
    kept.
    """
    noisy = sigma > 0
    at = np.log2(sigma, where=noisy, out=np.full(sigma.shape, -np.inf, np.float32)) * LEVELS_PER_OCTAVE
    out = np.where(noisy, np.float32(0), y)
    if not noisy.any():
        return out
    for k in range(math.floor(at[noisy].min()), math.ceil(at[noisy].max()) + 1):
        weight = np.clip(1 - np.abs(at - k), 0, None)
        if weight.any():
            out += weight * picture(y, np.full(y.shape[2], 2 ** (k / LEVELS_PER_OCTAVE), np.float32))
    return out


def in_threads(run: Callable[[int], Array], count: int) -> list[Array]:
    """`run(0), run(1), ...` on as many threads as torch uses; for libraries that release the interpreter's lock."""
    with ThreadPoolExecutor(max(1, min(count, torch.get_num_threads()))) as pool:
        return list(pool.map(run, range(count)))


def check(name: str, value: float, least: float, whole: bool = False) -> None:
    """Refuse an option of a method that is below `least`, not finite or not whole."""
    if not (math.isfinite(value) and value >= least) or (whole and value != int(value)):
        raise InputError(f"{name} must be {'a whole' if whole else 'a finite'} number >= {least:g}, got {value!r}")
