"""One named writer for every format, type and layout of pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data import png_chunks, tags
from unnoise.data.formats import FORMATS, Photo, label
from unnoise.errors import InputError

JPEG_QUALITY = 95
JPEG_SEGMENT = 65533  # bytes of EXIF or XMP that fit, with their own header, in one segment
SIDES = {"jpeg": 65535, "webp": 16383}
BIG = 2**32 - 2**25  # bytes; classic TIFF holds 32-bit offsets

Pieces = Iterable[bytes | bytearray | memoryview]


def write_png(path: Path, photo: Photo) -> None:
    """8 or 16 bits through libpng; profile, EXIF, XMP, resolution and texts as chunks of their own."""
    import imagecodecs

    encoded = imagecodecs.png_encode(np.ascontiguousarray(photo.stacked()))
    kept = list(photo.extras) if photo.format == "png" else []
    icc = _fitting_icc(photo.icc, photo.channels)
    made = png_chunks.metadata(icc, photo.exif, photo.xmp, photo.dpi)
    _write(path, png_chunks.insert(encoded, kept + made))


def write_jpeg(path: Path, photo: Photo) -> None:
    """Full chroma, each quantisation step no coarser than the source's nor than at quality 95."""
    from PIL import Image

    for name, data, prefix in (("EXIF", photo.exif, 6), ("XMP", photo.xmp, 29)):
        if len(data) + prefix > JPEG_SEGMENT:
            raise InputError(
                f"{path}: {len(data)} bytes of {name} do not fit in a JPEG: write png, tiff or webp instead"
            )
    options: dict[str, Any] = {"subsampling": 0, "quality": JPEG_QUALITY}
    if photo.exif:
        options["exif"] = b"Exif\0\0" + photo.exif
    if photo.dpi:
        options["dpi"] = tuple(min(65535, max(1, round(value))) for value in photo.dpi)
    if photo.jpeg_tables:
        options["qtables"] = _finer(photo.jpeg_tables, photo.channels)
        options.pop("quality")
    if photo.format == "jpeg":
        options["extra"] = b"".join(
            marker + (len(data) + 2).to_bytes(2, "big") + data
            for marker, data in photo.extras
            if len(data) < JPEG_SEGMENT
        )
    buffer = io.BytesIO()
    image = Image.fromarray(photo.pixels)
    image.save(buffer, "JPEG", icc_profile=photo.icc or None, xmp=photo.xmp, comment=b"", **options)
    _write(path, [buffer.getbuffer()])


def write_webp(path: Path, photo: Photo) -> None:
    """Without loss if the source was, else at quality 95; alpha always exact. Gray becomes three equal channels."""
    from PIL import Image

    colour = photo.pixels if photo.channels == 3 else np.dstack([photo.pixels] * 3)
    stacked = colour if photo.alpha is None else np.dstack([colour, photo.alpha])
    buffer = io.BytesIO()
    Image.fromarray(stacked).save(
        buffer,
        "WEBP",
        lossless=photo.lossless,
        quality=20 if photo.lossless else 95,  # of a lossless file: the effort, which past 20 gains half a percent
        alpha_quality=100,
        exact=True,  # colours under transparent pixels stay
        icc_profile=_fitting_icc(photo.icc, 3),
        exif=photo.exif,
        xmp=photo.xmp,
    )
    _write(path, [buffer.getbuffer()])


