"""Cubes as NumPy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unnoise.data.cube import Cube, bands_last, stored
from unnoise.data.files import replacing
from unnoise.errors import InputError


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """A memory map of the array."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 3:
        raise InputError(f"{path} has the shape {array.shape}, not (rows, columns, bands): reshape it")
    values, axis = bands_last(array, band_axis)
    return Cube(values, format="npy", band_axis=axis)


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """The array, bands where they were."""
    with replacing(dst, overwrite) as temporary, temporary.open("wb") as file:
        np.save(file, stored(cube), allow_pickle=False)
