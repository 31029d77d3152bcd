"""Whatever picture comes to the door as a tensor view of its own type, and the result in what it came as."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.data.values import FLOAT_RANGE, full_scale
from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Pixels:
    """A picture, not copied.

    Attributes
    ----------
    tensor : (B, C, H, W) view in the picture's own type, alpha included.
    white : the value that means white.
    alpha : whether the last channel is alpha.
    back : turns a tensor like `tensor` into what came in.
    """

    tensor: Tensor
    white: float
    alpha: bool
    back: Callable[[Tensor], Any]

    @property
    def channels(self) -> int:
        """Without alpha."""
        return self.tensor.shape[1] - self.alpha

    def unit(self, part: tuple[slice, ...] = ()) -> Tensor:
        """A part (rows, columns) as float32 with white at 1, without alpha; a view where it is that already."""
        values = self.tensor[(slice(None), slice(self.channels), *part)]
        return values.to(torch.float32) if self.white == 1 else values.to(torch.float32).div_(self.white)


def pixels_of(x: Any, noise: float = 0.0) -> Pixels:
    """The picture in an array (H, W), (H, W, 1 | 3 | 4) or a tensor (C, H, W), (B, C, H, W) with 1 or 3 channels.

    Floats must lie in [-0.5, 1.5], and beyond it only as far as the tails of noise of level `noise` reach.

    Raises
    ------
    InputError : another type or shape, no pixels, a value that is not finite, a float out of range.
    """
    if isinstance(x, Tensor):
        pixels = _of_tensor(x.detach())
    elif isinstance(x, np.ndarray):
        pixels = _of_array(x)
    else:
        raise InputError(f"cannot denoise {type(x).__name__}: pass a NumPy array, a torch tensor or the path of a file")
    if pixels.tensor.numel() == 0:
        raise InputError(f"the picture of shape {tuple(x.shape)} has no pixels")
    if pixels.tensor.dtype.is_floating_point:
        _check_values(pixels.tensor, 6 * noise)
    return pixels


def _of_array(x: np.ndarray) -> Pixels:
    channels = x.shape[2] if x.ndim == 3 else 1
    if x.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise InputError(_wrong_shape(x.shape))
    white = full_scale(x.dtype.newbyteorder("="))
    if x.dtype == np.bool_:
        raise InputError("a picture of type bool has no noise level to remove: convert it to uint8 first")
    kind = x.dtype
    native = kind.newbyteorder("=")
    plain = x if kind == native and min(x.strides, default=0) >= 0 else np.ascontiguousarray(x, native)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # read-only memory: it is only read
        tensor = torch.from_numpy(plain)
    tensor = tensor[None] if x.ndim == 2 else tensor.permute(2, 0, 1)

    def back(result: Tensor) -> np.ndarray:
        image = result[0]
        array = (image[0] if x.ndim == 2 else image.permute(1, 2, 0)).cpu().numpy()
        return array.astype(kind, copy=False)

    return Pixels(tensor[None], white, channels == 4, back)


def _wrong_shape(shape: tuple[int, ...]) -> str:
    expected = "(H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA"
    if len(shape) == 3 and shape[2] == 2:
        return f"an array of shape {shape} has 2 channels, which no photo has: pass the gray channel alone"
    if len(shape) == 3 and shape[0] in (1, 3):
        return f"an array of shape {shape} looks like (C, H, W): transpose it to (H, W, C) first"
    if len(shape) == 4:
        return f"an array of shape {shape} looks like a batch: pass one picture {expected} at a time, or a torch tensor"
    cube = ": pass kind='cube' if these are bands" if len(shape) == 3 and min(shape) > 4 else ""
    return f"an array of shape {shape} is none of {expected}, the only layouts of kind='photo'{cube}"


def _of_tensor(x: Tensor) -> Pixels:
    if x.ndim not in (3, 4) or x.shape[-3] not in (1, 3):
        looks = ", it looks like (H, W, C): permute it first" if x.ndim in (3, 4) and x.shape[-1] in (1, 3) else ""
        raise InputError(
            f"a tensor of shape {tuple(x.shape)} is neither (C, H, W) nor (B, C, H, W) with 1 or 3 channels, "
            f"the layouts of kind='photo'{looks}"
        )
    whites = {torch.uint8: 255.0, torch.uint16: 65535.0}
    if not x.dtype.is_floating_point and x.dtype not in whites:
        name = str(x.dtype).removeprefix("torch.")
        raise InputError(f"pictures of type {name} are not supported: convert to uint8, uint16 or float32 in [0, 1]")
    white = whites.get(x.dtype, 1.0)
    return Pixels(x[None] if x.ndim == 3 else x, white, False, lambda result: result[0] if x.ndim == 3 else result)


def _check_values(y: Tensor, slack: float) -> None:
    """Finite and in the range of float photos; in blocks of rows, so that nothing of the picture's size is made."""
    rows = max(1, _CHUNK // (y.shape[1] * y.shape[3]))
    low, high = float("inf"), float("-inf")
    for sample in y:
        for start in range(0, sample.shape[1], rows):
            a, b = (float(v) for v in sample[:, start : start + rows].aminmax())
            if not (np.isfinite(a) and np.isfinite(b)):
                raise InputError(
                    "the picture holds values that are NaN or infinite: fill them first, for instance with "
                    "numpy.nan_to_num"
                )
            low, high = min(low, a), max(high, b)
    if low < FLOAT_RANGE[0] - slack or high > FLOAT_RANGE[1] + slack:
        raise InputError(
            f"the picture holds floats from {low:g} to {high:g}, but float photos are in [0, 1]: divide by the value "
            "that means white first"
        )


class InCounts(Denoiser):
    """A denoiser of floats in [0, 1] on data in the counts of a picture: `y + strength * (D(y) - y)`, alpha kept.

    Inside `Tiled` the conversions happen tile by tile, so a picture of integers never exists as floats.
    """

    def __init__(self, denoiser: Denoiser, pixels: Pixels, strength: float, device: torch.device | None) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.white, self.alpha, self.strength, self.device = pixels.white, pixels.alpha, strength, device
        self.card = replace(denoiser.card, channels=None, value_range=(0.0, pixels.white))

    @torch.no_grad()
    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y, of its dtype and on its device; sigma is for white at 1."""
        colours = y[:, :-1] if self.alpha else y
        u = colours.to(self.device or y.device, torch.float32) / self.white
        x_hat = self.denoiser(u, sigma).to(y.device)
        if self.strength != 1:
            x_hat = torch.lerp(u.to(y.device), x_hat, self.strength)
        if not y.dtype.is_floating_point:
            x_hat = (x_hat * self.white).round_().clamp_(0, self.white)
        x_hat = x_hat.to(y.dtype)
        return torch.cat([x_hat, y[:, -1:]], 1) if self.alpha else x_hat
