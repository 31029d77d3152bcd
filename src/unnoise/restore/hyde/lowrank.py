"""Methods that clean a few images instead of all bands: `y -> back @ clean(into @ y)`.

Everything but `images` works pixel by pixel once the cube's statistics are known, so a cube of any size goes through in
pieces; the images are as many times smaller as there are bands to an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.noise.spectral import gram
from unnoise.restore.hyde.base import CubeDenoiser, noise_from_gram

Extent = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Factors:
    """What the statistics of a cube say: `into` (k, bands) makes images of white noise of level 1 from its bands,
    `back` (bands, k) bands from images; `energy` (k,) is the sum of squares of each image, `sigma` (bands,) the noise
    of each band. All float64.
    """

    into: Tensor
    back: Tensor
    energy: Tensor
    sigma: Tensor


class LowRank(CubeDenoiser):
    """A subclass writes `factors` and `images`, and `before`, `level` and `after` where pixels are changed first."""

    reach: int | None = None
    """Radius in pixels that `images` looks round, `None` where it takes whole images (one at a time will do)."""

    def factors(self, sigma: Tensor, g: Tensor, pixels: int) -> Factors:
        """From the noise levels (bands,) and the Gram matrix (bands, bands) of a cube of so many pixels."""
        raise TypeError(f"{type(self).__name__} does not define factors(sigma, g, pixels)")

    def images(self, p: Tensor, factors: Factors, first: int = 0, extent: Extent | None = None) -> Tensor:
        """Images (n, H, W) clean, the first of which is number `first` of all; `extent` are the minimum and maximum
        (n,) of the whole images where p is a part.
        """
        raise TypeError(f"{type(self).__name__} does not define images(p, factors, first, extent)")

    def before(self, y: Tensor) -> Tensor:
        """What is factored instead of y, pixel by pixel."""
        return y

    def level(self, sigma: Tensor | None, bands: int) -> Tensor | None:
        """Noise levels (bands,) of what `before` gives, where they are known."""
        return sigma

    def after(self, x: Tensor, low: float, high: float) -> Tensor:
        """The clean cube (bands, pixels) from what the images gave; low and high are the extremes of the noisy one."""
        return x

    def coefficients(self, z: Tensor, factors: Factors, seen: Tensor | None = None, width: int = 1) -> Tensor:
        """Images (k, pixels) of `before`'s (bands, pixels), NaN where a pixel lacks bands (`seen` is false), unless
        the method knows better; rows of pixels are `width` long.
        """
        p = factors.into.to(z) @ z
        return p if seen is None else p.masked_fill(~seen.all(0), torch.nan)

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        z = self.before(y).flatten(1)
        g = gram(z)
        factors = self.factors(*noise_from_gram(g, z.shape[1], self.level(sigma, len(y))), z.shape[1])
        p = self.coefficients(z, factors).reshape(-1, *y.shape[1:])
        x = factors.back.to(z) @ self.images(p, factors).flatten(1)
        return self.after(x, float(y.amin()), float(y.amax())).reshape(y.shape)
