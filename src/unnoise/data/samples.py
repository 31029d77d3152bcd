"""Photographs that come with scikit-image, so that examples and tests run anywhere, without a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from unnoise.data.values import to_unit
from unnoise.errors import unknown

SAMPLES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""Names of pictures inside the wheel of scikit-image; each function in `skimage.data` states its source."""


def sample_photo(name: str) -> NDArray[np.float32]:
    """A sample picture, float32 in [0, 1], (H, W) or (H, W, 3).

    Raises
    ------
    InputError : the name is not in `SAMPLES`.

    Examples
    --------
    >>> sample_photo("chelsea").shape, sample_photo("camera").shape
    ((300, 451, 3), (512, 512))
    """
    if name not in SAMPLES:
        raise unknown("sample", name, SAMPLES)
    from skimage import data

    load: Callable[[], NDArray[np.uint8]] = getattr(data, name)
    return to_unit(load())
