"""What corrupts data, as small frozen objects: `sample(x, generator) -> y` and, where it exists, `std(x)`.

`x` is clean data `(batch, channels, *spatial)`; y has its shape, dtype and device and is never clipped, except
where clipping is the corruption itself (impulses, JPEG). `generator` is one for the batch or a list of one a sample.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from unnoise.errors import InputError, unknown
from unnoise.noise.seeds import Randomness, normal_like, poisson_like, uniform_like


class NoiseModel(Protocol):
    """Anything that corrupts data."""

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """A noisy version of x."""
        ...


def _at_least_zero(name: str, value: float | Tensor) -> None:
    bad = not bool((value >= 0).all()) if isinstance(value, Tensor) else not value >= 0
    if bad:
        raise InputError(f"{name} must be >= 0, got {value}")


def _level(sigma: float | Tensor, x: Tensor) -> Tensor:
    """Sigma broadcast against x; 1-D means one a sample, as everywhere in the library."""
    s = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    if s.ndim == 1 and len(s) == x.shape[0]:
        s = s.reshape(-1, *(1,) * (x.ndim - 1))
    elif s.ndim not in (0, x.ndim):
        raise InputError(f"sigma of shape {tuple(s.shape)} does not fit data of shape {tuple(x.shape)}")
    return s


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent Gaussian noise of standard deviation `sigma`, in data units.

    `sigma` is a float, a 1-D tensor (one a sample), or a tensor of x's rank with broadcastable sizes: a level a
    channel `(1, C, 1, 1)`, a map `(1, 1, H, W)`.

    >>> y = Gaussian(0.1).sample(torch.zeros(1, 1, 100, 100), torch.Generator().manual_seed(0))
    >>> round(float(y.std()), 2)
    0.1
    """

    sigma: float | Tensor

    def __post_init__(self) -> None:
        _at_least_zero("sigma", self.sigma)

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x plus noise."""
        return x + _level(self.sigma, x) * normal_like(x, generator)

    def std(self, x: Tensor) -> Tensor:
        """Standard deviation at every element, of x's shape."""
        return _level(self.sigma, x).expand(x.shape)


@dataclass(frozen=True)
class PoissonGaussian:
    """Sensor noise on linear data: `y = gain * Poisson(x / gain) + read * n`, variance `gain * x + read**2`.

    `gain` is the data units one photon (electron) makes, `read` the standard deviation of the read-out noise in
    data units. Negative x counts as no light for the Poisson part. A gain of 0 leaves the Gaussian part.
    Source: Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting", eq. 1-3.
    """

    gain: float
    read: float = 0.0

    def __post_init__(self) -> None:
        _at_least_zero("gain", self.gain)
        _at_least_zero("read", self.read)

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """Noisy counts in the units of x."""
        y = x
        if self.gain > 0:
            y = self.gain * poisson_like(x.clamp(min=0) / self.gain, generator) + x.clamp(max=0)
        if self.read > 0:
            y = y + self.read * normal_like(x, generator)
        return y

    def std(self, x: Tensor) -> Tensor:
        """Standard deviation at every element, of x's shape."""
        return (self.gain * x.clamp(min=0) + self.read**2).sqrt()


@dataclass(frozen=True)
class Poisson(PoissonGaussian):
    """Photon noise alone: variance `gain * x`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gain > 0:
            raise InputError("gain must be > 0: it is the data units that one photon makes")


@dataclass(frozen=True)
class Impulse:
    """A share of the values replaced: by 0 or 1 with equal chance ("salt_pepper"), or uniformly ("random").

    Every channel is hit independently; values live in [0, 1].
    """

    share: float
    kind: str = "salt_pepper"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"share must be between 0 and 1, got {self.share:g}")
        if self.kind not in ("salt_pepper", "random"):
            raise unknown("impulse kind", self.kind, ("salt_pepper", "random"))

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x with impulses."""
        hit = uniform_like(x, generator) < self.share
        value = uniform_like(x, generator)
        return torch.where(hit, value.round() if self.kind == "salt_pepper" else value, x)


