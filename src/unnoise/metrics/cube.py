"""Measures of spectral cubes: per-band PSNR and SSIM, spectral angle, ERGAS, SNR; all in float64.

Cubes are numpy `(H, W, bands)`, as at the door: an estimate and its reference, of one shape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.errors import InputError

Cube = NDArray[Any]


def _pair(x_hat: Cube, x: Cube) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if x_hat.shape != x.shape or x.ndim != 3 or x.size == 0:
        raise InputError(f"cubes are (height, width, bands) of one shape, got {x_hat.shape} and {x.shape}: crop one")
    return x_hat.astype(np.float64), x.astype(np.float64)


def _peaks(x: NDArray[np.float64], peak: float | None) -> NDArray[np.float64]:
    return np.full(x.shape[2], float(peak)) if peak is not None else x.max((0, 1))


def band_psnr(x_hat: Cube, x: Cube, peak: float | None = None) -> NDArray[np.float64]:
    """PSNR of every band in dB, (bands,); infinite for equal bands. `peak`: the maximum of each reference band."""
    a, b = _pair(x_hat, x)
    error = np.square(a - b).mean((0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, np.inf, 10 * np.log10(_peaks(b, peak) ** 2 / error))


def mpsnr(x_hat: Cube, x: Cube, peak: float | None = None) -> float:
    """Mean over bands of the PSNR in dB.

    >>> x = np.linspace(0, 1, 64).reshape(4, 4, 4)
    >>> mpsnr(x, x), round(mpsnr(x + 0.1, x, peak=1), 6)
    (inf, 20.0)
    """
    return float(band_psnr(x_hat, x, peak).mean())


def mssim(x_hat: Cube, x: Cube, peak: float | None = None) -> float:
    """Mean over bands of SSIM, with the Gaussian window and conventions of `metrics.ssim`; bands need 11 pixels."""
    from unnoise.metrics.ssim import ssim

    a, b = _pair(x_hat, x)
    peaks = _peaks(b, peak)
    return float(np.mean([ssim(a[..., i], b[..., i], peaks[i] or 1.0, clip=False) for i in range(a.shape[2])]))


def global_psnr(x_hat: Cube, x: Cube) -> float:
    """`20 log10(max(x) / rmse)` over the whole cube, in dB: large where one band is bright; not `mpsnr`."""
    a, b = _pair(x_hat, x)
    error = float(np.square(a - b).mean())
    return 10 * math.log10(float(b.max()) ** 2 / error) if error else math.inf


def sam(x_hat: Cube, x: Cube, degrees: bool = True) -> float:
    """Spectral angle: mean over pixels of the angle between both spectra, in degrees or radians.

    Pixels with an all-zero spectrum in either cube have no angle and are left out; without any other the angle is NaN.
    The angle is taken from the chord, since the arc cosine loses half the digits near 0.

    >>> x = np.random.default_rng(0).random((3, 3, 5))
    >>> sam(2 * x, x)
    0.0
    """
    a, b = (v.reshape(-1, v.shape[2]) for v in _pair(x_hat, x))
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    seen = (norms[0] > 0) & (norms[1] > 0)
    if not seen.any():
        return math.nan
    unit = [v[seen] / n[seen, None] for v, n in zip((a, b), norms, strict=True)]
    angle = 2 * np.arctan2(np.linalg.norm(unit[0] - unit[1], axis=1), np.linalg.norm(unit[0] + unit[1], axis=1))
    mean = float(np.mean(np.where(angle < 1e-7, 0.0, angle)))
    return math.degrees(mean) if degrees else mean


def ergas(x_hat: Cube, x: Cube, ratio: float = 1.0) -> float:
    """Relative global error `100 ratio sqrt(mean_b(MSE_b / mean(x_b)**2))`; `ratio` is 1 for denoising.

    Source: Wald 2000, "Quality of high resolution synthesised images". Bands of mean 0 are left out.
    """
    a, b = _pair(x_hat, x)
    mean = b.mean((0, 1)) ** 2
    error = np.square(a - b).mean((0, 1))
    return float(100 * ratio * np.sqrt((error[mean > 0] / mean[mean > 0]).mean()))


def snr(x_hat: Cube, x: Cube) -> float:
    """`10 log10(sum x**2 / sum (x_hat - x)**2)` in dB."""
    a, b = _pair(x_hat, x)
    error = float(np.square(a - b).sum())
    return 10 * math.log10(float(np.square(b).sum()) / error) if error else math.inf


def evaluate(x_hat: Cube, x: Cube, peak: float | None = None) -> dict[str, float]:
    """All of them: `mpsnr`, `mssim`, `sam` (degrees), `ergas`, `snr`, `psnr_global`.

    >>> x = np.random.default_rng(0).random((16, 16, 4))
    >>> sorted(evaluate(x + 0.01, x))
    ['ergas', 'mpsnr', 'mssim', 'psnr_global', 'sam', 'snr']
    """
    return {
        "mpsnr": mpsnr(x_hat, x, peak),
        "mssim": mssim(x_hat, x, peak),
        "sam": sam(x_hat, x),
        "ergas": ergas(x_hat, x),
        "snr": snr(x_hat, x),
        "psnr_global": global_psnr(x_hat, x),
    }
