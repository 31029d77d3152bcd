"""`unnoise denoise` of a cube that is larger than memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.errors import InputError, Stopped

if TYPE_CHECKING:
    from unnoise.app.cli.cube_options import CubeOptions
    from unnoise.app.cli.progress import Report

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def goes_in_pieces(source: Path, wanted: CubeOptions) -> bool:
    """Whether a cube is asked to go in pieces, or does not fit; one that can only be read whole never does."""
    from unnoise.data.chunked import open_cube
    from unnoise.data.cube import cube_format
    from unnoise.restore.chunked import fits

    memory = in_bytes(wanted.memory)
    if wanted.scheduler is not None or wanted.resume:
        return True
    try:
        cube = open_cube(source, wanted.dataset, wanted.band_axis)
    except InputError:
        if cube_format(source) == "mat":  # of a version that is read whole
            return False
        raise
    return not fits(cube.values, memory)


def denoise_chunked(
    source: Path, target: Path, wanted: CubeOptions, overwrite: bool, report: bool, progress: Report
) -> Iterator[str]:
    """Clean one file into another, in pieces; yields what there is to say.

    Raises `Stopped` on Ctrl-C, which says how to go on.
    """
    from unnoise.data.chunked import open_cube
    from unnoise.data.cube import left_behind
    from unnoise.restore.chunked import restore_chunked

    whole = {"--report": report, "--tile": wanted.tile, "--calibrate": wanted.calibrate, "--device": wanted.device}
    for name, given in whole.items():
        if given:
            raise InputError(f"{name} does not go with a cube in pieces: leave it out, or give enough --memory")
    try:
        done = restore_chunked(
            source,
            target,
            wanted.method,
            sigma=wanted.sigma,
            strength=wanted.strength,
            memory=in_bytes(wanted.memory),
            scheduler=wanted.scheduler,
            resume=wanted.resume,
            overwrite=overwrite,
            dataset=wanted.dataset,
            band_axis=wanted.band_axis,
            progress=progress,
            **wanted.options,
        )
    except KeyboardInterrupt:
        raise Stopped("what is done is kept: go on with the same command and --resume") from None
    cube = open_cube(source, wanted.dataset, wanted.band_axis)
    height, width, bands = cube.values.shape
    size = f"{height} x {width} pixels, {bands} bands in pieces in {done.seconds:.1f} s"
    yield f"{source} -> {target}\n  {done.choice.method}: {done.choice.reason}; {size}"
    if done.profile is not None:
        yield f"  {done.profile.describe()}"
    if lost := left_behind(cube, target):
        yield f"  note: {lost}"


def in_bytes(text: str | None) -> int | None:
    """An amount of memory.

    >>> in_bytes("2G"), in_bytes("1.5 GiB"), in_bytes("800m")
    (2147483648, 1610612736, 838860800)
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--memory takes an amount such as 2G or 800M, got '{text}'")
    return int(float(found[1]) * UNITS[found[2]])
