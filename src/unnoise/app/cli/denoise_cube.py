"""`unnoise denoise` of one spectral cube."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.app.cli.cube_options import CubeOptions
from unnoise.app.cli.denoise_chunked import denoise_chunked, goes_in_pieces
from unnoise.app.cli.progress import Report
from unnoise.errors import OutputError

if TYPE_CHECKING:
    from unnoise.data.cube import Cube
    from unnoise.restore.result import Restored


def denoise_cube(
    source: Path, target: Path, wanted: CubeOptions, overwrite: bool, report: bool, progress: Report
) -> Iterator[str]:
    """Clean one file into another; yields what there is to say. What does not fit in memory goes in pieces."""
    from unnoise.data.cube import left_behind, read_cube, write_cube
    from unnoise.restore.door import restore

    if target.exists() and not overwrite:  # before the work, not after it
        raise OutputError(f"{target} exists: choose another name or pass --overwrite")
    if goes_in_pieces(source, wanted):
        yield from denoise_chunked(source, target, wanted, overwrite, report, progress)
        return
    cube = read_cube(source, wanted.dataset, wanted.band_axis)
    done = restore(
        cube.values,
        wanted.method,
        kind="cube",
        sigma=wanted.sigma,
        strength=wanted.strength,
        device=wanted.device,
        tile=wanted.tile,
        calibrate=wanted.calibrate,
        nodata=cube.nodata,
        band_axis=2,
        **wanted.options,
    )
    write_cube(target, cube.with_values(done.image), overwrite)
    yield f"{source} -> {target}\n  {summary(done)}"
    if done.profile is not None:
        yield f"  {done.profile.describe()}"
    if lost := left_behind(cube, target):
        yield f"  note: {lost}"
    if report:
        yield f"  see {write_report(source.name, cube, target, done)}"


def summary(done: Restored) -> str:
    """Method, reason and speed in one line."""
    height, width, bands = done.image.shape
    size = f"{height} x {width} pixels, {bands} bands"
    return f"{done.choice.method}: {done.choice.reason}; {size} in {done.seconds:.2f} s"


def write_report(name: str, before: Cube, target: Path, done: Restored) -> Path:
    """NAME.report.png and NAME.report.json beside the result; always replaced, as they belong to it."""
    from unnoise.app.cube_figure import cube_figure
    from unnoise.data.files import replacing

    facts = {
        "source": name,
        "method": done.choice.method,
        "reason": done.choice.reason,
        "options": {key: str(value) for key, value in done.choice.options.items()},
        "seconds": round(done.seconds, 3),
        "profile": done.profile.to_dict() if done.profile else None,
    }
    picture = target.with_name(f"{target.stem}.report.png")
    with replacing(picture, overwrite=True) as temporary:
        cube_figure(before, done, f"{name}: {summary(done)}", temporary)
    with replacing(picture.with_suffix(".json"), overwrite=True) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, default=str) + "\n")
    return picture
