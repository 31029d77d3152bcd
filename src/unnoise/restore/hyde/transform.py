"""Orthonormal wavelet coefficients of padded images, quick on small ones, and the SURE threshold of each sub-band."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unnoise.noise.wavelets import analysis_matrix, dwt2, idwt2
from unnoise.restore.hyde.base import symmetric_pad

_DENSE = 512  # edge up to which matrix products beat the convolution


class Subbands:
    """The periodised wavelet transform of images (n, H, W), padded symmetrically to multiples of 2**levels.

    On such sizes it is orthonormal: noise of unit variance stays white with unit variance, so that SURE holds.
    """

    def __init__(self, shape: tuple[int, int], wavelet: str, levels: int) -> None:
        # no level at which an image is narrower than 2 pixels
        self.levels = min(levels, max(0, int(math.log2(max(1, min(shape))))))
        self.wavelet = wavelet
        self.multiple = 2**self.levels

    def analyse(self, x: Tensor) -> list[Tensor]:
        """[approximation (n, h, w), coarsest details (n, 3, h, w), ..., finest details]."""
        x = symmetric_pad(x, self.multiple)
        if max(x.shape[1:]) > _DENSE:
            return [c[0] for c in dwt2(x[None], self.wavelet, self.levels)]
        details: list[Tensor] = []
        for _ in range(self.levels):
            h, w = x.shape[1] // 2, x.shape[2] // 2
            z = _along(x, self.wavelet)
            x = z[:, :h, :w]
            details.append(torch.stack([z[:, h:, :w], z[:, :h, w:], z[:, h:, w:]], 1))
        return [x, *reversed(details)]

    def synthesise(self, coefficients: list[Tensor]) -> Tensor:
        """The padded images back."""
        x = coefficients[0]
        if max(2 * s for s in coefficients[-1].shape[-2:]) > _DENSE:
            return idwt2([c[None] for c in coefficients], self.wavelet)[0]
        for d in coefficients[1:]:
            z = torch.cat([torch.cat([x, d[:, 1]], 2), torch.cat([d[:, 0], d[:, 2]], 2)], 1)
            x = _along(z, self.wavelet, back=True)
        return x


def _along(x: Tensor, wavelet: str, back: bool = False) -> Tensor:
    rows, columns = (analysis_matrix(n, wavelet).to(x) for n in x.shape[1:])
    return rows.T @ x @ columns if back else rows @ x @ columns.T


def soft(x: Tensor, threshold: Tensor | float) -> Tensor:
    """`sign(x) max(|x| - threshold, 0)`."""
    return x - torch.clamp(x, -torch.as_tensor(threshold).to(x), torch.as_tensor(threshold).to(x))


def sure_threshold(x: Tensor, hybrid: bool = True) -> tuple[Tensor, Tensor]:
    """The soft threshold that minimises Stein's unbiased estimate of the squared error, and that estimate.

    Parameters
    ----------
    x : (..., n) coefficients with noise of unit variance.
    hybrid : where the coefficients are so sparse that the estimate is unreliable take `sqrt(2 ln n)`.

    Returns
    -------
    Thresholds and risks (...,). With |x| sorted to a_1 <= ... <= a_n, `risk(a_k) = n - 2k + sum_{j<=k} a_j**2 +
    (n - k) a_k**2` and `risk(0) = n`; every a_k is tried.

    Source: Donoho and Johnstone 1995, "Adapting to unknown smoothness via wavelet shrinkage", JASA 90.

    Examples
    --------
    >>> t, risk = sure_threshold(torch.tensor([0.1, -0.2, 0.1, 8.0]), hybrid=False)
    >>> round(float(t), 3), round(float(risk), 2)
    (0.2, -1.9)
    """
    n = x.shape[-1]
    power, _ = x.square().sort(dim=-1)
    energy = power.cumsum(-1, dtype=torch.float64)
    k = torch.arange(1, n + 1, device=x.device, dtype=torch.float64)
    risks = energy.add((n - k) * power).add_(n - 2 * k)
    best, at = risks.min(-1)
    none = best >= n  # a threshold of 0
    threshold = torch.where(none, 0.0, power.gather(-1, at[..., None])[..., 0].sqrt())
    risk = torch.where(none, float(n), best)
    if hybrid and n > 1:
        sparse = energy[..., -1] / n - 1 <= math.log2(n) ** 1.5 / math.sqrt(n)
        universal = torch.full_like(threshold, math.sqrt(2 * math.log(n)))
        threshold = torch.where(sparse, universal, threshold)
        risk = torch.where(sparse, risk_at(x, universal), risk)
    return threshold, risk


def risk_at(x: Tensor, threshold: Tensor) -> Tensor:
    """Stein's estimate for given thresholds (...,) on coefficients (..., n) with noise of unit variance."""
    t = threshold[..., None].to(x)
    small = (x.abs() <= t).sum(-1, dtype=torch.float64)
    return x.shape[-1] - 2 * small + torch.minimum(x.square(), t.square()).sum(-1, dtype=torch.float64)
