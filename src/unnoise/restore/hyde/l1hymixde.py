"""L1HyMixDe: Gaussian noise together with impulses, stripes and dead lines."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unnoise.errors import InputError
from unnoise.noise.spectral import band_sigma
from unnoise.restore.hyde.base import CubeDenoiser, noise_and_gram, whole
from unnoise.restore.hyde.eigenimages import clean_images, picture_denoiser
from unnoise.restore.hyde.fasthyde import subspace
from unnoise.restore.hyde.transform import soft


class L1HyMixDe(CubeDenoiser):
    """`Y = E Z + S + N`: eigen-images Z cleaned as pictures, sparse corruption S by the l1 norm, by ADMM.

    Outliers against an adaptive median start S, so that they spoil neither the noise levels nor the subspace.

    Parameters
    ----------
    k : number of eigen-images, at most.
    iterations : of ADMM at most; it stops when Z changes by less than `tolerance`, relatively.
    outlier : departure from the adaptive median, in noise standard deviations, from which a value is an outlier.
    median_size : largest window of the adaptive median, odd.
    denoiser : as for `FastHyDe`.
    sparse : weight of the l1 norm in noise standard deviations; `inf` forces S to zero.

    Source: Zhuang and Ng 2020, "Hyperspectral mixed noise removal by l1-norm-based subspace representation", IEEE
    JSTARS 13, algorithm 1.
    """

    def __init__(
        self,
        k: int = 10,
        iterations: int = 10,
        outlier: float = 3.0,
        median_size: int = 21,
        denoiser: nn.Module | str | None = None,
        sparse: float = 1.0,
        tolerance: float = 1e-3,
    ) -> None:
        super().__init__()
        self.k, self.iterations = whole("k", k), whole("iterations", iterations)
        if whole("median_size", median_size, 3) % 2 == 0:
            raise InputError(f"median_size must be odd, so that the window has a middle, got {median_size}")
        self.outlier, self.median_size, self.sparse, self.tolerance = outlier, median_size, sparse, tolerance
        self.denoiser = picture_denoiser(denoiser, step=2)

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        if self.sparse == float("inf"):
            repaired = y
        else:
            level = band_sigma(y[None], "mad")[0] if sigma is None else sigma.to(y)[:, None, None]
            smooth = adaptive_median(y, self.median_size)
            repaired = torch.where((y - smooth).abs() > self.outlier * level, smooth, y)
        sigma, g = noise_and_gram(repaired.flatten(1), sigma)
        e, _ = subspace(sigma, g, y[0].numel(), self.k)
        scale, e = sigma.to(y)[:, None], e.to(y)
        z, zc = y.flatten(1) / scale, repaired.flatten(1) / scale
        s = z - zc
        d = torch.zeros_like(z)
        previous: Tensor | None = None
        for _ in range(self.iterations):
            p = (e.T @ (z - s + d)).reshape(-1, *y.shape[1:])
            images = clean_images(p, self.denoiser).flatten(1)
            rest = z - e @ images
            if self.sparse == float("inf"):
                break
            s = soft(rest + d, self.sparse)
            d += rest - s
            if previous is not None and float((images - previous).norm()) < self.tolerance * float(images.norm()):
                break
            previous = images
        return ((scale * e) @ images).reshape(y.shape)


def adaptive_median(y: Tensor, largest: int = 21) -> Tensor:
    """The adaptive median filter of images (n, H, W), with centred windows of 3, 5, ... up to `largest` pixels.

    The window grows until its median is no extreme of it (level A); then a pixel that is no extreme itself is kept, and
    another becomes the median (level B). Where no window will do, the largest one's median is taken.

    Source: Gonzalez and Woods, "Digital Image Processing", section 5.3.

    >>> y = torch.arange(49.0).reshape(1, 7, 7); y[0, 3, 3] = 1000
    >>> float(adaptive_median(y)[0, 3, 3])
    25.0
    """
    out = y.clone()
    open_ = torch.ones_like(y, dtype=torch.bool)
    for size in range(3, largest + 1, 2):
        at = open_.nonzero(as_tuple=True)
        if len(at[0]) == 0:
            break
        reach = size // 2
        if reach >= min(y.shape[1:]):
            break
        padded = F.pad(y[:, None], (reach,) * 4, mode="reflect")[:, 0]
        for part in zip(*(index.split(max(1, (1 << 22) // size**2)) for index in at), strict=True):
            n, i, j = part
            step = torch.arange(size, device=y.device)
            window = padded[n[:, None, None], i[:, None, None] + step[:, None], j[:, None, None] + step].flatten(1)
            low, high = window.amin(1), window.amax(1)
            median = window.median(1).values
            value = y[part]
            sound = (low < median) & (median < high)
            keep = (low < value) & (value < high)
            out[part] = torch.where(sound & keep, value, median)
            open_[part] = ~sound
    return out
