"""What noise is in a picture, measured from the picture alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.blocking import jpeg_grid, jpeg_phase
from unnoise.noise.estimate import NORMAL_MAD, block_correlation, fit_line, mad_sigma, noise_curve, patch_level
from unnoise.noise.flat import Blocks, as_blocks, cut
from unnoise.noise.impulses import impulse_mask
from unnoise.noise.wavelets import dwt2

LAGS = 4
BLOCK = 16
WINDOW, WINDOWS = 256, 12  # what is looked at of a large picture: 0.8 megapixels
CLEAN_WHITE, CLEAN_CORRELATED = 2.4 / 255, 1.6 / 255  # levels below which noise cannot be told from fine texture
CORRELATED = 0.25  # correlation of neighbours from which noise is called correlated
IMPULSES = 0.002  # share of impulses from which they are a noise of their own
GRID = 0.08  # strength from which a JPEG grid is certain


@dataclass(frozen=True)
class NoiseProfile:
    """The noise of one picture; levels in units of the picture (white is 1).

    Attributes
    ----------
    sigma : standard deviation of the noise, one a channel. floor : the same where the picture is flattest.
    white : the part that is independent from pixel to pixel, one a channel; below sigma when noise is correlated.
    gain, read : variance is about `gain * value + read**2`; on display-referred pictures a description, not physics.
    correlation_x, correlation_y : autocorrelation at 1, 2, ... pixels, mean over channels.
    impulse_share : share of values replaced by impulses.
    jpeg : strength of the 8 x 8 grid. jpeg_phase : row and column where its blocks start.
    size : height and width of the picture.
    """

    sigma: tuple[float, ...]
    floor: tuple[float, ...]
    white: tuple[float, ...]
    gain: float
    read: float
    correlation_x: tuple[float, ...]
    correlation_y: tuple[float, ...]
    impulse_share: float
    jpeg: float
    jpeg_phase: tuple[int, int]
    size: tuple[int, int]

    @property
    def level(self) -> float:
        """One noise level for the whole picture: root mean square over channels."""
        return (sum(s * s for s in self.sigma) / len(self.sigma)) ** 0.5

    @property
    def correlated(self) -> bool:
        """True when neighbouring pixels share their noise."""
        return max(self.correlation_x[0], self.correlation_y[0]) > CORRELATED

    @property
    def clean(self) -> bool:
        """True when no noise was found that can be told from fine texture."""
        least = CLEAN_CORRELATED if self.correlated else CLEAN_WHITE
        return self.level < least and self.impulse_share < IMPULSES

    def describe(self) -> str:
        """A few plain words."""
        if self.clean:
            words = [f"clean (noise level under {max(self.level * 255, 0.1):.1f}/255)"]
        else:
            words = [f"noise level {self.level * 255:.1f}/255"]
            if len(self.sigma) == 3:
                words[0] += " (" + ", ".join(f"{n} {s * 255:.1f}" for n, s in zip("RGB", self.sigma, strict=True)) + ")"
            rise = self.gain / max(self.gain + 2 * self.read**2, 1e-12)
            if rise > 0.5:
                words.append("grows with brightness")
            if self.correlated:
                lag = max(self.correlation_x[0], self.correlation_y[0])
                words.append(f"spatially correlated ({lag:.2f} at 1 px)")
        if self.impulse_share >= IMPULSES:
            words.append(f"{self.impulse_share:.1%} impulses")
        if self.jpeg >= GRID:
            words.append("JPEG grid")
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """The profile as plain JSON types, with `level`, `correlated` and `clean`."""
        return {"level": self.level, "correlated": self.correlated, "clean": self.clean, **asdict(self)}


def analyse(y: Tensor) -> NoiseProfile:
    """Measure the noise of one picture.

    Parameters
    ----------
    y : `(C, H, W)` or `(1, C, H, W)`, values in [0, 1], any size. Of pictures above 0.8 megapixels, 12 windows of
        256 x 256 pixels at full resolution are looked at, always the same ones.

    Returns
    -------
    NoiseProfile; all numbers are finite.

    Notes
    -----
    Two levels are measured in every channel. `white`: the lower of the wavelet MAD and of the patch covariance in flat
    places; right for noise that is independent from pixel to pixel, too low for correlated noise. `flat`: the
    deviation of flat 16 x 16 blocks from a plane, over groups of brightness; right for both, too high where nothing is
    flat. When they are close the noise is white and `white` is the answer; when `flat` is far above, `flat` is.

    Examples
    --------
    >>> y = 0.5 + 0.05 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> round(analyse(y).level, 2)
    0.05
    """
    y = y[None] if y.ndim == 3 else y
    if y.ndim != 4 or y.shape[0] != 1 or 0 in y.shape:
        raise InputError(f"analyse takes one picture (C, H, W) or (1, C, H, W), got shape {tuple(y.shape)}")
    size = (y.shape[2], y.shape[3])
    windows = torch.nan_to_num(_windows(y).float())
    impulses = impulse_mask(windows[: max(1, len(windows) // 4)])
    share = float(impulses.double().mean())
    if min(windows.shape[2:]) < BLOCK:
        few = tuple(mad_sigma(windows)[0].tolist())
        zero = (0.0,) * LAGS
        return NoiseProfile(few, few, few, 0.0, max(few), zero, zero, share, 0.0, (0, 0), size)

    fine = cut(windows, 8)
    curve = noise_curve(fine)
    white, flat, floor, correlation = _levels(windows, fine, curve)
    # the two levels of white noise agree; between ratios 1.8 and 2.6 the answer slides from one to the other
    ratio = (flat / white.clamp(min=1e-5)).median()
    weight = ((ratio.log() - 0.588) / (0.956 - 0.588)).clamp(0, 1)
    sigma = _between(white, flat, weight)
    # texture raises `white` and so delays the slide; the flattest place bounds correlated noise from below
    correlated = (2 * weight).clamp(max=1)
    sigma = torch.maximum(sigma, _between(white, floor, correlated))
    line = fit_line(*curve)
    scale = float((sigma / white.clamp(min=1e-5)).median())
    return NoiseProfile(
        sigma=tuple(sigma.tolist()),
        floor=tuple(floor.tolist()),
        white=tuple(white.tolist()),
        gain=line.gain * scale**2,
        read=line.read * scale,
        correlation_x=tuple((correlated * correlation[:, 0].mean(0)).tolist()),
        correlation_y=tuple((correlated * correlation[:, 1].mean(0)).tolist()),
        impulse_share=share,
        jpeg=jpeg_grid(windows),
        jpeg_phase=jpeg_phase(windows),
        size=size,
    )


def _windows(y: Tensor) -> Tensor:
    """The whole of a small picture `(1, C, H, W)`, or windows of a large one on a regular grid, `(N, C, 256, 256)`.

    Window corners lie on multiples of 8, so that a JPEG grid keeps its phase.
    """
    _, _, h, w = y.shape
    if h * w <= WINDOW * WINDOW * WINDOWS or min(h, w) < WINDOW:
        side = WINDOW * WINDOW * WINDOWS // min(h, w)
        return y[..., :side] if w > h else y[..., :side, :]
    columns = max(1, min(WINDOWS, round((WINDOWS * w / h) ** 0.5)))
    rows = max(1, WINDOWS // columns)
    tops = [int((h - WINDOW) * (i + 0.5) / rows) // 8 * 8 for i in range(rows)]
    lefts = [int((w - WINDOW) * (j + 0.5) / columns) // 8 * 8 for j in range(columns)]
    return torch.cat([y[..., i : i + WINDOW, j : j + WINDOW] for i in tops for j in lefts])


def _rise(brightness: Tensor, here: Tensor, *curve: Tensor) -> Tensor:
    """How much larger noise is in the whole of one channel than in the blocks `here`, by their brightness."""
    line = fit_line(*curve)
    ratio = line.std(brightness).square().mean() / line.std(brightness[here]).square().mean().clamp(min=1e-12)
    return ratio.sqrt().clamp(0.5, 4)


def _between(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """The geometric mean with these weights."""
    return a.clamp(min=1e-9) ** (1 - weight) * b.clamp(min=1e-9) ** weight


def _quantile(x: Tensor, blocks: Blocks, q: float) -> Tensor:
    """Over the whole blocks, a channel at a time; `x` is `(C, n)`."""
    return x[:, blocks.whole].quantile(q, dim=1)


def _trust(fine: Blocks) -> float:
    """How far the noise of the flattest place bounds that of the picture, as a factor of the variance, 1 to 4.

    Noise lies evenly over a picture, texture does not: measured against ground truth, the median block of camera
    photographs has 1.4 to 2.7 times the deviation of the flattest twentieth, that of clean pictures 1.9 to 15 times.
    """
    deviation = fine.variance.mean(0, keepdim=True).sqrt()
    spread = _quantile(deviation, fine, 0.5) / _quantile(deviation, fine, 0.05).clamp(min=1e-5)
    return 1 + 3 * float(((4 - spread) / (4 - 2.7)).clamp(0, 1))


def _levels(windows: Tensor, fine: Blocks, curve: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """White level, flat level and floor `(C,)`, and correlation `(C, 2, LAGS)`."""
    blocks = cut(windows, BLOCK)
    groups = blocks.flattest(0.1, bins=6)
    flat = torch.stack([blocks.variance[:, g].median(1).values for g in groups])
    [flattest] = blocks.flattest(0.05, least=8)
    floor = blocks.variance[:, flattest].median(1).values
    # noise levels of one picture seldom differ by more than these factors; beyond them, blocks are texture
    total = torch.minimum(flat, 2.5 * flat.median(0).values).mean(0)
    total = torch.minimum(total, torch.minimum(3 * floor, _trust(fine) * _quantile(blocks.variance, blocks, 0.01)))

    [places] = fine.flattest(0.2, least=32)
    patch = torch.stack([patch_level(p[:20_000]) for p in fine.pixels[:, places]])
    patch = patch * torch.stack([_rise(fine.mean[c], places, *(t[c] for t in curve)) for c in range(len(patch))])
    height, width = (size // BLOCK * BLOCK for size in windows.shape[2:])  # as many details as there are blocks
    details = as_blocks(dwt2(windows[..., :height, :width], "db2", 1)[1][:, :, 2], BLOCK // 2)[:, blocks.whole]
    mad = details.flatten(1).abs().median(1).values / NORMAL_MAD
    white = torch.minimum(mad, patch)
    return white, total.sqrt(), floor.sqrt(), block_correlation(blocks, flattest, LAGS)
