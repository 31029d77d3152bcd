"""`unnoise compare` of one spectral cube."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from unnoise.app.cli.compare import middle
from unnoise.app.cli.progress import Report
from unnoise.errors import InputError, UnnoiseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 256
"""Of the middle part that is compared, unless told."""


def compare_cube(
    source: Path,
    sheet: Path,
    clean: str | None,
    sigma: float | None,
    size: int | None,
    overwrite: bool,
    dataset: str | None,
    band_axis: int | None,
    start: Callable[[str], Report],
) -> Iterator[str | Table]:
    """Every method that applies, on the middle of a cube: what auto takes, a table, and where the pictures are.

    A method that the cube is too small for has its reason in the table. PSNR and the rest are over the pixels that
    have all bands that are in the noisy cube at all and vary in the clean one.
    """
    from unnoise.app.cube_figure import false_colour, shown_bands
    from unnoise.app.figures import contact_sheet
    from unnoise.data.cube import read_cube
    from unnoise.data.files import replacing
    from unnoise.restore import METHODS
    from unnoise.restore.cubes import cube_tensors
    from unnoise.restore.door import restore

    cube = read_cube(source, dataset, band_axis)
    y = middle(cube.values, size or EDGE)
    x = None if clean is None else _reference(clean, dataset, band_axis, size or EDGE, y)
    given: dict[str, Any] = {"kind": "cube", "sigma": sigma, "nodata": cube.nodata, "band_axis": 2}
    valid = cube_tensors(y, nodata=cube.nodata)[1]
    measured = valid.permute(1, 2, 0).numpy()
    # fasthyin is fasthyde where nothing is missing
    able = [name for name, method in METHODS.items() if "cube" in method.kinds and method.adapt is None]
    names = [name for name in able if name != "fasthyin" or not bool(valid.all())]
    start("auto")
    chosen = restore(y, **given)
    bands = shown_bands(cube, getattr(chosen.profile, "live", ()))
    pictures = [("input", false_colour(y, bands, nodata=cube.nodata))]
    if x is not None:
        pictures.append(("clean", false_colour(x, bands, y, cube.nodata)))
    columns = ["method", "s", "removed"] + ([] if x is None else ["MPSNR (dB)", "SAM (degrees)", "ERGAS"])
    table = Table(*columns, box=None, header_style="bold")
    table.add_row("input", "", "", *_scores(y, x, measured))
    for name in ("auto", *names):
        start(name)
        try:
            done = chosen if name == "auto" else restore(y, name, **given)
        except UnnoiseError as error:
            table.add_row(name, "", str(error))
            continue
        pictures.append((name, false_colour(done.image, bands, y, cube.nodata)))
        off = (done.image.astype(np.float64) - y)[measured]
        removed = f"{np.sqrt(np.square(off).mean()):.4g}"
        style = "bold" if name == "auto" else None
        table.add_row(name, f"{done.seconds:.2f}", removed, *_scores(done.image, x, measured), style=style)
    reason = f"{source.name}: auto takes {chosen.choice.method}, {chosen.choice.reason}"
    with replacing(sheet, overwrite) as temporary:
        contact_sheet(pictures, f"{reason}; bands {', '.join(map(str, bands))}").save(temporary)
    yield reason
    yield table
    yield f"see {sheet}"


def _reference(
    clean: str, dataset: str | None, band_axis: int | None, size: int, y: NDArray[Any]
) -> NDArray[np.float64]:
    from unnoise.data.cube import read_cube

    x = middle(read_cube(clean, dataset, band_axis).values, size)
    if x.shape != y.shape:
        raise InputError(f"{clean} has shape {x.shape}, the noisy cube {y.shape}: they must be of one scene and size")
    return x.astype(np.float64)


def _scores(image: NDArray[Any], x: NDArray[Any] | None, measured: NDArray[np.bool_]) -> list[str]:
    if x is None:
        return []
    from unnoise.metrics.cube import ergas, mpsnr, sam

    live = measured.any((0, 1)) & (np.nanmax(x, (0, 1)) > np.nanmin(x, (0, 1)))
    seen = measured[..., live].all(2) & np.isfinite(x[..., live]).all(2) & np.isfinite(image[..., live]).all(2)
    if not seen.any():
        return ["", "", ""]
    a, b = (v[seen][:, live][None] for v in (image, x))
    return [f"{mpsnr(a, b):.2f}", f"{sam(a, b):.2f}", f"{ergas(a, b):.2f}"]
