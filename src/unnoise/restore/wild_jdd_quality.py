"""How good a demosaicked picture is: mosaics of clean pictures with fixed noise, and PSNR over all three channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from unnoise.data.pairs import add_gaussian, clean_set
from unnoise.metrics import psnr
from unnoise.restore.wild_jdd import JDDOutput

Picture = NDArray[np.float32]
LEVELS = (0, 5, 10, 20)
BORDER = 8  # pixels left out at each side, as borders are told apart by padding alone


def noisy_mosaic(clean: Picture, sigma: float, i: int) -> Picture:
    """The RGGB mosaic (H, W) of picture number i (H, W, 3), white at 1, with white noise of `sigma` (of 255).

    Neither clipped nor rounded; odd sizes lose their last row or column. Noise from `numpy.random.RandomState(i)`.

    >>> noisy_mosaic(np.ones((5, 6, 3), np.float32), 0, 0).shape
    (4, 6)
    """
    height, width = (n - n % 2 for n in clean.shape[:2])
    mosaic = clean[:height, :width, 1].copy()
    mosaic[0::2, 0::2] = clean[0:height:2, 0:width:2, 0]
    mosaic[1::2, 1::2] = clean[1:height:2, 1:width:2, 2]
    return add_gaussian(mosaic, sigma, i)


def picture_psnr(x_hat: Picture, clean: Picture) -> float:
    """RGB-PSNR in dB of (H, W, 3) with `BORDER` left out, over the even part of the clean picture."""
    height, width = x_hat.shape[:2]
    return psnr(x_hat, clean[:height, :width], border=BORDER)


@torch.inference_mode()
def jdd_psnr(net: Callable[..., JDDOutput], pictures: Iterable[Picture], level: float) -> NDArray[np.float64]:
    """PSNR in dB of each clean picture (H, W, 3) after its noisy mosaic went through the network."""
    found = []
    for i, clean in enumerate(pictures):
        y = torch.from_numpy(noisy_mosaic(clean, level, i))[None, None]
        found.append(picture_psnr(net(y).mean[0].permute(1, 2, 0).numpy(), clean))
    return np.array(found)


def measure(net: Callable[..., JDDOutput], name: str, every: int = 1) -> dict[str, float]:
    """Mean PSNR in dB by noise level (of 255) on a clean test set of `data.pairs`; `every` takes each n-th picture.

    Raises
    ------
    InputError : another set. MissingData : the set is not on this machine.
    """
    pictures = [clean for _, clean in islice(clean_set(name), 0, None, every)]
    return {str(level): round(float(np.mean(jdd_psnr(net, pictures, level))), 3) for level in LEVELS}
