"""HyMiNoR: HyRes for the Gaussian part of the noise, then smooth spectra that outliers do not pull."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.restore.hyde.base import whole
from unnoise.restore.hyde.hyres import HyRes
from unnoise.restore.hyde.lowrank import Extent, Factors, LowRank

_PIECE = 1 << 17  # values of one array at a time: all arrays of a piece stay in the second-level cache


class HyMiNoR(LowRank):
    """`min_X ||H - X||_1 + lambda ||D X||_1` per pixel, with H from HyRes and D the difference along bands, by ADMM.

    The exact minimiser for the customary lambda = 10 is a constant spectrum; what is used is the iterate after 50
    steps, so the number of steps is part of the method. Data is brought to [0, 1] first, as lambda is absolute. For a
    minimiser proper take mu = 20, a smaller lambda and some hundred steps.

    Parameters
    ----------
    lam : weight of the spectral variation, for data in [0, 1].
    iterations : steps of ADMM.
    mu : weight of its two constraints.
    levels, wavelet, max_rank, shifts : of HyRes.

    Source: Rasti, Ghamisi and Benediktsson 2020, "Hyperspectral mixed Gaussian and sparse noise reduction", IEEE GRSL
    17(3), algorithm 1.
    """

    def __init__(
        self,
        lam: float = 10.0,
        iterations: int = 50,
        mu: float = 0.5,
        levels: int = 5,
        wavelet: str = "db5",
        max_rank: int = 10,
        shifts: int = 4,
    ) -> None:
        super().__init__()
        if not lam >= 0:
            raise InputError(f"lam must be >= 0, got {lam}")
        if not mu > 0:
            raise InputError(f"mu must be > 0, got {mu}")
        self.mu, self.lam, self.iterations = mu, lam, whole("iterations", iterations)
        self.hyres = HyRes(levels, wavelet, max_rank, shifts)

    def factors(self, sigma: Tensor, g: Tensor, pixels: int) -> Factors:
        """Of HyRes."""
        return self.hyres.factors(sigma, g, pixels)

    def images(self, p: Tensor, factors: Factors, first: int = 0, extent: Extent | None = None) -> Tensor:
        """Of HyRes."""
        return self.hyres.images(p, factors, first)

    def after(self, x: Tensor, low: float, high: float) -> Tensor:
        """Smooth spectra."""
        return mixed_l1((x - low) / (high - low), self.lam, self.iterations, self.mu, self.mu) * (high - low) + low


def mixed_l1(h: Tensor, lam: float, iterations: int = 50, mu1: float = 0.5, mu2: float = 0.5) -> Tensor:
    """The ADMM iterate for spectra h (bands, pixels) after so many steps.

    With `q = H - X + L1` and `p = D X + L2` the steps `V1 = soft(q, 1/mu1)`, `L1 = q - V1` and `V2 = soft(p,
    lam/mu2)`, `L2 = p - V2` are two clippings: L1 and L2 are q and p clipped. Pixels are independent, so they run in
    pieces that stay in the cache.
    """
    bands = len(h)
    if lam == 0 or bands < 2:
        return h.clone()
    eye = torch.eye(bands, dtype=torch.float64, device=h.device)
    d = torch.diff(eye, dim=0)
    solve = Banded(torch.linalg.inv(eye + mu2 / mu1 * d.T @ d), h)
    out = torch.empty_like(h)
    step = max(64, _PIECE // bands)
    for start in range(0, h.shape[1], step):
        piece = h[:, start : start + step].contiguous()
        q, l1, x = (torch.zeros_like(piece) for _ in range(3))
        p, l2 = (torch.zeros_like(piece[1:]) for _ in range(2))
        for _ in range(iterations):
            # H + L1 - V1 with V1 = q - L1, and V2 - L2 with V2 = p - L2; D^T v is -v_i + v_(i-1)
            right = torch.add(piece, l1, alpha=2).sub_(q)
            v = torch.sub(p, l2, alpha=2)
            right[1:].add_(v, alpha=mu2 / mu1)
            right[:-1].sub_(v, alpha=mu2 / mu1)
            solve(right, x)
            torch.sub(piece, x, out=q).add_(l1)
            torch.clamp(q, -1 / mu1, 1 / mu1, out=l1)
            torch.sub(x[1:], x[:-1], out=p).add_(l2)
            torch.clamp(p, -lam / mu2, lam / mu2, out=l2)
        out[:, start : start + step] = x
    return out


class Banded:
    """Multiplication by a matrix (n, n) whose entries die away from the diagonal, as inverses of local ones do.

    What is less than rounding beside the largest entry is left out, in blocks of rows.
    """

    def __init__(self, matrix: Tensor, like: Tensor, rows: int = 32) -> None:
        n = len(matrix)
        large = (matrix.abs() > torch.finfo(like.dtype).eps * matrix.abs().max() / n).nonzero()
        reach = int((large[:, 0] - large[:, 1]).abs().max())
        self.blocks = []
        for top in range(0, n, rows):
            left, right = max(0, top - reach), min(n, top + rows + reach)
            block = matrix[top : top + rows, left:right].to(like).contiguous()
            self.blocks.append((slice(top, top + rows), slice(left, right), block))

    def __call__(self, x: Tensor, out: Tensor) -> None:
        """`out = matrix @ x`, for x (n, m)."""
        for rows, columns, block in self.blocks:
            torch.mm(block, x[columns], out=out[rows])
