"""Arrays that are one run of numbers in a file, by way of memory maps that last as long as one piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.on_disk import OnDisk


def mapped(values: np.memmap[Any, Any]) -> OnDisk:
    """A memory map (H, W, bands), transposed or not, as an array on disk."""
    order = sorted(range(3), key=lambda a: -abs(values.strides[a]))
    axes = np.argsort(order).tolist()
    return raw(Path(str(values.filename)), values.dtype, values.offset, tuple(values.shape[a] for a in order), axes)


def raw(path: Path, dtype: np.dtype[Any], offset: int, stored: tuple[int, ...], axes: list[int]) -> OnDisk:
    """Values of `dtype` from byte `offset` of a file on, of the shape `stored`; rows, columns, bands are its `axes`."""
    opener = partial(_opened, path.absolute(), dtype, offset, stored)
    shape = tuple(stored[a] for a in axes)
    return OnDisk(opener, (shape[0], shape[1], shape[2]), dtype.newbyteorder("="), (axes[0], axes[1], axes[2]))


@contextmanager
def _opened(path: Path, dtype: np.dtype[Any], offset: int, stored: tuple[int, ...], mode: str) -> Iterator[Any]:
    array = np.memmap(path, dtype, mode, offset, stored)  # type: ignore[call-overload]
    try:
        yield array
    finally:
        del array


def reserve(path: Path, size: int) -> None:
    """Make a file of so many bytes and their room on the disk: writing to a map that has none would kill the process.

    Raises `OSError` where the disk is too small.
    """
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
