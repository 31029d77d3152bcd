"""Cubes larger than memory: opened where they are, as Dask arrays, and cut into blocks that fit."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from unnoise.data.cube import MODULES, Cube, check_cube, cube_format, reading
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError, MissingExtra

IN_PIECES = ("zarr", "hdf5", "envi", "npy", "tiff", "mat")
"""Formats that are read in pieces; MATLAB files of version 7.3 only."""
WRITTEN = {"zarr": ".zarr", "envi": ".hdr", "npy": ".npy", "tiff": ".tif"}
"""Formats that are written in pieces, with their usual extension."""
_LARGEST, _SMALLEST = 1 << 25, 1 << 18  # values in a block: more does not pay, less costs too many files


def open_cube(path: str | os.PathLike[str], dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """A cube whose `values` are an `OnDisk` (H, W, bands): nothing but its header is read.

    Arguments and errors as for `unnoise.data.cube.read_cube`.

    >>> import tempfile
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "a.npy"
    >>> np.save(path, np.arange(24).reshape(2, 3, 4))
    >>> open_cube(path).values[0:1, 1:3, 0:2].tolist()
    [[[4, 5], [8, 9]]]
    """
    path = Path(path)
    module = import_module(MODULES[cube_format(path)])
    with reading(path, band_axis):
        cube: Cube = module.on_disk(path, dataset, None if band_axis is None else band_axis % 3)
    check_cube(path, cube, band_axis)
    return replace(cube, source=path)


def dask_array(values: OnDisk, block: tuple[int, int]) -> Any:
    """A Dask array (H, W, bands) over an array on disk, in blocks of so many rows and columns with all bands.

    Raises `MissingExtra` without the extra 'cluster'.
    """
    try:
        import dask.array
    except ImportError as error:
        raise MissingExtra("cluster") from error
    return dask.array.from_array(values, chunks=(*block, values.shape[2]), lock=False, asarray=False)


@dataclass(frozen=True)
class Blocks:
    """A grid of blocks over height and width.

    Attributes
    ----------
    size : height and width of what is cut.
    edge : rows and columns of a block; those at the far borders may be smaller.
    """

    size: tuple[int, int]
    edge: tuple[int, int]

    def __len__(self) -> int:
        return -(-self.size[0] // self.edge[0]) * -(-self.size[1] // self.edge[1])

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """Row by row.

        >>> [(r.stop, c.stop) for r, c in Blocks((4, 5), (3, 4))]
        [(3, 4), (3, 5), (4, 4), (4, 5)]
        """
        axes = (
            [slice(a, min(a + edge, n)) for a in range(0, n, edge)]
            for n, edge in zip(self.size, self.edge, strict=True)
        )
        return iter(itertools.product(*axes))


def blocks_of(values: OnDisk, most: int) -> Blocks:
    """Blocks of at most about `most` values, made of whole chunks of the file where these are small enough.

    An array that is one run of values is cut into strips of whole rows.

    >>> import numpy as np
    >>> blocks_of(OnDisk(None, (100, 80, 10), np.dtype("f4")), 1 << 18).edge
    (100, 80)
    >>> blocks_of(OnDisk(None, (4000, 4000, 10), np.dtype("f4"), chunks=(128, 128, 10)), 1 << 20).edge
    (128, 768)
    """
    height, width, bands = values.shape
    pixels = max(1, max(_SMALLEST, min(_LARGEST, most)) // bands)
    rows, columns = (1, width) if values.chunks is None else values.chunks[:2]
    if rows * columns > pixels:  # chunks of the file that are too large to be read one at a time
        rows, columns = 1, width
    columns = min(width, columns * max(1, pixels // (rows * columns)))
    if rows * columns > pixels:  # not even one row
        return Blocks((height, width), (1, pixels))
    return Blocks((height, width), (min(height, rows * max(1, pixels // (rows * columns))), columns))


def fingerprint(path: Path) -> dict[str, Any]:
    """Size of a file or folder, and a hash that changes with the names, sizes and times of its files and its start."""
    beside = [p for p in path.parent.glob(f"{path.stem}.*") if p.is_file()] if path.suffix.lower() == ".hdr" else []
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path, *sorted(beside)]
    digest, size = hashlib.blake2b(digest_size=16), 0
    for file in files:
        state = file.stat()
        size += state.st_size
        digest.update(f"{file.relative_to(path.parent)} {state.st_size} {state.st_mtime_ns}\n".encode())
    if files:
        with files[0].open("rb") as start:
            digest.update(start.read(1 << 20))
    return {"bytes": size, "blake2b": digest.hexdigest()}


def check_result(dst: Path) -> str:
    """The format of a result that is written in pieces; `InputError` where that cannot be done."""
    name = cube_format(dst)
    if name not in WRITTEN:
        raise InputError(
            f"{dst}: a cube larger than memory cannot be written as {dst.suffix}: name a result that ends in "
            f"{', '.join(WRITTEN.values())}"
        )
    return name
