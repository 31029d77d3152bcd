"""From the counts a file stores to floats in [0, 1] and back, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unnoise.errors import InputError

FLOAT_RANGE = (-0.5, 1.5)  # a float photo is nominally in [0, 1]; noise and ringing may leave it by half
CHUNK = 1 << 18  # values handled at a time: a scratch that stays in the cache


def full_scale(dtype: DTypeLike) -> float:
    """The value that means white: 255, 65535, and 1 for floats and bool; `InputError` for other types.

    >>> full_scale("uint16")
    65535.0
    """
    kind = np.dtype(dtype)
    if kind == np.uint8 or kind == np.uint16:
        return float(np.iinfo(kind).max)
    if kind == np.bool_ or kind.kind == "f":
        return 1.0
    raise InputError(f"pictures of type {kind} are not supported: convert to uint8, uint16 or float32 in [0, 1]")


def to_unit(array: NDArray[Any], name: str = "the picture") -> NDArray[np.float32]:
    """Values as float32 with white at 1.

    Parameters
    ----------
    array : any shape; uint8 and uint16 are divided by their full scale, bool becomes 0 and 1, floats are kept
        (a float32 array comes back as it is, not copied).
    name : what the error calls it.

    Raises
    ------
    InputError : another type, a value that is not finite, or a float outside [-0.5, 1.5], whose range is unknown.

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    scale = full_scale(array.dtype)
    if array.dtype.kind != "f":
        return np.divide(array, np.float32(scale), dtype=np.float32)
    check_finite(array, name)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if low < FLOAT_RANGE[0] or high > FLOAT_RANGE[1]:
        raise InputError(
            f"{name} holds floats from {low:g} to {high:g}, but float photos are in [0, 1]: "
            "divide by the value that means white first"
        )
    return array.astype(np.float32, copy=False)


def from_unit(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Inverse of `to_unit`: clipped and rounded to the nearest count for integers, kept as they are for floats.

    >>> from_unit(np.array([-0.1, 0.2, 1.3], np.float32), np.uint8)
    array([  0,  51, 255], dtype=uint8)
    """
    kind = np.dtype(dtype)
    scale = full_scale(kind)
    if kind.kind == "f":
        return array.astype(kind, copy=False)
    if kind == np.bool_:
        return array >= 0.5
    out = np.empty(array.shape, kind)
    source, target = np.ascontiguousarray(array).reshape(-1), out.reshape(-1)
    for start in range(0, source.size, CHUNK):
        part = source[start : start + CHUNK] * np.float32(scale)
        np.rint(part, out=part)
        np.clip(part, 0, scale, out=part)
        target[start : start + CHUNK] = part
    return out


def check_finite(array: NDArray[Any], name: str = "the picture") -> None:
    """Raise `InputError` naming how many values of a float array are NaN or infinite."""
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)  # a view for contiguous arrays, which is what the readers return
    bad = sum(int(np.count_nonzero(~np.isfinite(flat[start : start + CHUNK]))) for start in range(0, flat.size, CHUNK))
    if bad:
        raise InputError(
            f"{name} holds {bad} of {array.size} values that are NaN or infinite: "
            "fill them first, for instance with numpy.nan_to_num"
        )
