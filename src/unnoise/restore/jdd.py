"""Method "jdd": a raw mosaic to a clean linear RGB picture in one pass of Wild-JDD, with a map of the noise.

The network is trained on display-referred photographs, so raw values go through the generalised Anscombe transform
first: it is close to the square root that displays expect, and makes the noise of light even. The as-shot white balance
then brings the colours to the heights they have in photographs; both are undone afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.raw import Raw, flips, pack
from unnoise.errors import InputError
from unnoise.noise.anscombe import anscombe, inverse_anscombe
from unnoise.noise.demosaick import demosaick
from unnoise.noise.demosaick import mosaic as bayer
from unnoise.noise.models import PoissonGaussian
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, tiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unnoise.noise.sensor import CameraNoise
    from unnoise.restore.choice import Choice

SHIPPED = "wild_jdd"
TILE = 512
LARGEST = 2048  # edge of the middle part of a mosaic that is learnt from
BRIGHT = 1.05  # above white by more than this in more than a hundredth of the values: white is wrong
DARK = -0.5


@dataclass(frozen=True, eq=False)
class Developed:
    """A clean picture from a mosaic and how it came about.

    Attributes
    ----------
    rgb : (H, W, 3) float32, linear camera colours without white balance, black at 0 and white at 1.
    std : standard deviation of the sensor's noise that was found at each place and colour, of the same shape and units;
        `None` unless asked for.
    choice, law, seconds : why, the law of the noise in units of white, and the time taken.
    """

    rgb: NDArray[np.float32]
    std: NDArray[np.float32] | None
    choice: Choice
    law: PoissonGaussian
    seconds: float


def restore_jdd(
    raw: Raw,
    *,
    sigma: float | None = None,
    camera: CameraNoise | str | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
    map: bool = False,
    weights: str | Path | WildJDD | None = None,
) -> Developed:
    """Demosaick and denoise in one pass.

    Parameters
    ----------
    sigma, camera, tile, device, progress : as for `restore.raw.restore_raw`; the law of the noise shapes the transform.
    strength : from 0, the linear interpolation of the input, to 1.
    map : also give the map of the noise.
    weights : a network or its file; what comes along by default.

    Raises
    ------
    InputError : a sensor without colours, or values far outside black to white.
    """
    from unnoise.restore.choice import Choice
    from unnoise.restore.raw import noise_law

    start = time.perf_counter()
    check(raw)
    law, why = noise_law(raw, sigma, camera)
    net = network(weights)
    rgb, std = demosaic_denoise(net, raw, law, tile or TILE, strength, device, progress, map)
    return Developed(rgb, std, Choice("jdd", why), law, time.perf_counter() - start)


def learnt_from(
    raws: Sequence[Raw],
    minutes: float,
    *,
    sigma: float | None = None,
    camera: CameraNoise | str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The options of "jdd" once it has learnt from these mosaics, each with its own law; of large ones the middle.

    The noise of each is known: it is what the transform made even.

    `options` are those of `restore.wild_jdd_adapt.adapt`, among them `progress`.
    """
    from unnoise.restore import METHODS
    from unnoise.restore.raw import noise_law

    if "sigmas" in options:
        raise InputError("the noise of a raw file is that of its law: give sigma or camera in place of sigmas")
    mosaics, sigmas = [], []
    for raw in raws:
        check(raw)
        law = noise_law(raw, sigma, camera)[0]
        whole = stabilised(raw, law)
        top, left = (max(0, (n - LARGEST) // 2) // 2 * 2 for n in whole.shape[1:])
        mosaics.append(whole[:, top : top + LARGEST, left : left + LARGEST].clone())
        sigmas.append(bayer(Curve(law, raw.gains).level.expand(-1, -1, *mosaics[-1].shape[1:]))[0])
    return METHODS["jdd"].adapted(mosaics, minutes, sigmas=sigmas, **options)


@torch.inference_mode()
def demosaic_denoise(
    net: WildJDD,
    raw: Raw,
    law: PoissonGaussian,
    tile: int = TILE,
    strength: float = 1.0,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
    map: bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """A clean RGB picture (H, W, 3) with white at 1, and the standard deviation of the noise in it or `None`.

    Any Bayer order: the mosaic is mirrored to RGGB and back. Tiles do not show. Raises as `restore_jdd`.
    """
    check(raw)
    curve = Curve(law, raw.gains)
    mosaic = stabilised(raw, law)[None]
    if device is not None:
        net, mosaic = net.to(device), mosaic.to(device)

    def keep(piece: Tensor) -> tuple[Tensor, ...]:
        out: JDDOutput | None = net(piece) if map else None
        picture = curve.inverse(net.mean(piece) if out is None else out.mean)
        if strength < 1:
            picture = torch.lerp(curve.straight(demosaick(piece, "bilinear")), picture, strength)
        picture = picture.clamp(0, 1)
        return (picture,) if out is None else (picture, out.variance().sqrt() * curve.slope(picture))

    maps = tiled(net, mosaic, tile, keep, net.reach if map else net.sight, progress)
    height, width = raw.mosaic.shape

    def as_picture(t: Tensor) -> NDArray[np.float32]:
        array = np.flip(t[0].permute(1, 2, 0).cpu().numpy(), flips(raw.pattern))[:height, :width]
        return np.ascontiguousarray(array, np.float32)

    return as_picture(maps[0]), as_picture(maps[1]) if map else None


def stabilised(raw: Raw, law: PoissonGaussian) -> Tensor:
    """The mosaic as the network takes it: in RGGB order, with noise that brightness does not change, `(1, H, W)`."""
    return F.pixel_shuffle(Curve(law, raw.gains)(pack(raw)), 2)[0]


def check(raw: Raw) -> None:
    """Raise `InputError` for what cannot be demosaicked."""
    if raw.pattern == "mono":
        raise InputError("a mosaic without colours cannot be demosaicked: denoise it with another method as kind raw")
    planes = pack(raw)
    if not bool(torch.isfinite(planes).all()):
        raise InputError("the mosaic holds values that are NaN or infinite: fill them first")
    share = float((planes > BRIGHT).float().mean())
    if share > 0.01 or float(planes.min()) < DARK:
        raise InputError(
            f"the mosaic reaches from {float(planes.min()):.2f} to {float(planes.max()):.2f} where 0 is black and 1 "
            "white: give its levels"
        )


class Curve:
    """The generalised Anscombe transform of a law, brought to [0, 1], then balanced; without photons it is linear.

    `level` is the deviation of the noise behind it, one a colour, `(1, 3, 1, 1)`.

    >>> curve = Curve(PoissonGaussian(0.01, 0.02), (2.0, 1.0, 1.5))
    >>> x = torch.tensor([0.0, 0.5, 1.0]).expand(1, 4, 1, 3)
    >>> curve(x)[0, :, 0, 2]
    tensor([1.0000, 0.7071, 0.7071, 0.8660])
    >>> bool(torch.allclose(curve.straight(curve(x)[:, [0, 1, 3]]), x[:, :3], atol=1e-6))
    True
    """

    def __init__(self, law: PoissonGaussian, gains: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        self.law = law
        low, high = anscombe(torch.tensor([0.0, 1.0], dtype=torch.float64), law.gain, law.read).tolist()
        self.low, self.span = low, high - low
        self.offset = 0.375 * law.gain**2 + law.read**2
        # at most 1, so that white stays within what the network knows; a gain of light is its root behind a root
        weights = (torch.tensor(gains) / max(gains)) ** (0.5 if law.gain > 0 else 1.0)
        self.weights = weights.view(1, 3, 1, 1)
        self.level = (self.weights / self.span).float()

    def __call__(self, packed: Tensor) -> Tensor:
        """Packed values `(1, 4, h, w)` in units of white to display-like ones."""
        z = (anscombe(packed, self.law.gain, self.law.read) - self.low) / self.span
        return z * self.weights[:, [0, 1, 1, 2]].to(z)

    def inverse(self, z: Tensor) -> Tensor:
        """The unbiased inverse for a clean picture `(1, 3, H, W)`."""
        return inverse_anscombe(self._transform(z), self.law.gain, self.law.read)

    def straight(self, z: Tensor) -> Tensor:
        """The algebraic inverse, for values that still have their noise."""
        z, gain, read = self._transform(z), self.law.gain, self.law.read
        return z * read if gain == 0 else ((z * (gain / 2)).square() - self.offset) / gain

    def slope(self, x: Tensor) -> Tensor:
        """By how much a linear picture x changes with its transform."""
        return self.span * (self.law.gain * x.clamp(min=0) + self.offset).sqrt() / self.weights.to(x)

    def _transform(self, z: Tensor) -> Tensor:
        return z / self.weights.to(z) * self.span + self.low


def network(weights: str | Path | WildJDD | None = None) -> WildJDD:
    """A trained Wild-JDD: the one that comes along, a file of `unnoise train wild_jdd`, or the network given.

    Raises
    ------
    InputError : a file of something else.
    """
    if isinstance(weights, WildJDD):
        return weights
    if weights is None:
        return _shipped()
    from unnoise.zoo.files import load_model

    found = load_model(weights)
    if not isinstance(found, WildJDD):
        raise InputError(f"{weights} holds a {type(found).__name__}, not a Wild-JDD of unnoise train wild_jdd")
    return found


@cache
def _shipped() -> WildJDD:
    return network(SHIPPED).requires_grad_(False)
