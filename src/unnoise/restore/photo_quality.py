"""What a photo denoiser reaches on the field's test sets, by the protocols of `data.pairs`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.pairs import CLEAN_SETS, REAL_SETS, gaussian_pairs, real_pairs
from unnoise.errors import unknown
from unnoise.metrics import psnr

Picture = NDArray[np.float32]
LEVELS = (15, 25, 50)


def measure(denoiser: Callable[..., Tensor], name: str, every: int = 1) -> dict[str, float]:
    """Mean PSNR in dB on a test set of `CLEAN_SETS` (by noise level) or `REAL_SETS` ("noisy", "denoised", "worst").

    "worst" is the smallest gain over the noisy picture. `every` takes each n-th picture. Rounded to 0.001.

    Raises
    ------
    InputError : another set. MissingData : the set is not on this machine.
    """
    if name in CLEAN_SETS:
        found = {str(level): float(np.mean(gaussian_psnr(denoiser, name, level, every))) for level in LEVELS}
    elif name in REAL_SETS:
        before, after = camera_psnr(denoiser, name, every)
        found = {"noisy": float(before.mean()), "denoised": float(after.mean()), "worst": float((after - before).min())}
    else:
        raise unknown("test set", name, (*CLEAN_SETS, *REAL_SETS))
    return {key: round(value, 3) for key, value in found.items()}


def gaussian_psnr(denoiser: Callable[..., Tensor], name: str, level: float, every: int = 1) -> NDArray[np.float64]:
    """PSNR of each picture of a clean set with Gaussian noise of `level` (of 255), which the denoiser is told."""
    pairs = islice(gaussian_pairs(name, level), 0, None, every)
    return np.array([psnr(clean_picture(denoiser, pair.noisy, level / 255), pair.clean) for pair in pairs])


def camera_psnr(
    denoiser: Callable[..., Tensor], name: str, every: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PSNR of each noisy photograph of a real set, and of what a blind denoiser makes of it."""
    pairs = islice(real_pairs(name), 0, None, every)
    both = [(psnr(p.noisy, p.clean), psnr(clean_picture(denoiser, p.noisy), p.clean)) for p in pairs]
    before, after = np.array(both).T
    return before, after


@torch.inference_mode()
def clean_picture(denoiser: Callable[..., Tensor], y: Picture, *sigma: float) -> Picture:
    """A denoiser on a picture (H, W) or (H, W, C) at once."""
    batch = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(y).transpose(2, 0, 1)))[None]
    x_hat: Picture = denoiser(batch, *sigma)[0].permute(1, 2, 0).numpy()
    return x_hat.reshape(y.shape)
