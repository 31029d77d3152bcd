"""Which values a photograph may hold, and how its channels lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")


def split_alpha(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(H, W, 1..4) into pixels (H, W) or (H, W, 3) and alpha (H, W) or None."""
    if array.ndim == 2:
        return array, None
    channels = array.shape[2]
    alpha = np.ascontiguousarray(array[:, :, -1]) if channels in (2, 4) else None
    if channels <= 2:
        return np.ascontiguousarray(array[:, :, 0]), alpha
    return np.ascontiguousarray(array[:, :, :3]), alpha
