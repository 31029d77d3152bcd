"""Finding data sets on this machine, and checking that they are what they were."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from unnoise.data.datasets import DATASETS, DataSet
from unnoise.errors import MissingData, unknown

__all__ = ["DATASETS", "DataSet", "require", "root", "status", "tree_hash"]

VARIABLE = "UNNOISE_DATA"
Status = Literal["present", "missing", "changed"]


def root() -> Path | None:
    """The folder that the environment variable UNNOISE_DATA names, None if it names none that exists."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and Path(named).is_dir() else None


def status(dataset: DataSet, verify: bool = False) -> Status:
    """Whether a data set is there with its number of files, if that is known; with `verify`, also with its hash."""
    base = root()
    if base is None or not (base / dataset.path).exists():
        return "missing"
    path = base / dataset.path
    if not dataset.files:
        return "present"
    if len(_files(path)) != dataset.files or (verify and tree_hash(path) != dataset.sha256):
        return "changed"
    return "present"


def require(name: str) -> Path:
    """Where the data set is.

    Raises
    ------
    InputError : no data set has this name.
    MissingData : it is not on this machine.
    """
    dataset = DATASETS.get(name)
    if dataset is None:
        raise unknown("data set", name, DATASETS)
    base = root()
    if base is None:
        raise MissingData(f"the data set '{name}' is needed: set {VARIABLE} to the folder that holds {dataset.path}")
    if not (base / dataset.path).exists():
        raise MissingData(f"the data set '{name}' is not in {base / dataset.path}: get it from {dataset.source}")
    return base / dataset.path


def tree_hash(path: Path) -> str:
    """First 24 digits of the SHA-256 of a file, or of a folder.

    A folder is walked in sorted order, its own files before its folders; each file adds its relative path, a NUL
    byte and its SHA-256.
    """
    if path.is_file():
        return _digest(path).hex()[:24]
    total = hashlib.sha256()
    for file in _files(path):
        total.update(file.relative_to(path).as_posix().encode() + b"\0" + _digest(file))
    return total.hexdigest()[:24]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    entries = sorted(path.iterdir())
    inner = [file for folder in entries if folder.is_dir() for file in _files(folder)]
    return [entry for entry in entries if entry.is_file()] + inner


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
