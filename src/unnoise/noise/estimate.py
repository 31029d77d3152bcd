"""Noise levels and laws from noisy data alone."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.blocking import jpeg_grid, jpeg_phase
from unnoise.noise.flat import Blocks, cut
from unnoise.noise.impulses import impulse_mask
from unnoise.noise.models import PoissonGaussian
from unnoise.noise.wavelets import dwt2

__all__ = [
    "autocorrelation",
    "fit_poisson_gaussian",
    "impulse_mask",
    "jpeg_grid",
    "jpeg_phase",
    "mad_sigma",
    "patch_sigma",
]

NORMAL_MAD = 0.6744897501960817  # median of |n| for standard normal n
NORMAL_MEDIAN = 0.929  # median over 8 x 8 blocks of the energy of `_diagonal` of standard normal noise


def _check(y: Tensor) -> None:
    if y.ndim != 4 or 0 in y.shape:
        raise InputError(f"noise is estimated on non-empty data (B, C, H, W), got shape {tuple(y.shape)}")


def mad_sigma(y: Tensor) -> Tensor:
    """Level of white noise, `(B, C)`, in the units of y `(B, C, H, W)`: robust, fast, too high on fine texture.

    Median of the absolute diagonal wavelet details of the finest scale (db2), over 0.6745. It counts only what varies
    from pixel to pixel: spatially correlated noise is underestimated. Source: Donoho and Johnstone 1994, "Ideal
    spatial adaptation by wavelet shrinkage", section 4.3.

    >>> g = torch.Generator().manual_seed(0)
    >>> round(float(mad_sigma(0.1 * torch.randn(1, 1, 256, 256, generator=g))), 2)
    0.1
    """
    _check(y)
    if min(y.shape[2:]) < 2:
        return y.new_zeros(y.shape[:2])
    return dwt2(y, "db2", 1)[1][:, :, 2].abs().flatten(2).median(2).values / NORMAL_MAD


def patch_sigma(y: Tensor) -> Tensor:
    """Level of white noise, `(B, C)`, in the units of y `(B, C, H, W)`: patch covariance in the flattest places.

    Patches of white noise have a covariance with equal eigenvalues; the picture adds to the largest. Eigenvalues are
    dropped from the top until those that remain have their mean at their median (Chen, Zhu and Heng 2015, "An
    efficient statistical method for image noise level estimation", algorithm 1). Patches of 5 x 5 come from the
    flattest fifth of 8 x 8 blocks, judged by their neighbours, which keeps texture out. Pictures under 16 pixels give
    `mad_sigma`.
    """
    _check(y)
    if min(y.shape[2:]) < 16:
        return mad_sigma(y)
    rows = []
    for picture in y:
        blocks = cut(picture[None], 8)
        flat = blocks.flattest(0.2, least=32)
        rows.append(torch.stack([patch_level(p) for p in blocks.pixels[:, flat[0]]]))
    return torch.stack(rows)


def patch_level(blocks: Tensor) -> Tensor:
    """Level of white noise from flat blocks `(n, size, size)` of one channel, size at least 5."""
    patches = blocks.unfold(1, 5, 1).unfold(2, 5, 1).reshape(-1, 25)
    centred = patches - patches.mean(0)
    eigenvalues = torch.linalg.eigvalsh((centred.T @ centred).double() / len(centred)).clamp(min=0)
    means = eigenvalues.cumsum(0) / torch.arange(1, 26, device=blocks.device)
    for kept in range(25, 1, -1):
        lower, upper = (eigenvalues[:kept] < means[kept - 1]).sum(), (eigenvalues[:kept] > means[kept - 1]).sum()
        if upper >= lower:
            break
    return means[kept - 1].sqrt().to(blocks.dtype)


def autocorrelation(y: Tensor, lags: int = 4) -> Tensor:
    """Correlation of the noise with itself at 1 to `lags` pixels, `(B, C, 2, lags)`: horizontal, then vertical.

    Measured in the flattest tenth of 16 x 16 blocks about their fitted planes, every block at its own scale, so that it
    holds for noise that depends on the signal. White noise gives 0. What varies over more than about ten pixels counts
    as picture, which makes values up to 0.07 too low where noise is shared far. Pictures under `3 * lags` pixels, or
    without noise, give 0.

    >>> from unnoise.noise.models import Correlated
    >>> noise = Correlated(0.05, width=0.7)
    >>> y = noise.sample(torch.full((1, 1, 256, 256), 0.5), torch.Generator().manual_seed(0))
    >>> abs(float(autocorrelation(y)[0, 0, 0, 0] - noise.correlation(0, 1))) < 0.03
    True
    """
    _check(y)
    size = min(16, *y.shape[2:])
    if size < max(6, 3 * lags):
        return y.new_zeros(*y.shape[:2], 2, lags)
    rows = []
    for picture in y:
        blocks = cut(picture[None], size)
        flat = blocks.flattest(0.1, least=16)
        rows.append(block_correlation(blocks, flat[0], lags))
    return torch.stack(rows)


def block_correlation(blocks: Blocks, at: Tensor, lags: int) -> Tensor:
    """Correlation `(C, 2, lags)` of the residual of the blocks with the indices `at`: the median over blocks."""
    r, size = blocks.residual[:, at], blocks.size
    energy = r.square().mean((2, 3))
    weight = torch.where(energy > 1e-10, 1 / energy.clamp(min=1e-10), 0)
    found = [
        ((r.narrow(axis, 0, size - lag) * r.narrow(axis, lag, size - lag)).mean((2, 3)) * weight).median(1).values
        for axis in (3, 2)
        for lag in range(1, lags + 1)
    ]
    return torch.stack(found, 1).reshape(len(r), 2, lags).clamp(-1, 1)


def fit_poisson_gaussian(y: Tensor) -> PoissonGaussian:
    """The law `variance = gain * mean + read**2` of linear data `(B, C, H, W)` in [0, 1], one for all channels.

    A robust line through the noise of flat blocks against their brightness: in 16 groups of brightness the variance
    is that of the diagonal wavelet details (blind to smooth structure), blocks with clipped pixels are left out, and
    groups that lie above the line are trusted less, since texture only adds. On sRGB pictures the result is
    descriptive. Source: Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", with blocks in place of its level sets.

    >>> x = torch.linspace(0.05, 0.9, 256).expand(1, 1, 256, 256)
    >>> fit = fit_poisson_gaussian(PoissonGaussian(0.01, 0.02).sample(x, torch.Generator().manual_seed(0)))
    >>> round(fit.gain, 3)
    0.01
    """
    _check(y)
    if min(y.shape[2:]) < 8:
        return PoissonGaussian(0.0, float(mad_sigma(y).mean()))
    return fit_line(*noise_curve(cut(y.reshape(-1, 1, *y.shape[2:]), 8)))


def noise_curve(blocks: Blocks, groups: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Brightness and white-noise variance `(C, groups)` of groups of blocks, and the number of blocks in each."""
    at = blocks.flattest(0.25, bins=groups, least=8)
    mean = torch.stack([blocks.mean[:, g].mean(1) for g in at], 1)
    # squares, for photon noise is skewed where light is scarce; their median over blocks, for some hold texture
    energy = [_diagonal(blocks.pixels[:, g]).square().mean((2, 3)) for g in at]
    variance = torch.stack([e.median(1).values for e in energy], 1) / NORMAL_MEDIAN
    return mean, variance, mean.new_tensor([len(g) for g in at]).expand_as(mean)


def _diagonal(pixels: Tensor) -> Tensor:
    """Diagonal details of unit gain inside blocks `(C, n, size, size)`: second differences across both axes."""
    d = pixels[..., 1:-1] - 0.5 * (pixels[..., :-2] + pixels[..., 2:])
    d = d[..., 1:-1, :] - 0.5 * (d[..., :-2, :] + d[..., 2:, :])
    return d / 1.5  # the squares of (-1/2, 1, -1/2) sum to 3/2, once an axis


def fit_line(mean: Tensor, variance: Tensor, count: Tensor) -> PoissonGaussian:
    """`variance = gain * mean + read**2` with both parts >= 0, by reweighted least squares."""
    m, v, n = (t.flatten().double() for t in (mean, variance, count))
    tiny = 1e-12
    trust = torch.ones_like(m)
    gain, offset = 0.0, float(v.median())
    for _ in range(20):
        model = (gain * m + offset).clamp(min=max(tiny, 0.02 * float(v.median())))
        w = n * trust / model.square()
        gain, offset = _non_negative_line(m, v, w)
        residual = v / (gain * m + offset + tiny) - 1
        spread = float(residual.abs().median()) * 1.4826 + 0.02
        trust = 1 / (1 + ((residual - spread).clamp(min=0) / spread).square()) ** 2  # chance reaches one spread
    return PoissonGaussian(gain, offset**0.5)


def _non_negative_line(m: Tensor, v: Tensor, w: Tensor) -> tuple[float, float]:
    total, mm, vm = w.sum(), (w * m).sum() / w.sum(), (w * v).sum() / w.sum()
    spread = (w * (m - mm).square()).sum() / total
    slope = float((w * (m - mm) * (v - vm)).sum() / total / spread) if float(spread) > 1e-12 else 0.0
    if slope <= 0:
        return 0.0, float(vm)
    offset = float(vm) - slope * float(mm)
    if offset >= 0:
        return slope, offset
    return float((w * m * v).sum() / (w * m * m).sum()), 0.0
