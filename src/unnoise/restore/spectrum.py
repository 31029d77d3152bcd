"""What the noise of one picture looks like in the DCT of small windows: its level, colour, and how sure we are.

Noise lies evenly over a picture and is all there is in its flattest windows; texture does not and is not. So the
standard deviation of every coefficient over the flattest windows is the noise's spectrum, and how fast the energy
of windows grows from the flattest on tells noise from texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.restore.classical_dct import dct_matrix, decorrelate

N = 8  # edge of a window
_CROP, _GRID = 256, 4  # of a large picture, 4 x 4 crops are looked at
_EVERY = 3  # pixels between windows
_FEWEST = 200  # windows, for a statement


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Noise in the windows of a picture; levels are standard deviations in data units.

    Attributes
    ----------
    flat : of luminance in the flattest twentieth of the windows.
    growth : windows at the first quartile of energy against those: near 1.2 for noise alone, above 2 for texture.
    fine, coarse : of luminance in the finest (both frequencies above half) and coarsest coefficients of flat windows;
        equal for white noise, fine well below coarse for texture and for the noise of developed camera pictures.
    fine_growth : windows at the median of energy in the finest coefficients against the least twentieth: 1.2 to 1.5
        for white noise, which is as strong on texture as elsewhere, near 2 and above for texture.
    luminance, colour : over all coefficients but the mean, in flat windows; colour is 0 for gray.
    white : (C,), of the channels from their finest coefficients where those are weakest, which for white noise is its
        level.
    shape : (C, N * N), of every coefficient after `decorrelate`.
    share : of the windows that are not clipped, and so could be used.
    """

    flat: float
    growth: float
    fine: float
    coarse: float
    fine_growth: float
    luminance: float
    colour: float
    white: Tensor
    shape: Tensor
    share: float


def crops(y: Tensor) -> list[Tensor]:
    """Parts of y (B, C, H, W) to measure on: the first picture whole, or evenly spaced crops if it is large.

    >>> [part.shape[2:].numel() for part in crops(torch.zeros(1, 1, 100, 90))]
    [9000]
    >>> len(crops(torch.zeros(1, 1, 2000, 3000)))
    16
    """
    first = y[:1]
    edge = _CROP * _GRID
    height, width = first.shape[2:]
    if height * width <= edge**2:
        return [first]
    rows = _starts(height)
    return [first[:, :, i : i + _CROP, j : j + _CROP] for i in rows for j in _starts(width)]


def _starts(size: int) -> list[int]:
    if size <= _CROP:
        return [0]
    count = min(_GRID, -(-size // _CROP))
    return [round(k * (size - _CROP) / max(count - 1, 1)) for k in range(count)]


def noise_spectrum(y: Tensor) -> Spectrum | None:
    """Measure y (B, C, H, W), by its first picture; `None` where it is too small, blank or clipped to say anything.

    >>> y = 0.5 + 0.1 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    >>> s = noise_spectrum(y)
    >>> abs(float(s.white) - 0.1) < 0.005, abs(s.fine / s.coarse - 1) < 0.1
    (True, True)
    """
    parts = [part for part in crops(y) if min(part.shape[2:]) >= N]
    if not parts:
        return None
    c, usable = (torch.cat(found, -1) for found in zip(*map(_windows, parts), strict=True))
    share = float(usable.float().mean())
    if share > 0.02:  # else most of the picture is clipped noise, and all of it is better than none
        c = c[..., usable]
    if c.shape[-1] < _FEWEST:
        return None
    frequency = torch.arange(N)
    high = (frequency[:, None] >= N // 2) & (frequency >= N // 2)
    total = frequency[:, None] + frequency
    high, low = high.flatten(), ((total > 0) & (total <= N // 2)).flatten()

    energy = c[0, 1:].square().mean(0).sqrt()
    flat, quartile = _quantiles(energy, 0.05, 0.25)
    if flat < 1e-6:  # blank, or flattened by compression
        return None
    even = _spread(c[..., energy <= 1.6 * flat])
    least, middle = _quantiles(c[:, high].square().mean((0, 1)).sqrt(), 0.05, 0.5)
    # windows chosen by what is not measured: choosing by all would prefer those where the noise happens to be weak
    smooth = c[:, low].square().sum((0, 1))
    fine = c[..., smooth <= _thin(smooth).median()][:, high]
    white = _spread(torch.einsum("ij,ikw->jkw", dct_matrix(3), fine) if len(c) == 3 else fine).square().mean(1).sqrt()
    # of white noise alone, the least twentieth of windows has this share of the level (chi distribution, by the cube
    # root of Wilson and Hilferty 1931); where it has less than the windows looked at, those hold texture
    freedom = 4.5 * len(c) * int(high.sum())
    share_of_level = (1 - 1 / freedom - 1.645 / freedom**0.5) ** 1.5
    white = white * min(1.0, least / share_of_level / max(_rms(white), 1e-9))
    return Spectrum(
        flat=flat,
        growth=quartile / flat,
        fine=_rms(even[0, high]),
        coarse=_rms(even[0, low]),
        fine_growth=middle / max(least, 1e-9),
        luminance=_rms(even[0, 1:]),
        colour=_rms(even[1:, 1:]) if len(even) == 3 else 0.0,
        white=white,
        shape=even,
        share=share,
    )


def _windows(y: Tensor) -> tuple[Tensor, Tensor]:
    """DCT of every third window, (C, N * N, windows), and which of them are not clipped."""
    d = dct_matrix(N)
    y = y.to("cpu", torch.float32)
    c = torch.kron(d, d) @ F.unfold(decorrelate(y), N, stride=_EVERY).view(y.shape[1], N * N, -1)
    if bool(((y < 0) | (y > 1)).any()):
        return c, torch.ones(c.shape[-1], dtype=torch.bool)  # values outside [0, 1]: nothing was clipped
    clipped = ((y <= 0) | (y >= 1)).any(1, keepdim=True).float()
    return c, F.unfold(clipped, N, stride=_EVERY).sum(1)[0] == 0


def _spread(c: Tensor) -> Tensor:
    """Robust standard deviation over the last axis."""
    return c.abs().median(-1).values / 0.6745


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def _quantiles(x: Tensor, *at: float) -> list[float]:
    return torch.quantile(_thin(x), torch.tensor(at)).tolist()


def _thin(x: Tensor) -> Tensor:
    """At most about a hundred thousand values; quantiles need no more and torch takes no more than 16 million."""
    return x[:: max(1, len(x) // 100_000)]
