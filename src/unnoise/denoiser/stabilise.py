"""Signal-dependent noise made uniform before a Gaussian denoiser, and the bias undone after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma
from unnoise.noise.anscombe import anscombe, inverse_anscombe
from unnoise.noise.models import PoissonGaussian


class Stabilised(Denoiser):
    """Denoise Poisson-Gaussian data through the generalised Anscombe transform and its exact unbiased inverse.

    The transform turns variance `gain * x + read**2` into variance 1 at every brightness. Transformed values are
    brought to [0, 1] by the images of 0 and 1, which depend on the noise model alone, so a local denoiser stays
    local. For linear data; on display-referred sRGB the model does not hold.

    Parameters
    ----------
    denoiser : a noise-aware denoiser of data in [0, 1].
    noise : the Poisson-Gaussian model of the data, for instance from `noise.fit_poisson_gaussian`.

    Source: Makitalo and Foi 2013, "Optimal inversion of the generalized Anscombe transformation".
    """

    def __init__(self, denoiser: Denoiser, noise: PoissonGaussian) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.noise = noise
        low, high = anscombe(torch.tensor([0.0, 1.0], dtype=torch.float64), noise.gain, noise.read).tolist()
        self.low, self.span = low, high - low
        self.card = replace(denoiser.card, sigma_range=None)

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y; the noise model takes the place of `sigma`, which is ignored."""
        z = (anscombe(y, self.noise.gain, self.noise.read) - self.low) / self.span
        z = self.denoiser(z, 1 / self.span, **conditions)
        return inverse_anscombe(z * self.span + self.low, self.noise.gain, self.noise.read)
