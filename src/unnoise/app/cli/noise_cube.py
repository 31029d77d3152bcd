"""`unnoise noise` of one spectral cube."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from unnoise.noise.cube_profile import CubeProfile


def noise_of_cube(
    source: Path, plot: Path | None, overwrite: bool, dataset: str | None, band_axis: int | None
) -> Iterator[str | Table]:
    """What noise is in a cube: a sentence, a table, and where the plot is, drawn unless `plot` is `None`."""
    from unnoise.app.cube_figure import noise_figure
    from unnoise.data.cube import read_cube
    from unnoise.data.files import refuse_existing, replacing
    from unnoise.noise.cube_profile import analyse_cube
    from unnoise.restore.cubes import cube_tensors

    if plot is not None:
        refuse_existing(plot, overwrite)
    cube = read_cube(source, dataset, band_axis)
    y, valid = cube_tensors(cube.values, nodata=cube.nodata)
    found = analyse_cube(y, valid)
    yield f"{source}: {found.describe()}"
    if found.live:
        yield _table(found)
    if plot is not None:
        with replacing(plot, overwrite) as temporary:
            noise_figure(cube, found, f"{source.name}: {found.describe()}", temporary)
        yield f"  see {plot}"


def _table(profile: CubeProfile) -> Table:
    """Least, middle and largest of the bands, in the units of the file."""
    from unnoise.noise.cube_profile import ranges

    table = Table("", "least", "median", "largest", box=None, header_style="bold", padding=(0, 2))
    live = list(profile.live)
    for name, values, digits in (("noise level", profile.sigma, 4), ("SNR (dB)", profile.snr, 3)):
        some = np.array(values)[live]
        low, high = int(some.argmin()), int(some.argmax())
        ends = [f"{some[i]:.{digits}g} (band {live[i]})" for i in (low, high)]
        table.add_row(name, ends[0], f"{np.median(some):.{digits}g}", ends[1])
    for name, bands in (("impulses", profile.impulses), ("stripes", profile.stripes)):
        if bands:
            table.add_row(name, f"bands {ranges(bands)}")
    return table
