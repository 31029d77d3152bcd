"""Sliding-window DCT denoising: every n x n window is a small picture whose few large coefficients are signal."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError

_COEFFICIENTS = 3 << 16  # in work at a time: the matrices of a strip stay in the second-level cache


def dct_matrix(n: int) -> Tensor:
    """The orthonormal DCT-II, rows are basis vectors: (n, n) float32.

    >>> d = dct_matrix(8)
    >>> bool(torch.allclose(d @ d.T, torch.eye(8), atol=1e-6))
    True
    """
    k = torch.arange(n, dtype=torch.float64)
    d = torch.cos(math.pi * (k + 0.5) * k[:, None] / n) * math.sqrt(2 / n)
    d[0] /= math.sqrt(2)
    return d.float()


def decorrelate(y: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in the orthonormal basis of luminance and two colour differences; other data unchanged."""
    return torch.einsum("ij,bjhw->bihw", dct_matrix(3).to(y), y) if y.shape[1] == 3 else y


def recorrelate(z: Tensor) -> Tensor:
    """Inverse of `decorrelate`."""
    return torch.einsum("ij,bihw->bjhw", dct_matrix(3).to(z), z) if z.shape[1] == 3 else z


class SlidingDCT(Denoiser):
    """Hard thresholding of the DCT of every window, then an empirical Wiener filter guided by that first estimate.

    Both estimates are means over the windows that cover a pixel, weighted by the inverse of the noise a window keeps.
    RGB is denoised in an orthonormal luminance and colour-difference basis, other data channel by channel.

    Parameters
    ----------
    window : edge n of a window in pixels, at least 2.
    step : distance between windows in pixels; 2 is four times as fast and 0.2 to 0.3 dB worse.
    threshold : of the first stage, in noise standard deviations.
    wiener : noise level the second stage assumes, relative to the first.
    scale : noise level assumed relative to sigma.
    spectrum : standard deviation of the noise in each coefficient relative to sigma, (channels, n * n) after
        `decorrelate`, row by row; `None` for white noise. `restore.spectrum.noise_spectrum` estimates it.

    Source: Yu and Sapiro 2011, "DCT image denoising", IPOL; aggregation weights of Guleryuz 2007; second stage of
    Dabov et al. 2007, eq. 8, on windows instead of groups.

    Examples
    --------
    >>> y = 0.5 + 0.1 * torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    >>> bool((SlidingDCT()(y, 0.1) - 0.5).square().mean() < 0.05 * 0.1**2)
    True
    """

    def __init__(
        self,
        window: int = 8,
        step: int = 1,
        threshold: float = 2.7,
        wiener: float = 0.9,
        scale: float = 1.0,
        spectrum: Tensor | None = None,
    ) -> None:
        super().__init__()
        if window < 2 or not 1 <= step <= window:
            raise InputError(f"a DCT window of {window} with step {step} leaves gaps: use window >= 2, step <= window")
        self.window, self.step, self.threshold, self.wiener, self.scale = window, step, threshold, wiener, scale
        self.spectrum = spectrum
        d = dct_matrix(window)
        self.basis = torch.kron(d, d)
        # an output pixel reads the windows that cover it in the first estimate, and those again in the data
        self.card = Card(sigma_range=(0.0, 1.0), reach=2 * (window - 1), stride=step, value_range=None)

    @torch.no_grad()
    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y (B, C, H, W); sigma may be a level, one a sample, one a channel or a map."""
        if y.ndim != 4:
            raise InputError(f"SlidingDCT takes data (batch, channels, height, width), got shape {tuple(y.shape)}")
        s = expand_sigma(sigma, y.float())
        return torch.stack(
            [
                self._denoise(v, s[i if len(s) > 1 else 0]).to(y.dtype)
                for i, v in enumerate(y.to(torch.float32, copy=False))
            ]
        )

    def _denoise(self, y: Tensor, s: Tensor) -> Tensor:
        n, step = self.window, self.step
        height, width = y.shape[1:]
        noisy = decorrelate(y[None])
        # variances add under the orthonormal change of channels
        variance = (self.scale * s).square()[None].expand(1, y.shape[0], *s.shape[1:])
        if y.shape[0] == 3:
            variance = torch.einsum("ij,bjhw->bihw", dct_matrix(3).to(y).square(), variance)
        pad = (n - 1, n - 1 + (1 - width) % step, n - 1, n - 1 + (1 - height) % step)
        noisy = _mirror(noisy, pad)
        if variance.shape[-2:] != (1, 1):
            variance = _mirror(variance.expand(*variance.shape[:2], height, width), pad)
            level = F.avg_pool2d(variance, n, step).sqrt_()
        else:
            level = variance.sqrt()
        inner = (..., slice(n - 1, n - 1 + height), slice(n - 1, n - 1 + width))
        first = self._estimate(noisy, level, None)[inner]
        second = self._estimate(noisy, level, _mirror(first, pad))[inner]
        return recorrelate(second)[0]

    def _estimate(self, noisy: Tensor, level: Tensor, guide: Tensor | None) -> Tensor:
        """One stage on padded data (1, C, H, W) in strips of window rows: thresholding, or Wiener with a guide."""
        n, step, basis = self.window, self.step, self.basis.to(noisy.device)
        channels, height, width = noisy.shape[1:]
        down, across = (height - n) // step + 1, (width - n) // step + 1
        rows = max(1, _COEFFICIENTS // (across * channels * n * n))
        spectrum = torch.ones(channels, n * n) if self.spectrum is None else self.spectrum
        if spectrum.shape != (channels, n * n):
            raise InputError(f"spectrum of shape {tuple(spectrum.shape)} does not fit {channels} channels, window {n}")
        spectrum = spectrum.to(noisy)[..., None]
        total, weights = torch.zeros_like(noisy), torch.zeros_like(noisy)
        for start in range(0, down, rows):
            stop = min(start + rows, down)
            strip = slice(start * step, (stop - 1) * step + n)
            size = (strip.stop - strip.start, width)
            here = level if level.shape[2] == 1 else level[:, :, start:stop]
            std = spectrum * here.reshape(channels, 1, -1)

            coefficients = basis @ F.unfold(noisy[:, :, strip], n, stride=step).view(channels, n * n, -1)
            if guide is None:
                gain = (coefficients.abs() > self.threshold * std).float()
                gain[:, 0] = 1  # the mean is signal
                kept = gain.sum(1, keepdim=True)
            else:
                power = (basis @ F.unfold(guide[:, :, strip], n, stride=step).view(channels, n * n, -1)).square_()
                gain = power.div_(power + (self.wiener * std).square_().clamp_(min=1e-20))
                gain[:, 0] = 1
                kept = gain.square().sum(1, keepdim=True)
            weight = kept.reciprocal_()
            clean = (basis.T @ coefficients.mul_(gain).mul_(weight)).view(1, channels * n * n, -1)
            total[:, :, strip] += F.fold(clean, size, n, stride=step)
            spread = weight.expand(-1, n * n, -1).reshape(1, channels * n * n, -1)
            weights[:, :, strip] += F.fold(spread, size, n, stride=step)
        return total.div_(weights)


def _mirror(x: Tensor, pad: tuple[int, int, int, int]) -> Tensor:
    """Reflect padding that also works where the padding is longer than the picture."""
    left, right, top, bottom = pad
    return x[:, :, mirrored(x.shape[2], top, bottom)][:, :, :, mirrored(x.shape[3], left, right)]


def mirrored(size: int, before: int, after: int) -> Tensor:
    """Indices into an axis of `size` extended by reflection without repeating the edge, at any length.

    >>> mirrored(3, 2, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0, 1]
    """
    period = max(2 * size - 2, 1)
    k = torch.arange(-before, size + after) % period
    return torch.where(k < size, k, period - k)
