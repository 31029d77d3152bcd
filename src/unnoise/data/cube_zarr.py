"""Cubes as Zarr arrays, alone or in a group."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.cube import Cube, bands_last, find_wavelengths, pick, stored
from unnoise.errors import InputError, MissingExtra, OutputError


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtra("cubes") from error
    return zarr


def open_zarr(path: Path, dataset: str | None, mode: str = "r") -> tuple[Any, str | None]:
    """The array of a store, and its name in the group (`None` for a store that is an array)."""
    zarr = _zarr()
    try:
        node = zarr.open(path, mode=mode)
    except Exception as error:  # zarr raises its own, changing classes
        raise InputError(f"{path} is no Zarr store: name the folder that holds zarr.json or .zarray") from error
    if isinstance(node, zarr.Array):
        return node, None
    arrays = {name: a for name, a in node.members(max_depth=None) if isinstance(a, zarr.Array)}
    numeric = {name: a for name, a in arrays.items() if np.dtype(a.dtype).kind in "iuf"}
    name = pick(path, {key: a.shape for key, a in numeric.items()}, dataset)
    return numeric[name], name


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The whole array in memory."""
    array, name = open_zarr(path, dataset)
    if array.ndim != 3:
        raise InputError(f"{path} has the shape {array.shape}, not (rows, columns, bands): reshape it")
    values, axis = bands_last(array[...], band_axis)
    attributes = dict(array.attrs)
    nodata = attributes.get("_FillValue", attributes.get("nodata"))
    return Cube(
        values,
        wavelengths=find_wavelengths(attributes, values.shape[2]),
        units=str(attributes.get("wavelength_units", "")),
        nodata=None if nodata is None else float(nodata),
        format="zarr",
        dataset=name,
        band_axis=axis,
    )


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """A copy of the source store with the array's values replaced, or a new array; the folder appears when complete."""
    zarr = _zarr()
    if dst.exists() and not overwrite:
        raise OutputError(f"{dst} exists: choose another name or pass --overwrite")
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{dst.name}.", dir=dst.parent))
    except OSError as error:
        raise OutputError(f"{dst} cannot be written ({error.strerror}): choose another folder with -o") from error
    try:
        store = folder / "store"
        if cube.source is not None and cube.format == "zarr":
            shutil.copytree(cube.source, store)
            array, _ = open_zarr(store, cube.dataset, "r+")
            array[...] = stored(cube)
        else:
            values = np.asarray(stored(cube))
            array = zarr.create_array(store, shape=values.shape, dtype=values.dtype, chunks=_chunks(values.shape))
            array[...] = values
            if cube.wavelengths is not None:
                array.attrs.update({"wavelength": list(cube.wavelengths), "wavelength_units": cube.units})
            if cube.nodata is not None:
                array.attrs["nodata"] = cube.nodata
        if dst.exists():
            dst.replace(folder / "old")
        store.replace(dst)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(n, 128) for n in shape)
