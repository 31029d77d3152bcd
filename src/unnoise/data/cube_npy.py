"""Cubes as NumPy files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from unnoise.data.cube import Cube, axis_in, bands_last, stored
from unnoise.data.files import replacing
from unnoise.data.mapped import mapped, reserve
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """A memory map of the array."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 3:
        raise InputError(f"{path} has the shape {array.shape}, not (rows, columns, bands): reshape it")
    values, axis = bands_last(array, band_axis)
    return Cube(values, format="npy", band_axis=axis)


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The array where it is."""
    cube = read(path, dataset, band_axis)
    assert isinstance(cube.values, np.memmap)
    return replace(cube, values=mapped(cube.values))


def create(dst: Path, cube: Cube, block: tuple[int, int]) -> OnDisk:
    """A file for a cube like `cube`, whose values are on disk, empty."""
    shape = [cube.values.shape[0], cube.values.shape[1]]
    shape.insert(axis_in(cube, "npy"), cube.values.shape[2])
    header = {"descr": np.lib.format.dtype_to_descr(cube.values.dtype), "fortran_order": False, "shape": tuple(shape)}
    with dst.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
    reserve(dst, offset + int(np.prod(shape, dtype=np.int64)) * cube.values.dtype.itemsize)
    return reopen(dst, cube)


def reopen(made: Path, cube: Cube) -> OnDisk:
    """What `create` made."""
    values = on_disk(made, None, axis_in(cube, "npy")).values
    assert isinstance(values, OnDisk)
    return values


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """The array, bands where they were."""
    with replacing(dst, overwrite) as temporary, temporary.open("wb") as file:
        np.save(file, stored(cube, "npy"), allow_pickle=False)
