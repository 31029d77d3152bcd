"""Inpainting, super-resolution and deblurring with any denoiser as the prior, by correcting its clean estimate.

The measured part of the estimate is replaced by the measurements: `D(y) + A^+ (c - A D(y))`. What comes out is a
denoiser again, so every sampler, guidance and schedule works on it. Source: Wang, Yu and Zhang 2023, "Zero-shot image
restoration using denoising diffusion null-space model" (2212.00490), eq. 9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma, expand_sigma
from unnoise.errors import InputError
from unnoise.generate.samplers import begin


@dataclass(frozen=True)
class Measurement:
    """A linear measurement of pictures (B, C, H, W), and a pseudo-inverse with `A A^+ A = A`."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


class Measured(Denoiser):
    """A denoiser that knows measurements of the clean picture.

    Parameters
    ----------
    denoiser : the prior; conditions pass through. With guidance the `Guided` one goes in here, so that each picture
        of a batch keeps its own measurements.
    measurement : what was done to the picture.
    c : what was measured, of one picture or of a batch.
    noise : standard deviation of the noise in `A^+ c`, in data units; the correction fades as sigma falls below it.

    Examples
    --------
    >>> from unnoise.denoiser import Empirical
    >>> faces = Empirical(torch.tensor([[[[0.0, 1.0]]], [[[1.0, 0.2]]]]))
    >>> left = inpainting(torch.tensor([[True, False]]))
    >>> known = Measured(faces, left, left.forward(torch.tensor([[[[1.0, 0.0]]]])))
    >>> [round(v, 1) for v in known(torch.tensor([[[[0.9, 0.5]]]]), 0.2).flatten().tolist()]
    [1.0, 0.2]
    """

    def __init__(self, denoiser: Denoiser, measurement: Measurement, c: Tensor, noise: float = 0.0) -> None:
        super().__init__()
        if noise < 0:
            raise InputError(f"the noise of a measurement must not be negative, got {noise:g}")
        self.denoiser, self.measurement, self.c, self.noise = denoiser, measurement, c, noise
        self.card, self.null = denoiser.card, denoiser.null

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y (B, C, H, W) that agrees with the measurements."""
        x0 = self.denoiser(y, sigma, **conditions)
        found = self.measurement.forward(x0)
        if found.shape[1:] != self.c.shape[1:] or len(self.c) not in (1, len(y)):
            raise InputError(
                f"measurements of shape {tuple(self.c.shape)} do not fit: these pictures give {tuple(found.shape)} "
                "(with guidance write Measured(Guided(D, scale), ...), not the other way round)"
            )
        correction = self.measurement.inverse(self.c.to(x0) - found)
        if self.noise > 0:
            s = expand_sigma(sigma, y)
            correction = correction * s**2 / (s**2 + self.noise**2)
        return x0 + correction

    def trajectory(self) -> Measured:
        """The same for one run of a sampler: guidance inside remembers it."""
        return Measured(begin(self.denoiser), self.measurement, self.c, self.noise)


def inpainting(mask: Tensor) -> Measurement:
    """Pixels where the mask (H, W) or (C, H, W) is true are known."""
    known = mask.bool()
    return Measurement(lambda x: x * known.to(x), lambda c: c * known.to(c))


def super_resolution(factor: int) -> Measurement:
    """Means over blocks of `factor` x `factor` pixels are known."""
    if factor < 1:
        raise InputError(f"the factor of super-resolution must be at least 1, got {factor}")

    def forward(x: Tensor) -> Tensor:
        if x.shape[-1] % factor or x.shape[-2] % factor:
            raise InputError(f"height and width must be multiples of the factor {factor}, got {tuple(x.shape[-2:])}")
        return F.avg_pool2d(x, factor)

    return Measurement(forward, lambda c: c.repeat_interleave(factor, -2).repeat_interleave(factor, -1))


def deblurring(kernel: Tensor, least: float = 1e-2) -> Measurement:
    """The picture convolved with a kernel (h, w) of odd sides, periodic at the borders.

    Frequencies that the kernel passes with a gain below `least` count as not measured.
    """
    if kernel.ndim != 2 or not all(n % 2 for n in kernel.shape):
        raise InputError(f"a blur kernel has two odd sides, got {tuple(kernel.shape)}")

    def gain(x: Tensor) -> Tensor:
        padded = torch.zeros(x.shape[-2:], dtype=x.dtype, device=x.device)
        padded[: kernel.shape[0], : kernel.shape[1]] = kernel.to(x)
        h = torch.fft.rfft2(padded.roll((-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1)))
        return torch.where(h.abs() < least, 0, h)

    def filtered(x: Tensor, h: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * h, s=x.shape[-2:])

    def inverse(c: Tensor) -> Tensor:
        h = gain(c)
        return filtered(c, torch.where(h == 0, 0, 1 / torch.where(h == 0, 1, h)))

    return Measurement(lambda x: filtered(x, gain(x)), inverse)
