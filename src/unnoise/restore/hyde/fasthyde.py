"""FastHyDe and FastHyIn: eigen-images cleaned by a denoiser of pictures; missing values filled in the subspace."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.anscombe import anscombe, inverse_anscombe
from unnoise.noise.spectral import gram
from unnoise.restore.hyde.base import noise_from_gram, whole
from unnoise.restore.hyde.eigenimages import clean_images, picture_denoiser
from unnoise.restore.hyde.lowrank import Extent, Factors, LowRank
from unnoise.restore.hyde.missing import fit_incomplete, impute, too_few
from unnoise.restore.hyde.subspace import hysime_from_gram


class FastHyDe(LowRank):
    """The whitened cube is projected on its signal subspace, and each eigen-image cleaned as a picture.

    The basis is orthonormal, so noise in the eigen-images is white, of level 1, and independent between them.

    Parameters
    ----------
    k : number of eigen-images, at most.
    denoiser : any `Denoiser` of gray pictures in [0, 1] that takes sigma, or the name of such a method; `None`: the
        sliding-window DCT. "photo" is quicker.
    noise : "gaussian", or "poisson" for counts `gain * Poisson(x / gain)`, stabilised first.
    gain : counts one photon makes.

    Source: Zhuang and Bioucas-Dias 2018, "Fast hyperspectral image denoising and inpainting based on low-rank and
    sparse representations", IEEE JSTARS 11(3), algorithm 1.
    """

    def __init__(
        self, k: int = 10, denoiser: nn.Module | str | None = None, noise: str = "gaussian", gain: float = 1.0
    ) -> None:
        super().__init__()
        if noise not in ("gaussian", "poisson"):
            raise unknown("noise", noise, ("gaussian", "poisson"))
        if not gain > 0:
            raise InputError(f"gain must be > 0, got {gain:g}: it is the counts one photon makes")
        self.k, self.noise, self.gain = whole("k", k), noise, gain
        self.denoiser = picture_denoiser(denoiser)
        self.reach = getattr(getattr(self.denoiser, "card", None), "reach", None)

    def factors(self, sigma: Tensor, g: Tensor, pixels: int) -> Factors:
        """The first k vectors of HySime's basis of the whitened cube."""
        e, energy = subspace(sigma, g, pixels, self.k)
        return Factors((e / sigma[:, None]).T, sigma[:, None] * e, energy, sigma)

    def images(self, p: Tensor, factors: Factors, first: int = 0, extent: Extent | None = None) -> Tensor:
        """Cleaned as pictures."""
        return clean_images(p, self.denoiser, extent)

    def before(self, y: Tensor) -> Tensor:
        """Counts with their noise made even."""
        return anscombe(y, self.gain, 0.0) if self.noise == "poisson" else y

    def level(self, sigma: Tensor | None, bands: int) -> Tensor | None:
        """1 in every band of stabilised counts."""
        return torch.ones(bands, dtype=torch.float64) if self.noise == "poisson" else sigma

    def after(self, x: Tensor, low: float, high: float) -> Tensor:
        """Counts again."""
        return inverse_anscombe(x, self.gain, 0.0) if self.noise == "poisson" else x


def subspace(sigma: Tensor, g: Tensor, pixels: int, k: int) -> tuple[Tensor, Tensor]:
    """The first k vectors (bands, k) of HySime's basis of a whitened cube, and the energy (k,) along them, float64.

    From the noise levels (bands,) and the Gram matrix (bands, bands) of the cube as it is, of so many pixels.
    """
    whitened = g / (sigma[:, None] * sigma)
    _, basis = hysime_from_gram(whitened, pixels, torch.ones_like(sigma))
    e = basis[:, : min(k, len(g))]
    return e, (e * (whitened @ e)).sum(0)


class FastHyIn(FastHyDe):
    """FastHyDe on a cube with missing values: noise and subspace come from the complete pixels, the others are fitted.

    The coefficients of an incomplete pixel are the least-squares fit of its observed bands; with fewer bands than
    coefficients, the fit is drawn to the mean of the nearest complete pixels. Pixels with the same bands missing are
    solved together. Where hardly any pixel is complete, missing values and subspace are found by turns (`impute`).

    Source: Zhuang and Bioucas-Dias 2018, algorithm 2.
    """

    def __init__(self, k: int = 10, denoiser: nn.Module | str | None = None) -> None:
        super().__init__(k, denoiser)
        self.card = replace(self.card, conditions=("mask",))

    @torch.no_grad()
    def forward(self, y: Tensor, sigma: Sigma = None, mask: Tensor | None = None) -> Tensor:
        """Clean and complete estimate of y (B, bands, H, W); `mask` of its shape, or `None`: true where observed."""
        if mask is None:
            return self._each(y, sigma)
        if mask.shape != y.shape:
            raise InputError(
                f"mask of shape {tuple(mask.shape)} does not fit the cube {tuple(y.shape)}: give its shape"
            )
        observed = mask.bool()
        # what is missing must not be looked at, and must not make a band look constant or infinite
        first = torch.where(observed, y, torch.zeros_like(y))
        mean = first.sum((2, 3), keepdim=True) / observed.sum((2, 3), keepdim=True).clamp(min=1)
        filled = torch.where(observed, y, mean)
        return torch.cat(
            [
                self._each(filled[i : i + 1], sigma if _shared(sigma) else sigma[i : i + 1], mask=observed[i])  # type: ignore[index]
                for i in range(len(y))
            ]
        )

    def cube(self, y: Tensor, sigma: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """One cube (bands, H, W), `mask` of its shape."""
        if mask is None or bool(mask.all()):
            return super().cube(y, sigma)
        flat, seen = y.flatten(1), mask.flatten(1)
        complete = seen.all(0)
        samples = int(complete.sum())
        if too_few(seen):
            full, level = impute(flat, seen, self.k, sigma)
            return super().cube(full.reshape(y.shape), level)
        factors = self.factors(*noise_from_gram(gram(flat[:, complete]), samples, sigma), samples)
        p = self.coefficients(flat, factors, seen, y.shape[2])
        clean = self.images(p.reshape(-1, *y.shape[1:]), factors)
        return (factors.back.to(flat) @ clean.flatten(1)).reshape(y.shape)

    def coefficients(self, z: Tensor, factors: Factors, seen: Tensor | None = None, width: int = 1) -> Tensor:
        """Those of incomplete pixels fitted."""
        p = super().coefficients(z, factors)
        if seen is None or bool(seen.all()):
            return p
        complete, scale = seen.all(0), factors.sigma.to(z)[:, None]
        e = (factors.back / factors.sigma[:, None]).to(z)
        p[:, ~complete] = fit_incomplete(z / scale, seen, complete, e, p, width)
        return p


def _shared(sigma: Sigma) -> bool:
    return not isinstance(sigma, Tensor) or sigma.ndim == 0 or len(sigma) == 1
