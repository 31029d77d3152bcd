"""Cubes as TIFF: bands as planes, as samples of a pixel, or as pages; GeoTIFF's tags go along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data.cube import Cube, bands_last
from unnoise.data.files import replacing
from unnoise.data.mapped import raw, reserve
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError, MissingExtra

# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, GDAL's two
GEO = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
METADATA, NODATA = 42112, 42113  # GDAL's
COMPRESSIONS = {5: "lzw", 8: "adobe_deflate", 32946: "adobe_deflate", 50000: "zstd"}


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The first series of pages or planes."""
    cube = on_disk(path, dataset, band_axis)
    import tifffile

    with tifffile.TiffFile(path) as tif:
        array = tif.series[0].asarray()
    return replace(cube, values=bands_last(array, cube.band_axis)[0])


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The first series where it is: one run of values, or strips and tiles that are decoded when they are read."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            series, page = tif.series[0], tif.pages.first
            shape, axes, dtype = series.shape, series.axes, np.dtype(series.dtype)
            tags = [(t.code, int(t.dtype), t.count, t.value) for t in page.tags.values() if t.code in GEO]
            compression = COMPRESSIONS.get(int(page.compression))
            separate = int(page.planarconfig) == 2 or int(page.samplesperpixel) == 1
            offset, order = series.dataoffset, tif.byteorder
    except (tifffile.TiffFileError, IndexError) as error:
        raise InputError(f"{path} is no TIFF file, or damaged: get a new copy") from error
    if len(shape) != 3:
        raise InputError(f"{path} has the shape {tuple(shape)}, one band: use --kind photo")
    axis = (2 if axes.endswith("S") else 0) if band_axis is None else band_axis
    place = [a for a in range(3) if a != axis] + [axis]
    if offset is None:
        size = tuple(int(shape[a]) for a in place)
        opener = partial(_decoded, path.absolute())
        values = OnDisk(opener, (size[0], size[1], size[2]), dtype.newbyteorder("="), (place[0], place[1], place[2]))
    else:
        values = raw(path, dtype.newbyteorder(order), offset, tuple(shape), place)
    nodata = next((value for code, _, _, value in tags if code == NODATA), None)
    return Cube(
        values,
        **of_metadata(next((str(value) for code, _, _, value in tags if code == METADATA), ""), values.shape[2]),
        nodata=_float(nodata),
        format="tiff",
        band_axis=axis,
        extras={
            "tags": tags,
            "compression": compression,
            "separate": separate,
            "georeferenced": any(code not in (METADATA, NODATA) for code, *_ in tags),
        },
    )


@contextmanager
def _decoded(path: Path, mode: str) -> Iterator[Any]:
    import tifffile

    try:
        import zarr
    except ImportError as error:
        raise MissingExtra("cubes") from error
    with tifffile.imread(path, aszarr=True, series=0) as store:
        yield zarr.open(store, mode="r")


def create(dst: Path, cube: Cube, block: tuple[int, int]) -> OnDisk:
    """A file for a cube like `cube`, whose values are on disk, empty and not compressed."""
    import tifffile

    samples, tags = _layout(cube)
    shape = cube.values.shape if samples else (cube.values.shape[2], *cube.values.shape[:2])
    reserve(dst, cube.values.nbytes)  # an error now instead of a crash later; the map is laid out anew
    array = tifffile.memmap(
        dst,
        shape=shape,
        dtype=cube.values.dtype,
        photometric="minisblack",
        planarconfig="contig" if samples else "separate",
        extratags=tags,
        metadata=None,
        bigtiff=cube.values.nbytes > 3 << 30,
    )
    offset = array.offset
    del array
    reserve(dst, offset + cube.values.nbytes)
    return reopen(dst, cube)


def reopen(made: Path, cube: Cube) -> OnDisk:
    """What `create` made."""
    values = on_disk(made, None, 2 if _layout(cube)[0] else 0).values
    assert isinstance(values, OnDisk)
    return values


def _layout(cube: Cube) -> tuple[bool, list[Any]]:
    """Whether bands are samples of a pixel, and tags that go along; `InputError` for a single band."""
    if cube.values.shape[2] == 1:
        raise InputError("a TIFF of one band is read as a picture, not as a cube: write .hdr or .zarr instead")
    own = cube.format == "tiff"
    tags: list[Any] = [(*tag, True) for tag in cube.extras.get("tags", ())] if own else []
    if not own and cube.nodata is not None:
        tags.append((NODATA, 2, 0, f"{cube.nodata:.17g}", True))
    if not own and (cube.wavelengths is not None or cube.band_names is not None):
        tags.append((METADATA, 2, 0, as_metadata(cube), True))
    return own and not cube.extras["separate"], tags


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """One page with the bands as planes, or as samples of a pixel where they came so."""
    import tifffile

    own = cube.format == "tiff"
    samples, tags = _layout(cube)
    array = cube.values if samples else np.moveaxis(cube.values, 2, 0)
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


def of_metadata(xml: str, bands: int) -> dict[str, Any]:
    """Wavelengths, units and names of bands from GDAL's XML, where it has them for all bands."""
    from xml.etree import ElementTree

    try:
        items = list(ElementTree.fromstring(xml.strip("\0 \n"))) if xml else []
    except ElementTree.ParseError:
        return {}
    texts: dict[str, dict[int, str]] = {}
    for item in items:
        if (item.get("sample") or "").isdecimal():
            texts.setdefault((item.get("name") or "").lower(), {})[int(item.get("sample") or 0)] = item.text or ""
    whole = {name: [of[b] for b in range(bands)] for name, of in texts.items() if set(of) == set(range(bands))}
    found: dict[str, Any] = {}
    for name, units in (("wavelength", whole.get("wavelength_units", [""])[0]), ("central_wavelength_um", "um")):
        numbers = [_float(text) for text in whole.get(name, ())]
        if numbers and None not in numbers and "wavelengths" not in found:
            found |= {"wavelengths": tuple(numbers), "units": units}
    if "description" in whole:
        found["band_names"] = tuple(whole["description"])
    return found


def as_metadata(cube: Cube) -> str:
    """GDAL's XML for the wavelengths and names of bands, in ASCII."""
    from xml.etree import ElementTree

    root = ElementTree.Element("GDALMetadata")

    def add(band: int, name: str, text: str, **more: str) -> None:
        ElementTree.SubElement(root, "Item", {"name": name, "sample": str(band), **more}).text = text

    for band in range(cube.values.shape[2]):
        if cube.band_names is not None:
            add(band, "DESCRIPTION", cube.band_names[band], role="description")
        if cube.wavelengths is not None:
            add(band, "wavelength", f"{cube.wavelengths[band]:.10g}")
            add(band, "wavelength_units", cube.units)
    return ElementTree.tostring(root, encoding="us-ascii").decode("ascii").split("?>\n", 1)[-1]


def _float(value: Any) -> float | None:
    try:
        return None if value is None else float(str(value).strip("\0 "))
    except ValueError:
        return None
