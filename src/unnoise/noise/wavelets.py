"""The periodised wavelet transform of pictures and cubes, equal to pywt's mode "periodization".

One level is one grouped strided convolution with the four separable filters, so it is differentiable, runs on any
device, and costs (filter length)**2 multiply-adds a pixel. For orthogonal wavelets ("haar", "db2", "sym4", "coif1"...)
and even sizes it is an orthonormal map: coefficients of white noise are white noise of the same level.
Source: Mallat 1989, "A theory for multiresolution signal decomposition"; boundary rule as in PyWavelets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.errors import InputError


@lru_cache(maxsize=64)
def _filters(wavelet: str) -> tuple[tuple[float, ...], ...]:
    """The four filters (dec_lo, dec_hi, rec_lo, rec_hi) of a discrete wavelet."""
    import pywt

    try:
        bank = pywt.Wavelet(wavelet).filter_bank
    except ValueError as e:
        raise InputError(f"unknown wavelet '{wavelet}': any of pywt.wavelist(kind='discrete') will do") from e
    return tuple(tuple(f) for f in bank)


def max_levels(shape: Sequence[int], wavelet: str) -> int:
    """The level beyond which a coarse pixel is narrower than the filter, for the last two sizes of `shape`.

    >>> max_levels((1, 3, 256, 256), "db2")
    6
    """
    import pywt

    return int(pywt.dwt_max_level(min(shape[-2:]), len(_filters(wavelet)[0])))


def _wrap(x: Tensor, before: int, after: int, dim: int) -> Tensor:
    """Periodic extension of one axis, by any amount."""
    n = x.shape[dim]
    if before <= n and after <= n:
        return torch.cat([x.narrow(dim, n - before, before), x, x.narrow(dim, 0, after)], dim)
    return x.index_select(dim, torch.arange(-before, n + after, device=x.device) % n)


def _kernel(low: Sequence[float], high: Sequence[float], like: Tensor) -> Tensor:
    """The filters of the sub-bands approximation, H, V, D, `(4, 1, F, F)`; H is high-pass across rows."""
    lo, hi = (torch.tensor(f, dtype=like.dtype, device=like.device) for f in (low, high))
    return torch.stack([a[:, None] * b for a, b in ((lo, lo), (hi, lo), (lo, hi), (hi, hi))])[:, None]


def _analyse(x: Tensor, low: Sequence[float], high: Sequence[float]) -> tuple[Tensor, Tensor]:
    b, c, h, w = x.shape
    if h % 2 or w % 2:
        x = F.pad(x, (0, w % 2, 0, h % 2), mode="replicate")
    half = len(low) // 2
    x = _wrap(_wrap(x, half - 1, half - 1, 3), half - 1, half - 1, 2)
    kernel = _kernel(low[::-1], high[::-1], x).repeat(c, 1, 1, 1)
    bands = F.conv2d(x, kernel, stride=2, groups=c)
    bands = bands.reshape(b, c, 4, *bands.shape[2:])
    return bands[:, :, 0], bands[:, :, 1:]


def _synthesise(approx: Tensor, details: Tensor, low: Sequence[float], high: Sequence[float]) -> Tensor:
    bands = torch.cat([approx[:, :, None], details], dim=2)
    b, c, _, h, w = bands.shape
    length, wrap = len(low), len(low) // 4
    bands = _wrap(_wrap(bands.reshape(b, 4 * c, h, w), wrap, wrap, 3), wrap, wrap, 2)
    kernel = _kernel(low, high, bands).repeat(c, 1, 1, 1)
    x = F.conv_transpose2d(bands, kernel, stride=2, groups=c)
    start = 2 * wrap + length // 2 - 1
    return x[:, :, start : start + 2 * h, start : start + 2 * w]


@lru_cache(maxsize=64)
def _analysis_matrix(n: int, wavelet: str) -> Tensor:
    low, high, _, _ = _filters(wavelet)
    half = len(low) // 2
    columns = (2 * torch.arange(n // 2)[:, None] + torch.arange(len(low)) - half + 1) % n
    rows = torch.arange(n // 2)[:, None].expand_as(columns)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for first, taps in ((0, low), (n // 2, high)):
        values = torch.tensor(taps[::-1], dtype=torch.float64).expand(columns.shape)
        matrix.index_put_((rows + first, columns), values, accumulate=True)
    return matrix


def analysis_matrix(n: int, wavelet: str) -> Tensor:
    """One level of the transform of an axis of even length n, as a matrix (n, n) float64.

    Rows below n / 2 give the approximation, the others the details; for an orthogonal wavelet its transpose inverts
    it. On axes up to some hundred samples two matrix products are several times as fast as the convolution.

    >>> a = analysis_matrix(16, "db3")
    >>> bool(torch.allclose(a @ a.T, torch.eye(16, dtype=torch.float64)))
    True
    """
    if n < 2 or n % 2:
        raise InputError(f"one level of a wavelet transform needs an even length, got {n}")
    return _analysis_matrix(n, wavelet).clone()


def dwt2(x: Tensor, wavelet: str = "db4", levels: int = 1) -> list[Tensor]:
    """Wavelet coefficients of the last two axes.

    Parameters
    ----------
    x : `(B, C, H, W)`, float32 or float64. An axis of odd length is lengthened by repeating its last sample, at
        every level, as pywt does.
    wavelet : name of any discrete wavelet of pywt.
    levels : how often the approximation is split again, >= 0, not limited by the size.

    Returns
    -------
    `[approximation, details of the coarsest level, ..., details of the finest]`, the order of `pywt.wavedec2`;
    approximation `(B, C, h, w)`, details `(B, C, 3, h, w)` with H, V, D along the third axis.

    Examples
    --------
    >>> x = torch.randn(2, 3, 32, 48)
    >>> [tuple(c.shape) for c in dwt2(x, "db2", levels=2)]
    [(2, 3, 8, 12), (2, 3, 3, 8, 12), (2, 3, 3, 16, 24)]
    """
    if x.ndim != 4 or 0 in x.shape:
        raise InputError(f"dwt2 takes non-empty data (B, C, H, W), got shape {tuple(x.shape)}")
    if levels < 0:
        raise InputError(f"levels must be >= 0, got {levels}")
    low, high, _, _ = _filters(wavelet)
    details: list[Tensor] = []
    for _ in range(levels):
        x, d = _analyse(x, low, high)
        details.append(d)
    return [x, *reversed(details)]


def idwt2(coefficients: Sequence[Tensor], wavelet: str = "db4", shape: Sequence[int] | None = None) -> Tensor:
    """The inverse of `dwt2`, `(B, C, H, W)`.

    Give `shape` (of x, or its last two sizes) when H or W was odd: otherwise the result is one row or column longer.

    >>> x = torch.randn(1, 1, 33, 47, dtype=torch.float64)
    >>> bool(torch.allclose(idwt2(dwt2(x, "sym4", 3), "sym4", x.shape), x))
    True
    """
    _, _, low, high = _filters(wavelet)
    x = coefficients[0]
    for details in coefficients[1:]:
        h, w = details.shape[-2:]
        x = _synthesise(x[..., :h, :w], details, low, high)
    if shape is not None:
        x = x[..., : shape[-2], : shape[-1]]
    return x
