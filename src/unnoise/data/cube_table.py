"""Cubes kept as a table of pixels by bands, as unmixing data sets are, with the picture's sides beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (("nrow", "ncol"), ("nrows", "ncols"), ("rows", "cols"), ("lines", "cols"), ("lines", "samples"), ("h", "w"))
"""Names under which the sides of the picture go, in small letters."""


def picture_size(variables: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns that a file names, or `None`.

    >>> picture_size({"nRow": np.array([[3]]), "nCol": np.array([[5]])})
    (3, 5)
    """
    numbers = {
        name.lower(): int(np.ravel(v)[0])
        for name, v in variables.items()
        if np.size(v) == 1 and np.asarray(v).dtype.kind in "iuf"
    }
    return next(((numbers[a], numbers[b]) for a, b in SIZES if a in numbers and b in numbers), None)


def cube_shape(shape: tuple[int, ...], size: tuple[int, int] | None) -> tuple[int, ...]:
    """The shape (rows, columns, bands) that a table of this shape unfolds to; any other shape as it is."""
    if size is None or len(shape) != 2 or size[0] * size[1] not in shape:
        return shape
    return (*size, shape[1] if shape[0] == size[0] * size[1] else shape[0])


def unfold(table: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A table (pixels, bands) or (bands, pixels) as a cube; pixels run down the columns, as MATLAB counts.

    >>> unfold(np.array([[1, 2, 3, 4, 5, 6]]), (2, 3))[:, :, 0].tolist()
    [[1, 3, 5], [2, 4, 6]]
    """
    rows, columns = size
    pixels = table if len(table) == rows * columns else table.T
    return pixels.reshape(columns, rows, -1).swapaxes(0, 1)


def fold(cube: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The inverse of `unfold`, for a table of this shape."""
    pixels = cube.swapaxes(0, 1).reshape(-1, cube.shape[2])
    return pixels if pixels.shape == tuple(shape) else pixels.T
