"""FastHyDe and FastHyIn: eigen-images cleaned by a denoiser of pictures; missing values filled in the subspace."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.anscombe import anscombe, inverse_anscombe
from unnoise.restore.hyde.base import CubeDenoiser, noise_and_gram, whole
from unnoise.restore.hyde.eigenimages import clean_images, picture_denoiser
from unnoise.restore.hyde.subspace import hysime_from_gram


class FastHyDe(CubeDenoiser):
    """The whitened cube is projected on its signal subspace, and each eigen-image cleaned as a picture.

    The basis is orthonormal, so noise in the eigen-images is white, of level 1, and independent between them.

    Parameters
    ----------
    k : number of eigen-images, at most.
    denoiser : any `Denoiser` of gray pictures in [0, 1] that takes sigma, or the name of such a method; `None`: the
        shipped photo network, or the sliding-window DCT as long as there is none.
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

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        if self.noise == "poisson":
            z = anscombe(y, self.gain, 0.0)
            return inverse_anscombe(self._gaussian(z, z.new_ones(len(z)).double()), self.gain, 0.0)
        return self._gaussian(y, sigma)

    def _gaussian(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        flat = y.flatten(1)
        sigma, e = subspace(flat, sigma, self.k)
        p = ((e / sigma[:, None]).T.to(flat) @ flat).reshape(-1, *y.shape[1:])
        clean = clean_images(p, self.denoiser)
        return ((sigma[:, None] * e).to(flat) @ clean.flatten(1)).reshape(y.shape)


def subspace(flat: Tensor, sigma: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Noise levels (bands,) and the first k vectors (bands, k) of HySime's basis of the whitened cube, float64."""
    sigma, g = noise_and_gram(flat, sigma)
    whitened = g / (sigma[:, None] * sigma)
    _, basis = hysime_from_gram(whitened, flat.shape[1], torch.ones_like(sigma))
    return sigma, basis[:, : min(k, len(flat))]


class FastHyIn(FastHyDe):
    """FastHyDe on a cube with missing values: noise and subspace come from the complete pixels, the others are fitted.

    The coefficients of an incomplete pixel are the least-squares fit of its observed bands; with fewer bands than
    coefficients, the fit is drawn to the mean of the nearest complete pixels. Pixels with the same bands missing are
    solved together.

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
        if int(complete.sum()) < max(self.k, 2) or (sigma is None and int(complete.sum()) <= len(y)):
            raise InputError(
                f"only {int(complete.sum())} pixels are complete, too few to find the subspace of {len(y)} bands: "
                f"leave bands out that are mostly missing"
            )
        sigma, e = subspace(flat[:, complete], sigma, self.k)
        z = flat / sigma.to(flat)[:, None]
        e = e.to(flat)
        p = e.T @ z
        p[:, ~complete] = fit_incomplete(z, seen, complete, e, p, y.shape[2])
        clean = clean_images(p.reshape(-1, *y.shape[1:]), self.denoiser)
        return ((sigma.to(flat)[:, None] * e) @ clean.flatten(1)).reshape(y.shape)


def _shared(sigma: Sigma) -> bool:
    return not isinstance(sigma, Tensor) or sigma.ndim == 0 or len(sigma) == 1


def fit_incomplete(z: Tensor, seen: Tensor, complete: Tensor, e: Tensor, p: Tensor, width: int) -> Tensor:
    """Coefficients (k, m) of the m incomplete pixels of a whitened cube z (bands, pixels).

    `(E_S^T E_S + ridge I) p = E_S^T z_S + ridge p_0`, with S the observed bands and p_0 the mean of the near complete
    pixels; the ridge is small unless S has fewer bands than there are coefficients.
    """
    k = e.shape[1]
    at = (~complete).nonzero()[:, 0]
    prior = near_mean(p, complete, at, width, k)
    patterns, which = seen[:, at].T.unique(dim=0, return_inverse=True)
    out = torch.empty_like(prior)
    step = max(1, (1 << 24) // (k * len(z)))
    for start in range(0, len(patterns), step):
        some = patterns[start : start + step].to(e)
        few = some.sum(1) < k
        ridge = torch.where(few, 1e-2, 1e-6).double()
        normal = torch.einsum("sb,bi,bj->sij", some.double(), e.double(), e.double())
        normal += ridge[:, None, None] * torch.eye(k, dtype=torch.float64, device=e.device)
        mine = ((which >= start) & (which < start + len(some))).nonzero()[:, 0]
        local = which[mine] - start
        right = torch.einsum("bi,bm->mi", e, torch.where(seen[:, at[mine]], z[:, at[mine]], 0)).double()
        right += ridge[local, None] * prior[:, mine].T
        factors = torch.linalg.cholesky(normal)
        out[:, mine] = torch.cholesky_solve(right[..., None], factors[local])[..., 0].T.to(out)
    return out


def near_mean(p: Tensor, complete: Tensor, at: Tensor, width: int, k: int) -> Tensor:
    """Mean coefficients (rows of p, m) of the k complete pixels nearest to each pixel `at` (m,)."""
    from scipy.spatial import cKDTree

    known = complete.nonzero()[:, 0]
    places = [torch.stack([index // width, index % width], 1).cpu().numpy() for index in (known, at)]
    near = cKDTree(places[0]).query(places[1], k=list(range(1, min(k, len(known)) + 1)))[1]
    return p[:, known[torch.from_numpy(near).to(known)]].mean(2)
