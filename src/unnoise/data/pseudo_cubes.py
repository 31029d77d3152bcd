"""Cubes made of photographs: pictures as shares of materials, each material with a smooth random spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unnoise.data.crops import Crops


def pseudo_cubes(
    photographs: Crops,
    k: int,
    size: int,
    crop: int,
    bands: int,
    g: torch.Generator,
    *,
    materials: tuple[int, int] = (4, 8),
    length: tuple[float, float] = (3.0, 10.0),
    seed: int = 0,
) -> Tensor:
    """Clean cubes (size, bands, crop, crop) >= 0 of step k, each band and cube of a brightness of its own.

    Gray photographs, as many as there are `materials`, become shares through a softmax of random sharpness or by
    clipping. A spectrum is the logistic function of a Gaussian process over bands whose correlation length is drawn
    log-uniformly from `length`. One more photograph shades the scene. Consecutive bands of a longer spectrum have the
    same distribution as a spectrum of so many bands, so no more than `bands` are made.

    >>> import numpy as np
    >>> photographs = Crops([np.arange(4096, dtype=np.uint8).reshape(64, 64, 1)])
    >>> pseudo_cubes(photographs, 0, 2, 16, 10, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 10, 16, 16])
    """
    most = materials[1]
    pictures = photographs.batch(k, size * (most + 1), crop, seed).reshape(size, most + 1, crop, crop)
    pictures, light = pictures[:, :most], pictures[:, most:]
    count = torch.randint(materials[0], most + 1, (size, 1), generator=g)
    used = (torch.arange(most) < count)[:, :, None, None]
    sharp = 1 + 9 * torch.rand(size, 1, 1, 1, generator=g)
    soft = (sharp * pictures).masked_fill(~used, -torch.inf).softmax(1)
    clipped = used * (pictures - 0.3 * torch.rand(size, most, 1, 1, generator=g)).clamp(min=0)
    shares = torch.where(torch.rand(size, 1, 1, 1, generator=g) < 0.5, soft, clipped)
    cubes = torch.einsum("nmhw,nmb->nbhw", shares, spectra(size * most, bands, length, g).reshape(size, most, bands))
    shade = 0.7 * torch.rand(size, 1, 1, 1, generator=g)
    return cubes * (1 - shade + shade * light)


def spectra(n: int, bands: int, length: tuple[float, float], g: torch.Generator) -> Tensor:
    """Smooth random spectra (n, bands) in (0, 1), of a correlation length from `length` (in bands) each."""
    low, high = (torch.tensor(x, dtype=torch.float64).log() for x in length)
    drawn = (low + (high - low) * torch.rand(n, 1, 1, generator=g, dtype=torch.float64)).exp()
    at = torch.arange(bands, dtype=torch.float64)
    covariance = torch.exp(-((at[:, None] - at) ** 2) / (2 * drawn**2)) + 1e-6 * torch.eye(bands, dtype=torch.float64)
    normal = torch.randn(n, bands, 1, generator=g, dtype=torch.float64)
    process = (torch.linalg.cholesky(covariance) @ normal)[..., 0]
    offset = torch.randn(n, 1, generator=g, dtype=torch.float64)
    return torch.sigmoid(process + offset).float()


def jitter(
    cubes: Tensor, g: torch.Generator, *, degrees: float = 180.0, shear: float = 20.0, bend: float = 0.2
) -> Tensor:
    """Cubes (B, bands, H, W) flipped, turned, sheared, zoomed and seen at an angle; borders are mirrored.

    Each cube takes its own random part of these, or none of them. Shapes on the ground are not those seen from the air:
    what remains after this is noise against structure of any shape, which is what is to be learnt.
    """
    n = len(cubes)

    def some(chance: float) -> Tensor:
        return (torch.rand(n, generator=g) < chance).float()

    def even(extent: float) -> Tensor:
        return extent * (2 * torch.rand(n, generator=g) - 1)

    turn = torch.deg2rad(some(0.5) * even(degrees))
    slant = torch.tan(torch.deg2rad(some(0.5) * even(shear)))
    zoom = torch.exp(-some(0.5) * torch.rand(n, generator=g) * 0.7)  # at most twice as near
    flip = 1 - 2 * some(0.5)
    c, s, zero, one = turn.cos(), turn.sin(), torch.zeros(n), torch.ones(n)
    rotation = _matrices([c, -s, zero, s, c, zero, zero, zero, one])
    shape = _matrices([zoom * flip, slant * zoom, zero, zero, zoom, zero, zero, zero, one])
    angle = some(0.5)
    tilt = _matrices([one, zero, zero, zero, one, zero, angle * even(bend), angle * even(bend), one])
    height, width = cubes.shape[2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    mapped = rotation @ shape @ tilt @ points
    grid = (mapped[:, :2] / mapped[:, 2:]).transpose(1, 2).reshape(n, height, width, 2)
    warped = F.grid_sample(cubes, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    return torch.where(some(0.8)[:, None, None, None] > 0, warped, cubes)


def _matrices(entries: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(entries), 1).reshape(-1, 3, 3)
