"""How good a network for cubes is on airborne cubes that it never saw: corners of them, in their own units."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.cube_sets import counts, synthetic_cube
from unnoise.denoiser import Denoiser
from unnoise.metrics.cube import mpsnr, sam
from unnoise.noise.cubes import GaussianSNR
from unnoise.noise.seeds import generator
from unnoise.restore.hyde.neural import Neural

Cube = NDArray[np.float32]
SIZE = (64, 64, 60)
SNR = 20.0
"""Rows, columns and bands of a corner, and its noise (dB): where HyDe's own networks were measured, too."""


def corner(name: str, size: tuple[int, int, int] = SIZE) -> Cube:
    """The first rows, columns and bands of a cube of `data.cube_sets.counts`, or of the "synthetic" one."""
    x = 1000 * synthetic_cube() if name == "synthetic" else counts(name)
    rows, columns, bands = size
    return np.ascontiguousarray(x[:rows, :columns, :bands], np.float32)


def noisy(x: Cube, snr: float = SNR, draw: int = 0) -> Tensor:
    """A cube (1, bands, H, W) with Gaussian noise."""
    cube = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]
    return GaussianSNR(snr).sample(cube, generator(draw))


def scores(net: Denoiser, x: Cube, snr: float = SNR, draw: int = 0) -> tuple[float, float, float, float]:
    """MPSNR (dB) of the noisy and of the clean cube, spectral angle (degrees) of both."""
    before = noisy(x, snr, draw)
    y, clean = (c[0].permute(1, 2, 0).numpy() for c in (before, net(before)))
    return mpsnr(y, x), mpsnr(clean, x), sam(y, x), sam(clean, x)


def measure(net: Neural, name: str) -> dict[str, float]:
    """What the card of weights tells of one cube."""
    names = ("noisy mpsnr", "mpsnr", "noisy sam", "sam")
    return {key: round(value, 2) for key, value in zip(names, scores(net, corner(name)), strict=True)}
