"""What all methods on cubes share: checks, constant bands kept, the noise of each band, whitening."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError
from unnoise.noise.spectral import check_regression, gram, regression_sigma

_FLOOR = 1e-7  # of a band's root mean square: float32 holds nothing finer


class CubeDenoiser(Denoiser):
    """Denoises cubes one at a time; a subclass writes `cube(y, sigma)` for one cube without constant bands.

    Constant bands hold neither signal nor noise: they come back as they are, and the others never see them.
    """

    card = Card(kind="cube", value_range=None)

    @torch.no_grad()
    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y (B, bands, H, W); `sigma` in the units of y, `None`: estimated for every band.

        Raises
        ------
        InputError : not a cube, values that are not finite, sigma of a shape that fits no band, or a cube too small
            for its noise to be estimated.
        """
        return self._each(y, sigma)

    def _each(self, y: Tensor, sigma: Sigma, **more: Any) -> Tensor:
        check_cube(y)
        levels = None if sigma is None else band_levels(sigma, y)
        out = y.clone()
        for i, noisy in enumerate(y.to(torch.float32)):
            varying = varies(noisy)
            every = bool(varying.all())
            if not bool(varying.any()):
                continue
            level = None if levels is None else levels[i if len(levels) > 1 else 0].to(torch.float64)
            if every:
                out[i] = self.cube(noisy, level, **more)
            else:
                cut = {name: value[varying] for name, value in more.items()}
                out[i, varying] = self.cube(
                    noisy[varying].contiguous(), None if level is None else level[varying], **cut
                ).to(out)
        return out

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """Clean estimate of one cube (bands, H, W) float32; sigma (bands,) float64, or `None`."""
        raise TypeError(f"{type(self).__name__} does not define cube(y, sigma)")


def varies(y: Tensor) -> Tensor:
    """Which bands of a cube (bands, H, W) hold more than one value."""
    flat = y.flatten(1)
    return flat.amax(1) > flat.amin(1)


def check_cube(y: Tensor) -> None:
    """Raise `InputError` unless y is a cube of finite numbers."""
    if y.ndim != 4 or 0 in y.shape:
        raise InputError(f"a cube is (batch, bands, height, width), got shape {tuple(y.shape)}: reshape it")
    if not bool(torch.isfinite(y.sum())):
        bad = ~torch.isfinite(y)
        if bool(bad.any()):
            first = int(bad.flatten(2).any(2).any(0).nonzero()[0, 0])
            raise InputError(
                f"{int(bad.sum())} values of the cube are not finite, the first in band {first}: clean it through "
                f"unnoise.denoise(kind='cube'), which keeps pixels without data, or fill them"
            )


def band_levels(sigma: Sigma, y: Tensor) -> Tensor:
    """Sigma as (1 or B, bands)."""
    s = expand_sigma(sigma, y)
    if s.shape[2:] != (1, 1):
        raise InputError(
            f"sigma of shape {tuple(s.shape)} varies over pixels: give one number, or one a band (1, bands, 1, 1)"
        )
    return s[:, :, 0, 0].expand(-1, y.shape[1])


def noise_and_gram(flat: Tensor, sigma: Tensor | None) -> tuple[Tensor, Tensor]:
    """Noise level of each band (bands,) and the Gram matrix (bands, bands) of a cube (bands, pixels), in float64."""
    return noise_from_gram(gram(flat), flat.shape[1], sigma)


def noise_from_gram(g: Tensor, pixels: int, sigma: Tensor | None) -> tuple[Tensor, Tensor]:
    """`noise_and_gram` from the Gram matrix over so many pixels."""
    if sigma is None:
        check_regression(len(g), pixels)
        sigma = regression_sigma(g, pixels)
    floor = _FLOOR * (g.diagonal() / pixels).sqrt()
    return torch.maximum(sigma.to(g), floor), g


def eigenbasis(g: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, largest first, and eigenvectors as columns, with the sign fixed by the largest entry."""
    values, vectors = torch.linalg.eigh(g)
    values, vectors = values.flip(0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return values, vectors * largest.sign()


def symmetric_pad(y: Tensor, multiple: int) -> Tensor:
    """The last two axes lengthened to multiples, at bottom and right, by reflection that repeats the edge.

    >>> symmetric_pad(torch.arange(3.0).reshape(1, 1, 3), 4).tolist()
    [[[0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 2.0, 2.0]]]
    """
    for axis in (-2, -1):
        n = y.shape[axis]
        missing = -n % multiple
        if missing:
            k = torch.arange(n, n + missing, device=y.device) % (2 * n)
            mirror = y.index_select(axis, torch.where(k < n, k, 2 * n - 1 - k))
            y = torch.cat([y, mirror], axis)
    return y


def whole(name: str, value: int, least: int = 1) -> int:
    """An option that counts something."""
    if not isinstance(value, int | float) or int(value) != value or value < least:
        raise InputError(f"{name} must be a whole number >= {least}, got {value}")
    return int(value)
