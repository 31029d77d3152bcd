"""Eigen-images: a whitened cube in its subspace, each image cleaned by any denoiser of single pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unnoise.errors import unknown
from unnoise.restore import METHODS


def picture_denoiser(denoiser: nn.Module | str | None, step: int = 1) -> nn.Module:
    """The denoiser of eigen-images: as given, a method by name, or the default.

    The default is the sliding-window DCT with `step`: eigen-images are not photographs, and on the study's cubes it is
    within 0.1 dB of the shipped photo network or 0.6 dB above it (Samson); with step 1 the network is the quicker one.

    Raises
    ------
    InputError : the name is not that of a method for pictures that takes the noise level.
    """
    if isinstance(denoiser, str):
        fit = {name: m for name, m in METHODS.items() if "photo" in m.kinds and m.needs_sigma}
        if denoiser not in fit:
            raise unknown("denoiser of pictures", denoiser, fit)
        return fit[denoiser].create()
    if denoiser is not None:
        return denoiser
    from unnoise.restore.classical_dct import SlidingDCT

    return SlidingDCT(step=step)


def clean_images(p: Tensor, denoiser: nn.Module, extent: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Images (k, H, W), each with white noise of level 1, denoised as one batch.

    Every image is brought to [0, 1] by its own minimum and maximum first, which is where denoisers of pictures
    live; the level goes along. `extent` gives them, (k,) each, where p is a part of larger images.
    """
    low, high = (p.amin((1, 2)), p.amax((1, 2))) if extent is None else (e.to(p) for e in extent)
    low, high = low[:, None, None], high[:, None, None]
    width = (high - low).clamp(min=torch.finfo(p.dtype).tiny)
    clean = denoiser(((p - low) / width)[:, None], (1 / width)[:, None])
    return clean[:, 0].to(p.dtype) * width + low
