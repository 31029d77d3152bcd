"""Noise of spectral cubes, band by band: what the other bands do not predict.

Cubes are `(B, bands, H, W)`. Sums over pixels are accumulated in float64, in pieces, so that they cost no copy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.estimate import mad_sigma

_PIECE = 1 << 21  # values in float64 at a time
_RIDGE = 1e-9  # of the mean eigenvalue of the Gram matrix


def gram(z: Tensor) -> Tensor:
    """`z @ z.T` of a matrix (rows, samples), (rows, rows) in float64 whatever z's type.

    >>> gram(torch.ones(2, 5)).tolist()
    [[5.0, 5.0], [5.0, 5.0]]
    """
    rows = len(z)
    total = torch.zeros(rows, rows, dtype=torch.float64, device=z.device)
    block = -(-rows // 4)
    for piece in z.split(max(1, _PIECE // max(rows, 1)), dim=1):
        p = piece.double()
        for top in range(0, rows, max(block, 1)):  # blocks on and above the diagonal: what is below is the same
            total[top : top + block, top:].addmm_(p[top : top + block], p[top:].T)
    return total.triu() + total.triu(1).T


def regression_sigma(g: Tensor, samples: int) -> Tensor:
    """Noise level of every band, (bands,) float64, from the Gram matrix of a cube with `samples` pixels.

    Each band is regressed on all the others; the residual is noise. All regressions follow from one inverse:
    `sigma_i**2 = 1 / (N Q_ii)`, `Q = (G + eps I)**-1`. With fewer than 20 pixels a band N is replaced by the
    degrees of freedom, `N - bands + 1`.

    Source: Bioucas-Dias and Nascimento 2008, "Hyperspectral Subspace Identification", IEEE TGRS 46(8), section II.
    """
    q = precision(g)
    bands = len(g)
    freedom = samples if samples >= 20 * bands else samples - bands + 1
    return (freedom * q.diagonal()).clamp(min=torch.finfo(torch.float64).tiny).rsqrt()


def precision(g: Tensor) -> Tensor:
    """The inverse of a Gram matrix (bands, bands) with the small ridge that noise-free data needs."""
    bands = len(g)
    ridge = _RIDGE * g.diagonal().mean().clamp(min=1e-300)
    factor = torch.linalg.cholesky(g + ridge * torch.eye(bands, dtype=g.dtype, device=g.device))
    return torch.cholesky_inverse(factor)


def regression_residual(y: Tensor, g: Tensor | None = None) -> Tensor:
    """The noise itself, (bands, samples): residual of the regression of each row of y on the others."""
    q = precision(gram(y) if g is None else g)
    return ((q / q.diagonal()[:, None]) @ y.double()).to(y.dtype)


def band_sigma(y: Tensor, method: str = "regression") -> Tensor:
    """Noise level of every band of a cube (B, bands, H, W), as (B, bands, 1, 1) in the units of y.

    Parameters
    ----------
    method : "regression" on the other bands, which fine texture does not disturb as long as the bands share it; "mad",
        of the finest wavelet details, for few or unrelated bands.

    Raises
    ------
    InputError : not a cube; fewer than 3 bands, or no more pixels than bands, for the regression.

    Examples
    --------
    >>> from unnoise.noise import generator
    >>> x = torch.linspace(0.2, 0.8, 20)[None, :, None, None] * torch.rand(1, 1, 64, 64, generator=generator(0))
    >>> s = band_sigma(x + 0.05 * torch.randn(x.shape, generator=generator(1)))
    >>> s.shape, bool(((s - 0.05).abs() < 0.005).all())
    (torch.Size([1, 20, 1, 1]), True)
    """
    if y.ndim != 4 or 0 in y.shape:
        raise InputError(f"a cube is (batch, bands, height, width), got shape {tuple(y.shape)}")
    if method == "mad":
        return mad_sigma(y)[..., None, None]
    if method != "regression":
        raise InputError(f"unknown way '{method}' to estimate the noise of bands: use regression or mad")
    check_regression(y.shape[1], y.shape[2] * y.shape[3])
    levels = [regression_sigma(gram(cube.flatten(1)), cube[0].numel()) for cube in y]
    return torch.stack(levels).to(y.dtype)[..., None, None]


def check_regression(bands: int, samples: int) -> None:
    """Whether the noise of bands can be told from each other's content at all."""
    if bands < 3:
        raise InputError(
            f"the noise of {bands} band{'s' * (bands != 1)} cannot be told from the others: give sigma, or denoise the "
            f"bands as pictures (kind='photo')"
        )
    if samples <= bands:
        raise InputError(
            f"the cube has {samples} pixels for {bands} bands, too few to estimate noise: give sigma, take a larger "
            f"piece, or check the order of the axes"
        )


def poisson_sigma(y: Tensor) -> Tensor:
    """Mean noise level of every band of counts (B, bands, H, W), (B, bands, 1, 1): noise grows with the root of y.

    The square root of Poisson data has uniform noise u, found by regression; `w = 2 u sqrt(x)` is its size in y.
    """
    levels = []
    for cube in y:
        root = cube.flatten(1).clamp(min=0).sqrt()
        check_regression(*root.shape)
        u = regression_residual(root)
        w = 2 * u * (root - u)
        levels.append(w.double().square().mean(1).sqrt())
    return torch.stack(levels).to(y.dtype)[..., None, None]
