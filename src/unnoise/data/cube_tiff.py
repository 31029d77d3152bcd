"""Cubes as TIFF: bands as planes, as samples of a pixel, or as pages; GeoTIFF's tags go along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.cube import Cube, bands_last
from unnoise.data.files import replacing
from unnoise.errors import InputError

# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, GDAL's two
GEO = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
NODATA = 42113
COMPRESSIONS = {5: "lzw", 8: "adobe_deflate", 32946: "adobe_deflate", 50000: "zstd"}


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The first series of pages or planes."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            series, page = tif.series[0], tif.pages.first
            array, axes = series.asarray(), series.axes
            tags = [(t.code, int(t.dtype), t.count, t.value) for t in page.tags.values() if t.code in GEO]
            compression = COMPRESSIONS.get(int(page.compression))
            separate = int(page.planarconfig) == 2 or int(page.samplesperpixel) == 1
    except (tifffile.TiffFileError, IndexError) as error:
        raise InputError(f"{path} is no TIFF file, or damaged: get a new copy") from error
    if array.ndim != 3:
        raise InputError(f"{path} has the shape {array.shape}, one band: use --kind photo")
    stored_axis = 2 if axes.endswith("S") else 0
    values, axis = bands_last(array, stored_axis if band_axis is None else band_axis)
    nodata = next((value for code, _, _, value in tags if code == NODATA), None)
    return Cube(
        values,
        nodata=_float(nodata),
        format="tiff",
        band_axis=axis,
        extras={"tags": tags, "compression": compression, "separate": separate},
    )


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """One page with the bands as planes, or as samples of a pixel where they came so."""
    import tifffile

    own = cube.format == "tiff"
    samples = own and not cube.extras["separate"]
    array = cube.values if samples else np.moveaxis(cube.values, 2, 0)
    tags: list[Any] = [(*tag, True) for tag in cube.extras.get("tags", ())] if own else []
    if not own and cube.nodata is not None:
        tags.append((NODATA, 2, 0, f"{cube.nodata:g}", True))
    with replacing(dst, overwrite) as temporary:
        tifffile.imwrite(
            temporary,
            np.ascontiguousarray(array),
            photometric="minisblack",
            planarconfig="contig" if samples else "separate",
            compression=cube.extras.get("compression") if own else None,
            extratags=tags,
            metadata=None,
            bigtiff=cube.values.nbytes > 3 << 30,
        )


def _float(value: Any) -> float | None:
    try:
        return None if value is None else float(str(value).strip("\0 "))
    except ValueError:
        return None
