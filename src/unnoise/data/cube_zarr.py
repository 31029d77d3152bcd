"""Cubes as Zarr arrays, alone or in a group."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.cube import (
    WAVELENGTH,
    Cube,
    axis_in,
    bands_last,
    called,
    described,
    find_axis,
    find_texts,
    find_wavelengths,
    pick,
    stored,
)
from unnoise.data.on_disk import OnDisk
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
    cube = on_disk(path, dataset, band_axis)
    assert isinstance(cube.values, OnDisk)
    whole, _ = open_zarr(path, cube.dataset)
    return replace(cube, values=bands_last(whole[...], cube.band_axis)[0])


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The array where it is."""
    array, name = open_zarr(path, dataset)
    if array.ndim != 3:
        raise InputError(f"{path} has the shape {array.shape}, not (rows, columns, bands): reshape it")
    attributes = dict(array.attrs)
    facts = _beside(path, array.shape) | attributes
    labels = getattr(array.metadata, "dimension_names", None) or attributes.get("_ARRAY_DIMENSIONS", ())
    axis = find_axis(array.shape, facts, labels) if band_axis is None else band_axis
    values = stack(path, name, axis)
    nodata = attributes.get("_FillValue", attributes.get("nodata"))
    return Cube(
        values,
        wavelengths=find_wavelengths(facts, values.shape[2]),
        **find_texts(facts, values.shape[2]),
        nodata=None if nodata is None else float(nodata),
        format="zarr",
        dataset=name,
        band_axis=axis,
    )


def _beside(path: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """Short arrays in the group of a cube, as wavelengths, and their units."""
    zarr = _zarr()
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return {}
    members = [(name, a) for name, a in node.members(max_depth=None) if isinstance(a, zarr.Array)]
    short = {name: a for name, a in members if a.ndim == 1 and a.size in shape}
    units = [a.attrs["units"] for name, a in short.items() if "units" in a.attrs and called(name, WAVELENGTH)]
    return {name: a[...] for name, a in short.items()} | ({"wavelength_units": units[0]} if units else {})


def stack(path: Path, name: str | None = None, band_axis: int = 2) -> OnDisk:
    """An array of three axes in a store as it is, seen with the bands last."""
    array, _ = open_zarr(path, name)
    axes = (*(a for a in range(3) if a != band_axis), band_axis)
    shape, chunks = ([sizes[a] for a in axes] for sizes in (array.shape, array.shards or array.chunks))
    return OnDisk(
        partial(_opened, path.absolute(), name),
        (shape[0], shape[1], shape[2]),
        np.dtype(array.dtype),
        (axes[0], axes[1], axes[2]),
        (chunks[0], chunks[1], chunks[2]),
    )


@contextmanager
def _opened(path: Path, name: str | None, mode: str) -> Iterator[Any]:
    yield open_zarr(path, name, mode)[0]


def create(dst: Path, cube: Cube, block: tuple[int, int]) -> OnDisk:
    """An empty array like that of `cube`, whose values are on disk, with whatever else its source has; `dst` is made.

    Chunks are those of the source where `block`, the pixels that are written at a time, is made of whole ones.
    """
    zarr = _zarr()
    shape, axis = cube.values.shape, axis_in(cube, "zarr")
    own = cube.source is not None and cube.format == "zarr"
    chunks = (
        block[0],
        min(block[1], 256) if block[1] % 256 == 0 or block[1] == shape[1] else block[1],
        min(shape[2], 64),
    )
    stored_as = [shape[0], shape[1]]
    stored_as.insert(axis, shape[2])
    stored_chunks = [chunks[0], chunks[1]]
    stored_chunks.insert(axis, chunks[2])
    if own:
        source, name = open_zarr(cube.source, cube.dataset)  # type: ignore[arg-type]
        skipped = cube.source / name if name else cube.source  # type: ignore[operator]
        shutil.copytree(cube.source, dst, ignore=lambda folder, names: names if Path(folder) == skipped else ())  # type: ignore[arg-type]
        old = cube.values.chunks
        fits = old is not None and all(b % c == 0 or b >= n for b, c, n in zip(block, old, shape, strict=False))
        shared = {} if fits else {"chunks": tuple(stored_chunks), "shards": None}
        zarr.from_array(
            dst,
            data=source,
            name=name,
            write_data=False,
            overwrite=True,
            fill_value=source.fill_value,
            attributes=dict(source.attrs),
            zarr_format=source.metadata.zarr_format,
            dimension_names=getattr(source.metadata, "dimension_names", None),
            **shared,
        )
        return stack(dst, name, axis)
    array = zarr.create_array(dst, shape=tuple(stored_as), dtype=cube.values.dtype, chunks=tuple(stored_chunks))
    array.attrs.update(_attributes(cube))
    return stack(dst, None, axis)


def reopen(made: Path, cube: Cube) -> OnDisk:
    """What `create` made."""
    return stack(made, cube.dataset if cube.format == "zarr" else None, axis_in(cube, "zarr"))


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
            array[...] = stored(cube, "zarr")
        else:
            values = np.asarray(stored(cube, "zarr"))
            array = zarr.create_array(store, shape=values.shape, dtype=values.dtype, chunks=_chunks(values.shape))
            array[...] = values
            array.attrs.update(_attributes(cube))
        if dst.exists():
            dst.replace(folder / "old")
        store.replace(dst)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _attributes(cube: Cube) -> dict[str, Any]:
    return described(cube) | ({} if cube.nodata is None else {"nodata": cube.nodata})


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(min(n, 128) for n in shape)
