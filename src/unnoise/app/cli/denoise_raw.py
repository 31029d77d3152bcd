"""`unnoise denoise` of one camera file or mosaic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unnoise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from unnoise.app.cli.progress import Report

SHOWN = (".tif", ".tiff", ".png")
"""Results that hold colours, which a report can show."""


def denoise_raw(
    source: Path,
    target: Path,
    method: str,
    options: dict[str, Any],
    *,
    overwrite: bool,
    max_pixels: int,
    calibrate: bool,
    report: bool,
    progress: Report,
) -> Iterator[str]:
    """Clean one file into another, with its map of the noise where one was asked for; yields what there is to say."""
    from unnoise.restore.door import denoise_file

    if report and target.suffix.lower() not in SHOWN:
        raise InputError(f"--report shows colours, which {target} does not hold: name a .tif or .png with -o")
    done = denoise_file(
        source, target, method, overwrite=overwrite, max_pixels=max_pixels, kind="raw", calibrate=calibrate,
        progress=progress, **options,
    )  # fmt: skip
    yield f"{source} -> {target}\n  {done.choice.method}: {done.choice.reason}; {done.seconds:.2f} s"
    if done.noise is not None:
        yield f"  see {_write_map(target, done.noise)}"
    if report:
        from unnoise.app.cli.denoise import write_report
        from unnoise.data.photo import read_photo
        from unnoise.data.raw import develop
        from unnoise.restore.door import raw_of

        before = develop(raw_of(source, options, max_pixels)[0])
        after = replace(done, image=_for_display(read_photo(target, max_pixels).pixels))
        yield f"  see {write_report(source.name, _for_display(before), target, after)}"


def _for_display(linear: NDArray[Any]) -> NDArray[np.uint8]:
    """16 linear bits as 8 that go with the root that displays expect."""
    return np.rint(255 * (linear / 65535.0) ** (1 / 2.2)).astype(np.uint8)


def _write_map(target: Path, noise: NDArray[Any]) -> Path:
    """NAME.noise.tif beside the result; always replaced, as it belongs to it."""
    from unnoise.data.formats import Photo
    from unnoise.data.photo import write_photo

    path = target.with_name(f"{target.stem}.noise.tif")
    write_photo(path, Photo(noise), overwrite=True)
    return path
