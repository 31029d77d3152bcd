"""The options of `unnoise denoise` for cubes, together."""

from __future__ import annotations

from typing import Any, NamedTuple


class CubeOptions(NamedTuple):
    """What `unnoise denoise` was told, as far as it means something for cubes."""

    method: str
    sigma: float | None
    strength: float
    device: str | None
    options: dict[str, Any]
    dataset: str | None
    band_axis: int | None
    tile: int | None
    calibrate: bool
    memory: str | None
    scheduler: str | None
    resume: bool
