"""How good low-light raw denoising is on the field's two sets: PSNR and SSIM as the papers report them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from statistics import fmean
from typing import NamedTuple

import torch

from unnoise.data.low_light import ELD_CAMERAS, ELD_SHOTS, SID_RATIOS, Exposures, eld_pairs, sid_pairs
from unnoise.denoiser import Denoiser
from unnoise.errors import unknown
from unnoise.metrics import psnr, ssim
from unnoise.restore.eld import illumination_correct

Pairs = Callable[[], Iterator[Exposures]]

SETS: dict[str, dict[int, Pairs]] = {
    "SID Sony": {r: partial(sid_pairs, r) for r in SID_RATIOS},
    **{f"ELD {camera}": {f: partial(eld_pairs, camera, f) for f in ELD_SHOTS} for camera in ELD_CAMERAS},
}
"""Name of a set -> ratio to its pairs."""


class Quality(NamedTuple):
    """Means over the pairs of a set: PSNR in dB and SSIM as they are, and after illumination correction."""

    psnr: float
    ssim: float
    psnr_fitted: float
    ssim_fitted: float


def pairs_of(name: str) -> dict[int, Pairs]:
    """Ratio to pairs of a set; raises `InputError` for another name."""
    if name not in SETS:
        raise unknown("low-light set", name, SETS)
    return SETS[name]


@torch.inference_mode()
def measure(denoise: Denoiser, pairs: Iterable[Exposures]) -> Quality:
    """Of a denoiser of packed raw, over all four channels with white at 1; SSIM with even windows of 7 x 7."""
    found = []
    for pair in pairs:
        x_hat, truth = denoise(pair.noisy[None])[0], pair.clean
        both = (x_hat, illumination_correct(x_hat, truth))
        found.append([m for x in both for m in (psnr(x, truth), ssim(x, truth, sigma=None))])
    return Quality(*(fmean(each) for each in zip(*found, strict=True)))
