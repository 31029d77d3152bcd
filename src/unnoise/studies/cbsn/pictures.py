"""Noisy pictures and their truth: of cameras, of a microscope, and clean photographs through a simple camera."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unnoise.data.pairs import Pair, microscopy_pairs, real_pairs
from unnoise.data.samples import sample_photo
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator, normal_like
from unnoise.training.options import Options


class PictureOptions(Options):
    """Pictures that networks learn from and are tested on.

    Attributes
    ----------
    source : "cc15" or "polyu" (cameras), "w2s" (a microscope), "isp" (the means of CC15 through `camera_noise`), or
        scikit-image's "samples" the same way.
    pictures, side : at most so many, and the side of their middle part.
    a, b : noise of variance `a x + b` that "isp" and "samples" are given.
    """

    source: Literal["samples", "isp", "cc15", "polyu", "w2s"]
    pictures: int = Field(default=100, ge=1)
    side: int = Field(default=512, ge=16)
    a: float = Field(default=0.02, ge=0)
    b: float = Field(default=0.0012, ge=0)


def study_pairs(o: PictureOptions) -> Iterator[Pair]:
    """The pairs in the order of their names. Raises `MissingData` without the data set."""
    if o.source == "samples":
        pairs: Iterator[Pair] = (Pair(n, x, x) for n in ("astronaut", "coffee") for x in [sample_photo(n)])
    elif o.source == "w2s":
        pairs = microscopy_pairs("test")
    else:
        pairs = real_pairs("cc15" if o.source == "isp" else o.source)
    for i, pair in enumerate(pairs):
        if i == o.pictures:
            return
        noisy, clean = middle(pair.noisy, o.side), middle(pair.clean, o.side)
        if o.source in ("isp", "samples"):
            noisy = camera_noise(planes(clean)[None], o.a, o.b, generator(0, i))[0].permute(1, 2, 0).numpy()
        yield Pair(pair.name, np.ascontiguousarray(noisy), np.ascontiguousarray(clean))


def camera_noise(x: Tensor, a: float, b: float, g: torch.Generator) -> Tensor:
    """Noise as a simple camera leaves it: on the linear mosaic with variance `a x + b`, then demosaicked bilinearly.

    x is sRGB `(B, 3, H, W)` in [0, 1]; gamma 2.2 on the way in and out; the result is clipped.
    """
    raw = mosaic(x.clamp(0, 1) ** 2.2)
    raw = raw + (a * raw + b).sqrt() * normal_like(raw, g)
    return demosaick(raw, "bilinear").clamp(0, 1) ** (1 / 2.2)


def middle(picture: Any, side: int) -> Any:
    """The middle of a picture (H, W) or (H, W, C), at most `side` pixels high and wide."""
    top, left = (max(0, (n - side) // 2) for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def planes(picture: Any) -> Tensor:
    """A picture (H, W) or (H, W, C) as a tensor (C, H, W)."""
    t = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
    return t[None] if t.ndim == 2 else t.permute(2, 0, 1).contiguous()
