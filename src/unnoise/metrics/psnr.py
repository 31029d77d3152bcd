"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from unnoise.metrics.arrays import samples

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 22  # values in float64 at a time


@overload
def psnr(
    x_hat: NDArray[Any] | Tensor,
    x: NDArray[Any] | Tensor,
    data_range: float = ...,
    clip: bool = ...,
    round_to_8bit: bool = ...,
    border: int = ...,
    per_sample: Literal[False] = ...,
) -> float: ...
@overload
def psnr(
    x_hat: NDArray[Any] | Tensor,
    x: NDArray[Any] | Tensor,
    data_range: float = ...,
    clip: bool = ...,
    round_to_8bit: bool = ...,
    border: int = ...,
    *,
    per_sample: Literal[True],
) -> NDArray[np.float64]: ...
def psnr(
    x_hat: NDArray[Any] | Tensor,
    x: NDArray[Any] | Tensor,
    data_range: float = 1.0,
    clip: bool = True,
    round_to_8bit: bool = False,
    border: int = 0,
    per_sample: bool = False,
) -> float | NDArray[np.float64]:
    """`10 log10(data_range**2 / mean((x_hat - x)**2))` in dB, infinite for equal pictures.

    Parameters
    ----------
    x_hat, x : estimate and truth of one shape: numpy (H, W) or (H, W, C), torch (C, H, W) or (B, C, H, W). The mean
        is over all channels (RGB-PSNR), accumulated in float64.
    data_range : the value that means white.
    clip : clip the estimate to [0, data_range], as every published protocol does.
    round_to_8bit : round the clipped estimate to multiples of `data_range / 255`, as DnCNN's demo does.
    border : pixels left out at each side.
    per_sample : an array with the value of each sample of a batch (first axis), whose mean is what papers print;
        otherwise one value, from the mean square error over everything.

    Raises
    ------
    InputError : shapes that differ, or a border that leaves nothing.

    Examples
    --------
    >>> round(psnr(np.full((8, 8), 0.6), np.full((8, 8), 0.5)), 6)
    20.0
    """
    values = [
        _decibel(_mean_square(a, b, data_range, clip, round_to_8bit), data_range)
        for a, b in samples(x_hat, x, per_sample, border)
    ]
    return np.array(values) if per_sample else values[0]


def _decibel(mean_square: float, data_range: float) -> float:
    return 10 * math.log10(data_range**2 / mean_square) if mean_square else math.inf


def _mean_square(x_hat: NDArray[Any], x: NDArray[Any], data_range: float, clip: bool, round_to_8bit: bool) -> float:
    longest = int(np.argmax(x.shape))
    parts = min(x.shape[longest], -(-x.size // CHUNK))
    total = 0.0
    for a, b in zip(np.array_split(x_hat, parts, longest), np.array_split(x, parts, longest), strict=True):
        estimate = a.astype(np.float64)
        if clip or round_to_8bit:
            np.clip(estimate, 0, data_range, out=estimate)
        if round_to_8bit:
            estimate = np.rint(estimate * (255 / data_range)) * (data_range / 255)
        estimate -= b
        total += float(np.vdot(estimate, estimate))
    return total / x.size