def write_tiff(path: Path, photo: Photo) -> None:
    """8, 16 bits or float, compressed as the source was; EXIF, GPS, geo-reference and captions as they were."""
    import tifffile

    order, directory = tags.parse(photo.exif)
    predictor = photo.compression in ("lzw", "adobe_deflate", "zstd") and photo.pixels.dtype != np.float16
    stacked = np.ascontiguousarray(photo.stacked())
    extra = () if photo.alpha is None else ("assocalpha" if photo.premultiplied else "unassalpha",)
    tifffile.imwrite(
        path,
        stacked,
        photometric="minisblack" if photo.channels == 1 else "rgb",
        planarconfig="contig" if stacked.ndim == 3 else None,
        extrasamples=extra,
        compression=None if photo.compression == "none" else photo.compression,
        predictor=predictor,
        resolution=photo.dpi,
        resolutionunit="INCH" if photo.dpi else None,
        byteorder=">" if order == ">" else "<",
        bigtiff=stacked.nbytes > BIG,
        metadata=None,
        software=False,
    )
    added = tags.descriptive(directory)
    if photo.icc:
        added[tags.ICC] = tags.Tag(7, len(photo.icc), photo.icc)
    if photo.xmp:
        added[tags.XMP] = tags.Tag(1, len(photo.xmp), photo.xmp)
    if added:
        tags.add_to_file(path, added)


def write_npy(path: Path, photo: Photo) -> None:
    """Pixels only."""
    with path.open("wb") as file:
        np.save(file, photo.pixels, allow_pickle=False)


Writer = Callable[[Path, Photo], None]
_LAYOUTS = ("gray", "gray+alpha", "rgb", "rgb+alpha")
_FLOATS = ("float16", "float32", "float64")

WRITERS: dict[tuple[str, str, str], Writer] = {
    **{("png", kind, layout): write_png for kind in ("uint8", "uint16") for layout in _LAYOUTS},
    **{("jpeg", "uint8", layout): write_jpeg for layout in ("gray", "rgb")},
    **{("tiff", kind, layout): write_tiff for kind in ("uint8", "uint16", *_FLOATS) for layout in _LAYOUTS},
    **{("webp", "uint8", layout): write_webp for layout in _LAYOUTS},
    **{("npy", kind, layout): write_npy for kind in ("uint8", "uint16", *_FLOATS) for layout in ("gray", "rgb")},
}
"""(format, type, layout) -> its writer. What is not here cannot be held by that format."""


def writer_for(path: Path, name: str, photo: Photo) -> Writer:
    """The writer of a photo to format `name`, or an `InputError` naming the formats that can hold it."""
    cell = (str(photo.pixels.dtype), photo.layout)
    writer = WRITERS.get((name, *cell))
    if writer is None or (photo.premultiplied and photo.alpha is not None and name != "tiff"):
        able = [FORMATS[other][0] for other in FORMATS if (other, *cell) in WRITERS]
        if photo.premultiplied and photo.alpha is not None:
            able = [".tif"]
        if not able:
            raise InputError(f"{path}: no format holds {cell[0]} pixels: convert them to uint8, uint16 or float32")
        kind = f"{cell[0]} {photo.layout.replace('+', ' with ')}"
        raise InputError(f"{path}: {label(name)} cannot hold {kind} pixels: write {' or '.join(able)} instead")
    longest = max(photo.pixels.shape[:2])
    if longest > SIDES.get(name, longest):
        raise InputError(
            f"{path}: {label(name)} holds at most {SIDES[name]} pixels a side, this picture has {longest}: "
            "write .png or .tif instead"
        )
    return writer


def _finer(tables: tuple[tuple[int, ...], ...], channels: int) -> list[list[int]]:
    """Step by step the smaller of the source's and of those at quality 95."""
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile

    buffer = io.BytesIO()
    Image.new("L" if channels == 1 else "RGB", (8, 8)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    buffer.seek(0)
    fine = [table for _, table in sorted(JpegImageFile(buffer).quantization.items())]
    return [
        [min(a, b) for a, b in zip(table, tables[min(k, len(tables) - 1)], strict=True)] for k, table in enumerate(fine)
    ]


def _fitting_icc(icc: bytes, channels: int) -> bytes:
    """The profile, unless it is for another number of channels, which PNG and WebP forbid."""
    return b"" if icc[16:20] in ({b"RGB ", b"CMYK"} if channels == 1 else {b"GRAY", b"CMYK"}) else icc


def _write(path: Path, pieces: Pieces) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)
