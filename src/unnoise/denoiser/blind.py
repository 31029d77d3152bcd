"""A denoiser that needs the noise level, made to find it by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma


class Blind(Denoiser):
    """Estimate the noise level of each sample and channel when none is given, then denoise.

    The level is a statistic of the whole picture, so `Blind` goes outside `Tiled`: `Blind(Tiled(D), mad_sigma)`.

    Parameters
    ----------
    denoiser : a noise-aware denoiser.
    estimator : maps y (B, C, *spatial) to standard deviations (B, C) in the data's units, as `noise.mad_sigma` does.
    """

    def __init__(self, denoiser: Denoiser, estimator: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.estimator = estimator
        # a finite reach would be a lie: every output pixel depends on the level of the whole picture
        self.card = replace(denoiser.card, sigma_range=None, reach=None)

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y; a given sigma is used as it is."""
        if sigma is None:
            sigma = self.estimator(y)
            sigma = sigma.reshape(*sigma.shape, *(1,) * (y.ndim - sigma.ndim))
        return self.denoiser(y, sigma, **conditions)