@dataclass(frozen=True, eq=False)
class Correlated:
    """Spatially correlated Gaussian noise: white noise through a kernel, with standard deviation exactly `sigma`.

    The kernel is a Gaussian of standard deviation `width` pixels, or `kernel` `(height, width)`, of any scale
    (it is brought to unit energy). Pixels at the border have the same law as the others. Channels are
    independent; spatial data is 2-D.

    >>> noise = Correlated(0.1, width=0.8)
    >>> [round(float(noise.correlation(0, lag)), 2) for lag in range(3)]
    [1.0, 0.67, 0.21]
    """

    sigma: float | Tensor
    width: float = 1.0
    kernel: Tensor | None = None

    def __post_init__(self) -> None:
        _at_least_zero("sigma", self.sigma)
        if self.kernel is None and not self.width > 0:
            raise InputError(f"width must be > 0 pixels, got {self.width:g}")
        if self.kernel is not None and (self.kernel.ndim != 2 or not bool((self.kernel != 0).any())):
            raise InputError("kernel must be a 2-D tensor that is not all zero")

    def unit_kernel(self) -> Tensor:
        """The kernel with its squares summing to one, float64."""
        if self.kernel is not None:
            k = self.kernel.double()
        else:
            radius = math.ceil(4 * self.width)
            line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / self.width) ** 2)
            k = line[:, None] * line
        return k / k.square().sum().sqrt()

    def correlation(self, dy: int, dx: int) -> Tensor:
        """Exact autocorrelation at an offset in pixels."""
        k = self.unit_kernel()
        h, w = k.shape
        dy, dx = (dy, dx) if dy >= 0 else (-dy, -dx)
        left, right = max(0, dx), max(0, -dx)
        return (k[dy:, left : w - right] * k[: max(0, h - dy), right : w - left]).sum()

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x plus noise."""
        k = self.unit_kernel().to(x)
        h, w = k.shape
        b, c, height, width = x.shape
        white = normal_like(x.new_empty(b, c, height + h - 1, width + w - 1), generator)
        noise = F.conv2d(white.reshape(b * c, 1, *white.shape[2:]), k[None, None])
        return x + _level(self.sigma, x) * noise.reshape(x.shape)

    def std(self, x: Tensor) -> Tensor:
        """Standard deviation at every element, of x's shape."""
        return _level(self.sigma, x).expand(x.shape)


SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True)
class Jpeg:
    """A trip through an 8-bit JPEG file (libjpeg, in memory); data `(B, 1 or 3, H, W)` in [0, 1].

    `quality` is 1 to 100, one for all or one a sample; `subsampling` of the chroma "4:4:4", "4:2:2" or "4:2:0".
    """

    quality: int | Sequence[int]
    subsampling: str = "4:2:0"

    def __post_init__(self) -> None:
        qualities = self.quality if isinstance(self.quality, Sequence) else [self.quality]
        if not all(1 <= q <= 100 for q in qualities):
            raise InputError(f"JPEG quality must be between 1 and 100, got {self.quality}")
        if self.subsampling not in SUBSAMPLING:
            raise unknown("chroma subsampling", self.subsampling, SUBSAMPLING)

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """x as it comes back from the file; draws nothing at random."""
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise InputError(f"JPEG takes gray or RGB pictures (B, 1 or 3, H, W), got shape {tuple(x.shape)}")
        qualities = self.quality if isinstance(self.quality, Sequence) else [self.quality] * len(x)
        eight_bit = (x.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu()
        back = torch.stack([jpeg_round_trip(p, q, self.subsampling) for p, q in zip(eight_bit, qualities, strict=True)])
        return (back.permute(0, 3, 1, 2).to(x.device, x.dtype) / 255).contiguous()


def jpeg_round_trip(pixels: Tensor, quality: int, subsampling: str) -> Tensor:
    """8-bit pixels (H, W, 1 or 3) encoded and decoded again."""
    import numpy as np
    from PIL import Image

    array = pixels.numpy()
    file = io.BytesIO()
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    picture.save(file, "JPEG", quality=int(quality), subsampling=SUBSAMPLING[subsampling])
    with Image.open(file) as decoded:
        return torch.from_numpy(np.array(decoded)).reshape(pixels.shape)
