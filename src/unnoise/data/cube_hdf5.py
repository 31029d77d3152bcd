"""Cubes in HDF5 files, and in MATLAB 7.3 files, which are HDF5 with the axes reversed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.cube import (
    TEXTS,
    WAVELENGTH,
    Cube,
    bands_last,
    called,
    described,
    find_axis,
    find_texts,
    find_wavelengths,
    pick,
    stored,
)
from unnoise.data.files import replacing
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError, MissingExtra


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("cubes") from error
    return h5py


def read(path: Path, dataset: str | None = None, band_axis: int | None = None, matlab: bool = False) -> Cube:
    """The one cube of a file, or the one that is named."""
    cube = on_disk(path, dataset, band_axis, matlab)
    with _h5py().File(path, "r") as file:
        array = file[cube.dataset][()]
    return replace(cube, values=bands_last(array.T if matlab else array, cube.band_axis)[0])


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None, matlab: bool = False) -> Cube:
    """The array where it is."""
    with _h5py().File(path, "r") as file:
        arrays = _arrays(file)
        shapes = {name: tuple(reversed(d.shape)) if matlab else d.shape for name, d in arrays.items()}
        name = pick(path, shapes, dataset)
        found = arrays[name]
        short = {key: d[()] for key, d in arrays.items() if d.ndim and d.size <= max(found.shape)}
        facts = {**short, **_texts(file), **dict(found.attrs)}
        labels = [d.label or next((scale.name for _, scale in d.items()), None) for d in found.dims]
        axis = find_axis(shapes[name], facts, labels[::-1] if matlab else labels) if band_axis is None else band_axis
        order = [a for a in range(len(shapes[name])) if a != axis] + [axis]
        axes = tuple(len(order) - 1 - a for a in order) if matlab else tuple(order)
        if found.ndim != 3:
            raise InputError(f"{path} has the shape {shapes[name]}, not (rows, columns, bands): use --dataset")
        values = OnDisk(
            partial(_opened, path.absolute(), name),
            (found.shape[axes[0]], found.shape[axes[1]], found.shape[axes[2]]),
            np.dtype(found.dtype).newbyteorder("="),
            (axes[0], axes[1], axes[2]),
            None if found.chunks is None else tuple(found.chunks[a] for a in axes),
        )
        bands = values.shape[2]
        waves = find_wavelengths(facts, bands)
        texts = find_texts(facts, bands)
        if "units" not in texts and waves is not None:
            given = (d.attrs["units"] for key, d in arrays.items() if called(key, WAVELENGTH) and "units" in d.attrs)
            texts |= find_texts({"wavelength_units": next(given, "")}, bands)
        nodata = next((found.attrs[k] for k in ("_FillValue", "missing_value", "nodata") if k in found.attrs), None)
    return Cube(
        values,
        wavelengths=waves,
        **texts,
        nodata=None if nodata is None else float(np.ravel(nodata)[0]),
        format="mat" if matlab else "hdf5",
        dataset=name,
        band_axis=axis,
        extras={"version": 7.3} if matlab else {},
    )


@contextmanager
def _opened(path: Path, name: str, mode: str) -> Iterator[Any]:
    with _h5py().File(path, mode) as file:
        yield file[name]


def write(dst: Path, cube: Cube, overwrite: bool = False, matlab: bool = False) -> None:
    """A copy of the source file with the cube's array replaced, or a new file."""
    h5py = _h5py()
    array = stored(cube, "mat").T if matlab else stored(cube, "hdf5")
    with replacing(dst, overwrite) as temporary:
        if cube.source is not None and cube.format == ("mat" if matlab else "hdf5"):
            shutil.copyfile(cube.source, temporary)
            with h5py.File(temporary, "r+") as file:
                file[cube.dataset][...] = array
        else:
            with h5py.File(temporary, "w") as file:
                written = file.create_dataset(cube.dataset or "cube", data=array)
                if cube.nodata is not None:
                    written.attrs["_FillValue"] = cube.nodata
                facts = described(cube)
                waves = facts.pop("wavelength", None)
                written.attrs.update(facts)
                if waves is not None:
                    file.create_dataset("wavelength", data=np.array(waves)).attrs["units"] = cube.units


def _arrays(file: Any) -> dict[str, Any]:
    """Numeric arrays by path, at any depth, without MATLAB's own."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape") and item.dtype.kind in "iuf" and not name.startswith("#"):
            found[name] = item

    file.visititems(visit)
    return found


def _texts(file: Any) -> dict[str, Any]:
    """Arrays of texts by path, at any depth."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape") and item.dtype.kind in "OS" and called(name, TEXTS):
            found[name] = item[()]

    file.visititems(visit)
    return found
