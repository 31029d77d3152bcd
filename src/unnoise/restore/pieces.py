"""What is done to one piece of a cube that is larger than memory; every function here may run on another machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError
from unnoise.noise.cube_statistics import CubeStatistics, piece_statistics
from unnoise.restore import METHODS
from unnoise.restore.cubes import as_type
from unnoise.restore.hyde.fasthyde import FastHyIn
from unnoise.restore.hyde.lowrank import Extent, Factors, LowRank

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Job:
    """A method with its options as JSON, and the value that means that nothing was measured."""

    method: str
    options: str
    nodata: float | None

    @classmethod
    def of(cls, method: str, options: Mapping[str, Any], nodata: float | None) -> Job:
        """The job for a method that can be done in pieces; `InputError` for another."""
        job = cls(method, json.dumps(options, sort_keys=True), nodata)
        denoiser = job.denoiser()
        if not isinstance(denoiser, LowRank):
            able = ", ".join(name for name in METHODS if name in IN_PIECES)
            raise InputError(
                f"method {method} looks at all of the cube at once and cannot work in pieces: take one of {able}, or "
                f"give enough --memory for the whole"
            )
        return job

    def denoiser(self) -> Any:
        """Built once in a process."""
        return _built(self.method, self.options)


IN_PIECES = ("fasthyde", "fasthyin", "hyres", "hyminor")
"""Methods that clean a few images instead of all bands (`LowRank`)."""


@cache
def _built(method: str, options: str) -> Any:
    return METHODS[method].create(**json.loads(options))


@dataclass(frozen=True, eq=False)
class Known:
    """What the statistics of the whole cube say.

    Attributes
    ----------
    live : bands that are cleaned.
    constant : values of the bands, for those that have but one.
    low, high : extremes of the live bands.
    factors : for the live bands.
    """

    live: Tensor
    constant: Tensor
    low: float
    high: float
    factors: Factors


def measure(block: NDArray[Any], job: Job) -> CubeStatistics:
    """The sums of a block (h, w, bands)."""
    y, valid = _values(block, job.nodata)
    return piece_statistics(job.denoiser().before(y), valid)


def project(block: NDArray[Any], job: Job, known: Known, images: OnDisk, window: Window) -> str:
    """Write the images of a block, NaN in pixels without data; says whether the block is "whole" or has "holes"."""
    y, valid = _values(block, job.nodata)
    z = job.denoiser().before(y[known.live])
    if valid is None:
        p = job.denoiser().coefficients(z, known.factors)
    else:
        seen = valid[known.live]
        p = job.denoiser().coefficients(z, known.factors, seen, block.shape[1])
        p = p.masked_fill(~seen.any(0), torch.nan)
    images[(slice(None), *window)] = p.reshape(-1, *block.shape[:2]).numpy()
    return "whole" if valid is None else "holes"


def clean(
    job: Job,
    known: Known,
    images: OnDisk,
    cleaned: OnDisk,
    numbers: range,
    core: Window,
    window: Window,
    extent: Extent,
) -> None:
    """Clean some of the images, one by one, in a window, and write its core."""
    inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
    for i in numbers:
        one = slice(i, i + 1)
        p = torch.from_numpy(images[(one, *window)])
        ends = (extent[0][one], extent[1][one])
        with torch.no_grad():
            x = job.denoiser().images(p, known.factors, i, ends)
        cleaned[(one, *core)] = x[:, inner[0], inner[1]].contiguous().numpy()


def rebuild(
    block: NDArray[Any] | None, job: Job, known: Known, cleaned: OnDisk, result: OnDisk, window: Window, strength: float
) -> None:
    """Write a block of the result; the noisy block is needed where it has holes, or for strength below 1."""
    p = torch.from_numpy(cleaned[(slice(None), *window)])
    size = (p.shape[1], p.shape[2], result.shape[2])
    x = job.denoiser().after(known.factors.back.to(p) @ p.flatten(1), known.low, known.high)
    if block is None:
        out = known.constant.to(p)[:, None].repeat(1, x.shape[1])
        out[known.live] = x
        result[(*window, slice(None))] = as_type(out.T.numpy(), result.dtype).reshape(size)
        return
    y, valid = _values(block, job.nodata)
    out = y.clone()
    out[known.live] = torch.lerp(y[known.live], x, strength) if strength != 1 else x
    values = as_type(out.T.numpy(), result.dtype).reshape(size)
    if valid is not None:
        keep = ~valid
        if isinstance(job.denoiser(), FastHyIn):
            keep[known.live] &= ~valid[known.live].any(0)
        np.copyto(values, block, where=keep.T.numpy().reshape(size))
    result[(*window, slice(None))] = values


def copy(block: NDArray[Any], result: OnDisk, window: Window) -> None:
    """Write a block as it is."""
    result[(*window, slice(None))] = block


def _values(block: NDArray[Any], nodata: float | None) -> tuple[Tensor, Tensor | None]:
    """A block as (bands, pixels) float32, all finite, and where it was measured (`None`: everywhere)."""
    y = torch.from_numpy(np.asarray(block, np.float32).reshape(-1, block.shape[2])).T
    valid = torch.isfinite(y)
    if nodata is not None and nodata == nodata:
        valid &= y != y.new_tensor(nodata)
    return (y, None) if bool(valid.all()) else (torch.where(valid, y, 0.0), valid)
