"""FORPDN: spectra made smooth, more so in coarse or fine structure as SURE finds best."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unnoise.noise.spectral import gram
from unnoise.noise.wavelets import analysis_matrix
from unnoise.restore.hyde.base import CubeDenoiser, noise_and_gram, symmetric_pad, whole

_GRID = np.logspace(-4, 6, 41)  # of lambda times the largest eigenvalue of the penalty


class FORPDN(CubeDenoiser):
    """First-order spectral roughness penalty in the wavelet domain, full rank.

    At every wavelet level `min_X 1/2 ||(C - X) Sigma**(-1/2)||_F**2 + lambda/2 ||X D^T||_F**2`, D the first difference
    along bands, is a linear filter of spectra; lambda minimises SURE. A level's filter acts on spectra and the
    wavelet transform on pixels, so details are never formed: `Y_0 F_1 + up(Y_1' - Y_1 F_1)` with Y_1 the
    approximation at half size and Y_1' the same formula on it.

    Parameters
    ----------
    levels : of the wavelet transform.
    wavelet : an orthogonal one.

    Source: Rasti, Sveinsson, Ulfarsson and Benediktsson 2014, "Hyperspectral image denoising using first order
    spectral roughness penalty in wavelet domain", IEEE JSTARS 7(6).
    """

    def __init__(self, levels: int = 4, wavelet: str = "db6") -> None:
        super().__init__()
        self.levels, self.wavelet = whole("levels", levels, 0), wavelet

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        sigma, _ = noise_and_gram(y.flatten(1), sigma)
        levels = min(self.levels, max(0, min(y.shape[1:]).bit_length() - 1))
        x = self._level(symmetric_pad(y, 2**levels), Penalty(sigma), levels)
        return x[:, : y.shape[1], : y.shape[2]]

    def _level(self, a: Tensor, penalty: Penalty, levels: int, g: Tensor | None = None) -> Tensor:
        """An approximation (bands, h, w) with its Gram matrix g, clean."""
        g = gram(a.flatten(1)) if g is None else g
        pixels = a[0].numel()
        if levels == 0:
            return _spectra(penalty.filter(penalty.best(g / pixels)), a)
        rows, columns = (analysis_matrix(n, self.wavelet)[: n // 2].to(a) for n in a.shape[1:])
        low = rows @ a @ columns.T
        inner = gram(low.flatten(1))
        details = (g - inner) / (pixels - low[0].numel())  # the transform is orthonormal
        f = penalty.filter(penalty.best(details))
        correction = self._level(low, penalty, levels - 1, inner) - _spectra(f, low)
        return _spectra(f, a) + rows.T @ correction @ columns


def _spectra(f: Tensor, a: Tensor) -> Tensor:
    return (f.to(a) @ a.flatten(1)).reshape(a.shape)


class Penalty:
    """The roughness penalty for noise levels `sigma` (bands,) float64, diagonalised once.

    `Sigma**(1/2) D^T D Sigma**(1/2) = U S U^T`.
    """

    def __init__(self, sigma: Tensor) -> None:
        bands = len(sigma)
        self.sigma = sigma.double()
        d = torch.diff(torch.eye(bands, dtype=torch.float64, device=sigma.device), dim=0)
        s, self.u = torch.linalg.eigh(self.sigma[:, None] * (d.T @ d) * self.sigma)
        self.s = s.clamp(min=0)
        self.k = self.u.T @ (self.sigma.square()[:, None] * self.u)

    def filter(self, lam: float) -> Tensor:
        """The matrix (bands, bands) that turns spectra, as columns, into smooth ones: `M Sigma**-1`.

        >>> p = Penalty(torch.tensor([0.1, 0.2, 0.1]))
        >>> bool(torch.allclose(p.filter(0.0), torch.eye(3, dtype=torch.float64), atol=1e-6))
        True
        """
        shrink = 1 / (1 + lam * self.s)
        return self.sigma[:, None] * (self.u * shrink) @ self.u.T / self.sigma

    def sure(self, lam: Tensor, power: Tensor) -> Tensor:
        """`||C - X||_F**2 / n + 2 tr(M) - tr(Sigma)` for each lambda (l,), from `power = C^T C / n` (bands, bands)."""
        t = self.u.T @ (power / (self.sigma[:, None] * self.sigma)) @ self.u
        h = 1 / (1 + lam[:, None] * self.s)
        g = 1 - h
        return torch.einsum("li,ij,lj->l", g, t * self.k, g) + 2 * h @ self.k.diagonal() - self.sigma.square().sum()

    def best(self, power: Tensor) -> float:
        """The lambda of least SURE: the best of a logarithmic grid, refined by Brent's method."""
        from scipy.optimize import minimize_scalar

        top = float(self.s.max())
        if top == 0:
            return 0.0
        grid = _GRID / top
        values = self.sure(torch.from_numpy(grid).to(self.s), power)
        i = int(values.argmin())
        low, high = np.log(grid[max(i - 1, 0)]), np.log(grid[min(i + 1, len(grid) - 1)])
        found = minimize_scalar(
            lambda x: float(self.sure(self.s.new_tensor([np.exp(x)]), power)[0]),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-3},
        )
        return float(np.exp(found.x)) if found.fun < float(values[i]) else float(grid[i])
