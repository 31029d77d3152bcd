"""Training crops: photographs decoded once into memory, and batches that are a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.inputs import expand_inputs
from unnoise.data.photo import MAX_PIXELS, Photo, read_photo
from unnoise.data.values import from_unit, to_unit
from unnoise.errors import InputError

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, what the field's gray sets were made with


@dataclass(frozen=True, eq=False)
class Crops:
    """Photographs in memory, uint8 or all uint16 (H, W, C), from which random crops are drawn.

    Examples
    --------
    >>> crops = Crops([np.zeros((40, 60, 3), np.uint8), np.full((80, 60, 3), 255, np.uint8)])
    >>> batch = crops.batch(0, size=4, crop=32, seed=1)
    >>> batch.shape, batch.dtype, bool((batch == crops.batch(0, size=4, crop=32, seed=1)).all())
    (torch.Size([4, 3, 32, 32]), torch.float32, True)
    """

    images: Sequence[NDArray[Any]]

    @property
    def distinct(self) -> int:
        """How many photographs there are, each once, however often it is repeated."""
        return len({id(image) for image in self.images})

    def batch(self, k: int, size: int, crop: int, seed: int = 0, downscale: float = 1.0, soften: float = 1.0) -> Tensor:
        """The batch of step `k`: `size` crops of `crop` x `crop` pixels, float32 (B, C, h, w) in [0, 1],
        channels last in memory.

        A photograph is drawn with the share of pixels it has, among those that are large enough, a position
        uniformly, and one of the eight flips and rotations. With `downscale` above 1, half of the crops come from an
        area up to that factor larger, averaged down, which hides the noise and compression of the photographs. With
        `soften` above 1, half of all lose detail: averaged down by up to that factor and enlarged again, they are clean
        and smooth at the scale of a pixel as photographs in the full resolution of a sensor are.
        """
        rng = np.random.default_rng([seed, k])
        areas = np.array([h * w if min(h, w) >= crop else 0 for h, w, _ in (image.shape for image in self.images)])
        if not areas.any():
            raise InputError(f"no photograph has {crop} x {crop} pixels: choose a smaller crop")
        chosen = rng.choice(len(areas), size, p=areas / areas.sum())
        out = np.empty((size, crop, crop, self.images[0].shape[2]), self.images[0].dtype)
        for b, which in enumerate(chosen):
            image = self.images[which]
            factor = rng.uniform(1, downscale) if downscale > 1 and rng.random() < 0.5 else 1.0
            side = min(round(crop * factor), *image.shape[:2])
            top, left = (int(rng.integers(0, length - side + 1)) for length in image.shape[:2])
            piece = image[top : top + side, left : left + side]
            small = round(crop / rng.uniform(1, soften)) if soften > 1 and rng.random() < 0.5 else crop
            if side > small:
                piece = _resized(piece, small)
            if small < crop:
                piece = _resized(piece, crop)
            turn = int(rng.integers(8))
            piece = np.rot90(piece, turn % 4)
            out[b] = piece[:, ::-1] if turn >= 4 else piece
        return torch.from_numpy(to_unit(out)).permute(0, 3, 1, 2)  # in numpy: a thread pool is slower on so little


def load_crops(
    sources: Iterable[str | Path],
    channels: int = 3,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> Crops:
    """Decode photographs (files, folders, globs) into memory as uint8, in the order of their paths as strings.

    Parameters
    ----------
    channels : 3 (gray photographs get three equal channels) or 1 (colours become BT.601 luma).
    progress : called with the number of files decoded and their total.

    Raises
    ------
    InputError : nothing was found, or a file cannot be read.
    """
    if channels not in (1, 3):
        raise InputError(f"crops have 1 or 3 channels, not {channels}")
    paths = sorted(expand_inputs(sources), key=str)
    images = []
    for path in paths:
        images.append(_as_channels(read_photo(path, max_pixels), channels))
        if progress:
            progress(len(images), len(paths))
    return Crops(images)


def _as_channels(photo: Photo, channels: int) -> NDArray[np.uint8]:
    pixels: NDArray[Any] = photo.pixels
    if pixels.dtype != np.uint8:
        pixels = from_unit(to_unit(pixels), np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], channels, axis=2)
    if channels == 1:
        return np.rint(pixels @ LUMA)[:, :, None].astype(np.uint8)
    return pixels


def _resized(piece: NDArray[Any], side: int) -> NDArray[Any]:
    """Square, averaged down or enlarged smoothly."""
    import cv2

    way = cv2.INTER_AREA if side < len(piece) else cv2.INTER_CUBIC
    resized = cv2.resize(piece, (side, side), interpolation=way)
    return np.asarray(resized, piece.dtype).reshape(side, side, -1)
