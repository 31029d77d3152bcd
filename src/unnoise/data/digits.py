"""Handwritten digits with their class: MNIST from the data folder, or the 8 x 8 ones inside scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unnoise.data.catalog import require
from unnoise.errors import MissingData, MissingExtra, unknown

SETS = {"mnist-train": ("train_0", "train_1", "train_2"), "mnist-test": ("test_first3000",)}


def load_digits(name: str, root: Path | None = None) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W), uint8, white on black, and labels (N,), int64.

    Parameters
    ----------
    name : "mnist-train" (60,000), "mnist-test" (3,000; both 28 x 28), or "scikit-learn" (1,797 of 8 x 8).
    root : data folder; by default the one that UNNOISE_DATA names.

    Raises
    ------
    InputError : unknown name. MissingData, MissingExtra : what is needed is not here.
    """
    if name == "scikit-learn":
        try:
            from sklearn.datasets import load_digits as bundled
        except ImportError:
            raise MissingExtra("learn") from None
        digits = bundled()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        return torch.from_numpy(images)[:, None], torch.from_numpy(digits.target.astype(np.int64))
    if name not in SETS:
        raise unknown("set of digits", name, [*SETS, "scikit-learn"])
    folder = require("mnist") if root is None else root / "mnist"
    parts = []
    for stem in SETS[name]:
        path = folder / f"{stem}.npz"
        if not path.is_file():
            raise MissingData(f"the digits need {path}, which is not there: unnoise data says where to get it")
        with np.load(path, allow_pickle=False) as file:
            parts.append((file["images"], file["labels"]))
    images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))
