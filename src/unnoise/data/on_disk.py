"""An array of three axes in a file, read and written in pieces, the file opened anew for each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Opener = Callable[[str], AbstractContextManager[Any]]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class OnDisk:
    """A cube (H, W, bands), or a stack, of which nothing is in memory.

    It is small to send to another process, no file stays open, and no page of a memory map stays resident.

    Attributes
    ----------
    opener : called with "r" or "r+", gives a context with the array as it is stored; a module's function or a `partial`
        of one, as it travels.
    shape, dtype : as (H, W, bands).
    axes : where rows, columns and bands are in the stored array.
    chunks : of the stored array as (H, W, bands), `None` where it is one run of values.
    """

    opener: Opener
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: tuple[int, int, int] = (0, 1, 2)
    chunks: tuple[int, int, int] | None = None

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def nbytes(self) -> int:
        """Of all values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, key: Slices) -> NDArray[Any]:
        """A copy of a piece, (h, w, bands)."""
        with self.opener("r") as stored:
            piece = np.asarray(stored[self._stored(key)]).transpose(self.axes)
            return np.array(piece, dtype=self.dtype, order="C", copy=True)

    def __setitem__(self, key: Slices, values: NDArray[Any]) -> None:
        with self.opener("r+") as stored:
            stored[self._stored(key)] = values.transpose(np.argsort(self.axes))

    def _stored(self, key: Slices) -> Slices:
        order = [slice(None)] * 3
        for axis, part in zip(self.axes, key, strict=True):
            order[axis] = part
        return order[0], order[1], order[2]
