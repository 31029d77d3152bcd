"""The field's evaluation protocols: which pictures, in which order, with which noise and against which target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unnoise.data.catalog import require
from unnoise.data.inputs import expand_inputs
from unnoise.data.photo import read_photo
from unnoise.data.values import to_unit
from unnoise.errors import unknown

CLEAN_SETS = ("set12", "bsd68", "cbsd68", "mcmaster", "set14")
REAL_SETS = {"cc15": ("_real", "_mean"), "polyu": ("_real", "_mean"), "fmd": ("_raw", "_gt")}
"""Data set -> how the names of a noisy picture and of its ground truth end."""


class Pair(NamedTuple):
    """A noisy picture and its truth, float32, (H, W) or (H, W, 3), white at 1."""

    name: str
    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]


def clean_set(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and picture of a clean test set, in the order of the names as strings (`test10` before `test2`).

    Raises
    ------
    InputError : the name is not in `CLEAN_SETS`.
    MissingData : the set is not on this machine.
    """
    if name not in CLEAN_SETS:
        raise unknown("clean test set", name, CLEAN_SETS)
    for path in _sorted(require(name)):
        yield path.stem, _read(path)


def gaussian_pairs(name: str, sigma: float, limit: int | None = None) -> Iterator[Pair]:
    """A clean test set with white Gaussian noise: neither clipped nor rounded, that of picture i from `RandomState(i)`.

    `sigma` is on the scale of 0 to 255; `limit` takes only the first pictures. Raises as `clean_set`.
    """
    for i, (stem, clean) in enumerate(clean_set(name)):
        if i == limit:
            return
        yield Pair(stem, add_gaussian(clean, sigma, i), clean)


def add_gaussian(clean: NDArray[np.float32], sigma: float, i: int) -> NDArray[np.float32]:
    """`clean + sigma / 255 * n` with n standard normal from `numpy.random.RandomState(i)`, in float32.

    >>> add_gaussian(np.zeros(2, np.float32), 255, 0)
    array([1.7640524, 0.4001572], dtype=float32)
    """
    noise = np.random.RandomState(i).standard_normal(clean.shape)  # the generator of the published protocol
    return (clean + sigma / 255 * noise).astype(np.float32)


def real_pairs(name: str) -> Iterator[Pair]:
    """Photographs with the noise of their cameras, in the order of the names; the truth is a mean of many shots.

    Raises
    ------
    InputError : the name is not in `REAL_SETS`.
    MissingData : the set is not on this machine.
    """
    if name not in REAL_SETS:
        raise unknown("real noise set", name, REAL_SETS)
    noisy_end, clean_end = REAL_SETS[name]
    for path in _sorted(require(name)):
        if path.stem.endswith(noisy_end):
            stem = path.stem.removesuffix(noisy_end)
            yield Pair(stem, _read(path), _read(path.with_stem(stem + clean_end)))


def microscopy_pairs(split: str = "test") -> Iterator[Pair]:
    """W2S, "train" or "test": single frames, and the mean of 400 mapped to the scale of each frame.

    Each picture of the set was stretched by itself, so the truth is `gain * mean + offset` with the least-squares
    numbers stored beside them. Compare with white at 1 and without clipping.

    Raises
    ------
    InputError : another split.
    MissingData : the set is not on this machine.
    """
    if split not in ("train", "test"):
        raise unknown("split", split, ("train", "test"))
    folder = require("w2s") / split
    affine = json.loads((folder / "affine.json").read_text())
    for path in _sorted(folder):
        if path.stem.startswith("avg1_"):
            key = path.stem.removeprefix("avg1_")
            mean = _read(path.with_stem(f"avg400_{key}"))
            gain, offset = affine[key]["gain"], affine[key]["offset"] / 255
            yield Pair(key, _read(path), (gain * mean + offset).astype(np.float32))


def _sorted(folder: Path) -> list[Path]:
    return sorted(expand_inputs([folder]), key=lambda path: path.name)


def _read(path: Path) -> NDArray[np.float32]:
    return to_unit(read_photo(path).pixels, str(path))
