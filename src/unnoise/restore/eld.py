"""ELD: low-light raw denoising by a network trained on nothing but the physics of the sensor's noise.

Source: Wei et al. 2020, "A physics-based noise formation model for extreme low-light raw denoising", CVPR, arXiv
2003.12751, and its TPAMI version, arXiv 2108.02158; the network is that of Chen et al. 2018, "Learning to see in the
dark", raw in and raw out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.denoiser.base import Card, Denoiser, Sigma
from unnoise.errors import InputError
from unnoise.noise.seeds import Randomness
from unnoise.noise.sensor import CameraNoise

LEVELS = 4  # halvings of the resolution
LEAST_ROW = 16  # dark pixels from which the mean of a row says something


class UNetSID(nn.Module):
    """U-Net on packed raw `(B, in_channels, h, w)`, h and w multiples of 16: 7 760 484 parameters at width 32.

    Two 3 x 3 convolutions with leaky ReLU (0.2) a level, max pooling, transposed 2 x 2 convolutions, skips by
    concatenation, a last 1 x 1; no normalisation and no residual.

    >>> sum(p.numel() for p in UNetSID().parameters())
    7760484
    """

    def __init__(self, in_channels: int = 4, out_channels: int = 4, width: int = 32, levels: int = LEVELS) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(levels + 1)]
        self.down = nn.ModuleList(
            [_Twice(c_in, c) for c_in, c in zip([in_channels, *widths[:-1]], widths, strict=True)]
        )
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * c, c, 2, 2) for c in reversed(widths[:-1])])
        self.merge = nn.ModuleList([_Twice(2 * c, c) for c in reversed(widths[:-1])])
        self.last = nn.Conv2d(width, out_channels, 1)
        self.stride = 2**levels
        # two convolutions at every level down and up: 4 (1 + 2 + ... ) and 2 at the bottom; a pooled pixel is several
        self.reach = sum(4 * 2**i for i in range(levels)) + 2 * self.stride + self.stride - 1

    def forward(self, x: Tensor) -> Tensor:
        """Clean estimate, linear, not clipped."""
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        with torch.autocast(
            x.device.type, enabled=False
        ):  # in 16 bits, rounding the picture would be an error of its own
            return self.last(x.to(self.last.weight.dtype))


class _Twice(nn.Module):
    """Two 3 x 3 convolutions, each with leaky ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(c_in, c_out, 3, padding=1), nn.Conv2d(c_out, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class ELD(Denoiser):
    """Denoiser of packed raw that was amplified to the brightness of a full exposure; blind, any size.

    Parameters
    ----------
    channels : 4 for packed Bayer raw; width, levels : of `UNetSID`.
    clip_low : clip the input at 0 as the paper does; it biases the dark, but a network is used as it was trained.

    Sizes are mirrored up to multiples of 16 at the bottom and right. Output in [0, 1].

    >>> denoiser = ELD(width=4, levels=2).eval()
    >>> denoiser(torch.rand(1, 4, 10, 13)).shape
    torch.Size([1, 4, 10, 13])
    """

    def __init__(self, channels: int = 4, width: int = 32, levels: int = LEVELS, clip_low: bool = True) -> None:
        super().__init__()
        self.net = UNetSID(channels, channels, width, levels)
        self.channels, self.clip_low = channels, clip_low
        self.card = Card(kind="raw", channels=channels, reach=self.net.reach, stride=self.net.stride)

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y `(B, 4, h, w)`, black at 0 and white at 1; sigma is ignored."""
        if y.ndim != 4 or y.shape[1] != self.channels:
            raise InputError(f"this network takes packed raw (B, {self.channels}, h, w), got {tuple(y.shape)}: pack it")
        height, width = y.shape[2:]
        x = y.float().clamp(0 if self.clip_low else None, 1)
        bottom, right = -height % self.net.stride, -width % self.net.stride
        if bottom or right:
            mode = "reflect" if height > bottom and width > right else "replicate"
            x = F.pad(x, (0, right, 0, bottom), mode=mode)
        out = self.net(x)[..., :height, :width]
        # while learning, clipping would stop the gradient of what is too dark or too bright
        return (out if self.training else out.clamp(0, 1)).to(y.dtype)


def synthesise(
    clean: Tensor,
    camera: CameraNoise,
    generators: Randomness = None,
    model: str = "PTRCQ",
    ratio: tuple[float, float] = (100.0, 300.0),
    clip_low: bool = True,
) -> Tensor:
    """What `camera` would have made of clean packed raw (B, 4, h, w) in [0, 1], exposed too short and amplified.

    Every sample gets its own exposure: gain, levels and ratio are drawn once for it. Clipped at 1, and at 0 unless
    `clip_low` is false. Source: section 2.3 of the spec of the released code.

    >>> x = torch.rand(2, 4, 16, 16)
    >>> y = synthesise(x, CameraNoise.load("NikonD850"), torch.Generator().manual_seed(0))
    >>> y.shape == x.shape, bool(y.min() >= 0), bool(y.max() <= 1)
    (True, True, True)
    """
    sources = generators if isinstance(generators, list | tuple) else [generators] * len(clean)
    clip = (0.0 if clip_low else None, 1.0)
    return torch.cat(
        [camera.sample(g, model, ratio, clip).sample(x[None], g) for x, g in zip(clean, sources, strict=True)]
    )


def illumination_correct(pred: Tensor, gt: Tensor) -> Tensor:
    """`a * pred` with the scalar a that fits it to gt best where gt is not saturated; one a picture (C, h, w).

    Both papers evaluate after it: a ratio of exposures is never exact.

    >>> gt = torch.rand(4, 8, 8)
    >>> bool(torch.allclose(illumination_correct(0.7 * gt, gt), gt, atol=1e-6))
    True
    """
    pred = pred.clamp(0, 1)
    open_ended = gt != 1
    p, g = pred[open_ended].double(), gt[open_ended].double()
    energy = (p * p).sum()
    return pred if float(energy.detach()) == 0 else (pred * ((p * g).sum() / energy)).to(pred.dtype)


def banding(output: Tensor, truth: Tensor, below: float = math.inf) -> float:
    """Standard deviation of the means of sensor rows of `output - truth`, packed `(4, h, w)`: the rows one still sees.

    Only pixels whose truth lies `below` a value count, and rows that have `LEAST_ROW` of them; NaN without two such.
    """
    dark = truth.amax(0) < below
    counts = dark.sum(1)
    kept = counts >= min(LEAST_ROW, dark.shape[1])
    if int(kept.sum()) < 2:
        return math.nan
    error = (output - truth).unflatten(0, (2, 2)).mean(1)  # R with G1, G2 with B: the two sensor rows of a packed one
    means = ((error * dark).sum(2) / counts.clamp(min=1))[:, kept]
    return float(means.var(1).mean().sqrt())


def unprocess(rgb: Tensor) -> Tensor:
    """Packed raw `(B, 4, h, w)` of sRGB pictures `(B, 3, 2h, 2w)` in [0, 1]: linear by a power of 2.2, RGGB samples."""
    if rgb.shape[2] % 2 or rgb.shape[3] % 2:
        raise InputError(f"a picture of {rgb.shape[3]} x {rgb.shape[2]} cuts a Bayer cell: crop it to even sizes")
    x = rgb.clamp(0, 1) ** 2.2
    r, g, b = x.unbind(1)
    return torch.stack([r[:, ::2, ::2], g[:, ::2, 1::2], g[:, 1::2, ::2], b[:, 1::2, 1::2]], 1)
