"""Methods that learn from what they are to clean: their options once they have."""

from __future__ import annotations

from typing import Any

import numpy as np

from unnoise.data.raw import Raw
from unnoise.errors import InputError
from unnoise.restore import METHODS
from unnoise.restore.choice import AUTOMATIC
from unnoise.restore.cubes import channels_of, check_method
from unnoise.restore.pixels import pixels_of


def learnt(x: Any, method: str, adapt: bool, minutes: float, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a method after it has learnt from x, or as they are without `adapt`."""
    if not adapt:
        return options
    if method in AUTOMATIC:
        raise InputError(f"method {method} does not learn: name one that does, such as cbsn")
    check_photo(method)
    return METHODS[method].adapted(list(pixels_of(x).unit()), minutes, **options)


def learnt_cube(
    x: Any, method: str, adapt: bool, minutes: float, options: dict[str, Any], nodata: float | None
) -> dict[str, Any]:
    """The options of a method after it has learnt from a cube, or as they are without `adapt`."""
    if not adapt:
        return options
    check_method(method, {})
    if method in AUTOMATIC or METHODS[method].adapt is None:
        raise InputError(f"method {method} does not learn from cubes: use cbsn, or leave adapt out")
    shown = {name: options[name] for name in ("mask", "nodata", "band_axis") if name in options}
    axis = shown.get("band_axis", 2)
    if isinstance(x, np.ndarray) and x.ndim == 3 and axis in range(-3, 3):
        x = np.moveaxis(x, axis, 2)
    rest = {name: value for name, value in options.items() if name not in shown}
    return shown | METHODS[method].adapted([channels_of(x, nodata)], minutes, **rest)


def learnt_raw(
    raw: Raw, method: str, sigma: float | None, adapt: bool, minutes: float, options: dict[str, Any]
) -> dict[str, Any]:
    """The options of a method after it has learnt from a mosaic, or as they are without `adapt`."""
    if not adapt:
        return options
    if method in AUTOMATIC or METHODS[method].adapt is None or METHODS[method].kinds != ("raw",):
        raise InputError(f"method {method} does not learn from raw mosaics: use jdd, or leave adapt out")
    from unnoise.restore.jdd import learnt_from

    shown = {name: options[name] for name in ("map", "camera") if name in options}
    rest = {name: value for name, value in options.items() if name != "map"}
    return shown | learnt_from([raw], minutes, sigma=sigma, **rest)


def check_photo(method: str) -> None:
    """Raise `InputError` for a method of another kind of data."""
    if method not in AUTOMATIC and "photo" not in METHODS[method].kinds:
        raise InputError(f"method {method} is for {METHODS[method].kinds[0]}s: pass kind='{METHODS[method].kinds[0]}'")
