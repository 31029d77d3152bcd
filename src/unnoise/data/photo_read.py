"""One reader a format: sizes are checked in the header, before anything is decoded or allocated."""

from __future__ import annotations

import logging
import mmap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data import png_chunks, tags
from unnoise.data.formats import Photo, damaged, truncated
from unnoise.data.photo_layout import PICTURE_TYPES, split_alpha
from unnoise.data.photo_tiff import compression_name, decode, notes_on
from unnoise.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT_SEGMENTS = {"APP13": b"\xff\xed", "COM": b"\xff\xfe"}  # IPTC captions, comment


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and log lines of decoders: what matters of them is in our errors and notes."""
    log = logging.getLogger("tifffile")
    disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = disabled


def check_size(path: Path, height: int, width: int, max_pixels: int) -> None:
    """Refuse pictures without pixels or with more than `max_pixels`."""
    if height < 1 or width < 1:
        raise InputError(f"{path} has no pixels ({width} x {height}): get a new copy")
    if height * width > max_pixels:
        raise InputError(
            f"{path} has {height * width / 1e6:.0f} megapixels ({width} x {height}), above the limit of "
            f"{max_pixels / 1e6:g}: raise --max-pixels if you trust the file"
        )


def read_png(path: Path, max_pixels: int) -> Photo:
    """1 to 16 bits, gray, RGB, palette, with and without alpha."""
    header, chunks = png_chunks.scan(path)
    check_size(path, header.height, header.width, max_pixels)
    png_chunks.check_complete(path, header)
    if any(kind == b"acTL" and data[:4] > b"\0\0\0\1" for kind, data in chunks):
        raise InputError(f"{path} is an animation: save the frame you want as a picture of its own first")
    notes: tuple[str, ...] = ()
    if header.bits == 16:
        import imagecodecs

        array, alpha = split_alpha(imagecodecs.png_decode(png_chunks.pixels_only(path.read_bytes())))
        key = dict(chunks).get(b"tRNS")
        if alpha is None and key:
            alpha = _keyed_alpha(array, key)
    else:
        from PIL.PngImagePlugin import PngImageFile

        with path.open("rb") as file, PngImageFile(file) as image:
            array, alpha, notes = _from_pillow(image)
    if header.bits < 8 and header.colour != 3:
        notes = (*notes, f"{header.bits}-bit gray became 8-bit")
    return Photo(
        array,
        alpha,
        "png",
        exif=dict(chunks).get(b"eXIf", b""),
        icc=png_chunks.icc_of(chunks),
        xmp=png_chunks.xmp_of(chunks),
        dpi=png_chunks.dpi_of(chunks),
        extras=png_chunks.kept_of(chunks),
        notes=notes,
    )


def read_jpeg(path: Path, max_pixels: int) -> Photo:
    """Gray, RGB and CMYK; of several pictures in one file (MPO), the first."""
    from PIL.JpegImagePlugin import JpegImageFile

    with path.open("rb") as file, JpegImageFile(file) as image:
        check_size(path, image.height, image.width, max_pixels)
        info = image.info
        applied = tuple((KEPT_SEGMENTS[name], data) for name, data in image.applist if name in KEPT_SEGMENTS)
        tables = tuple(tuple(table) for _, table in sorted(image.quantization.items()))
        array, _, notes = _from_pillow(image)
        icc = info.get("icc_profile") or b""
        if image.mode == "CMYK":
            icc = b""  # the pixels are sRGB now
        if "mp" in info:
            notes = (*notes, "further pictures in the file (stereo, depth or gain map) were left out")
        return Photo(
            array,
            None,
            "jpeg",
            exif=_bare(info.get("exif")),
            icc=icc,
            xmp=info.get("xmp") or b"",
            dpi=_dpi(info.get("dpi")),
            lossless=False,
            jpeg_tables=tables,
            extras=applied,
            notes=notes,
        )


def read_webp(path: Path, max_pixels: int) -> Photo:
    """Lossless or lossy, with or without alpha."""
    import imagecodecs

    content = path.read_bytes()
    chunks = _webp_chunks(path, content)
    width, height = _webp_size(chunks)
    check_size(path, height, width, max_pixels)
    if "ANIM" in chunks:
        raise InputError(f"{path} is an animation: save the frame you want as a picture of its own first")
    array, alpha = split_alpha(imagecodecs.webp_decode(content))
    return Photo(
        array,
        alpha,
        "webp",
        exif=_bare(bytes(chunks.get("EXIF", b""))),
        icc=bytes(chunks.get("ICCP", b"")),
        xmp=bytes(chunks.get("XMP ", b"")),
        lossless="VP8L" in chunks,
    )


def read_npy(path: Path, max_pixels: int) -> Photo:
    """(H, W), (H, W, 1) or (H, W, 3); mapped first, so that a header that promises too much allocates nothing."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, _, dtype = read(file)
        except Exception:  # it is parsed as Python text
            raise damaged(path, "npy", "its header makes no sense") from None
        here = file.tell()
    if dtype.hasobject:
        raise InputError(f"{path} holds pickled Python objects, which can run code: save a plain array with numpy.save")
    kind = dtype.newbyteorder("=").name
    if kind not in PICTURE_TYPES:
        raise InputError(f"{path} holds {kind} values: convert to uint8, uint16 or float32 in [0, 1] first")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        what = f"{shape[2]} channels" if len(shape) == 3 and shape[2] < 16 else f"the shape {shape}"
        raise InputError(
            f"{path} has {what}, but a photo is (H, W) or (H, W, 3): convert it, or name its kind with --kind (cube "
            f"where these are bands)"
        )
    check_size(path, shape[0], shape[1], max_pixels)
    if path.stat().st_size < here + int(np.prod(shape)) * dtype.itemsize:
        raise truncated(path, "npy")
    mapped = np.lib.format.open_memmap(path, mode="r")
    array = np.array(mapped, dtype=kind, order="C")
    if array.ndim == 3 and array.shape[2] == 1:
        return Photo(array[:, :, 0], None, "npy", notes=("(H, W, 1) became (H, W)",))
    return Photo(array, None, "npy")


def read_tiff(path: Path, max_pixels: int) -> Photo:
    """Strips or tiles, classic or Big, any compression that imagecodecs knows; one picture a file."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        check_size(path, page.imagelength, page.imagewidth, max_pixels)
        further = [other for other in tiff.pages[1:] if not other.keyframe.is_reduced]  # type: ignore[union-attr]
        if further:
            raise InputError(f"{path} holds {len(further) + 1} pages: save the one you want as a file of its own first")
        end = path.stat().st_size
        if any(at + size > end for at, size in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise truncated(path, "tiff")
        array, alpha, premultiplied = decode(path, page)
        notes = notes_on(page, thumbnails=len(tiff.pages) > 1)
        compression = compression_name(page)
        dpi = _tiff_dpi(page)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        order, directory = tags.parse(mapped)
    held = {code: tag.data for code, tag in directory.items()}
    return Photo(
        array,
        alpha,
        "tiff",
        exif=tags.to_exif(order, tags.descriptive(directory)),
        icc=held.get(tags.ICC, b""),
        xmp=held.get(tags.XMP, b""),
        dpi=dpi,
        premultiplied=premultiplied,
        compression=compression,
        notes=notes,
    )


READERS: dict[str, Callable[[Path, int], Photo]] = {
    "png": read_png,
    "jpeg": read_jpeg,
    "tiff": read_tiff,
    "webp": read_webp,
    "npy": read_npy,
}


def _keyed_alpha(array: NDArray[Any], key: bytes) -> NDArray[Any]:
    """Alpha of a 16-bit PNG that names one colour as transparent."""
    same = array == np.frombuffer(key, ">u2")
    transparent = same if array.ndim == 2 else same.all(axis=2)
    return np.where(transparent, 0, 65535).astype(np.uint16)


def _from_pillow(image: Image) -> tuple[NDArray[Any], NDArray[Any] | None, tuple[str, ...]]:
    """Decoded pixels, alpha and what had to change."""
    notes: tuple[str, ...] = ()
    image.load()
    transparent = "transparency" in image.info
    decoded = image
    if image.mode == "P":
        decoded, notes = image.convert("RGBA" if transparent else "RGB"), ("palette colours became RGB",)
    elif image.mode == "CMYK":
        decoded, notes = _cmyk_to_rgb(image), ("CMYK became sRGB",)
    elif transparent and image.mode in ("1", "L", "RGB"):
        decoded = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif image.mode == "1":
        decoded = image.convert("L")
    if decoded.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"pixels of kind {decoded.mode} are not supported")
    array, alpha = split_alpha(np.array(decoded))
    return array, alpha, notes


def _cmyk_to_rgb(image: Image) -> Image:
    """Through the embedded profile where it is usable, else by the plain formula."""
    import io

    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _webp_chunks(path: Path, content: bytes) -> dict[str, memoryview]:
    if int.from_bytes(content[4:8], "little") + 8 > len(content):
        raise truncated(path, "webp")
    chunks, at = {}, 12
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        chunks[content[at : at + 4].decode("latin-1")] = memoryview(content)[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return chunks


def _webp_size(chunks: dict[str, memoryview]) -> tuple[int, int]:
    """Width and height, the larger where the canvas and the picture in it disagree."""
    width = height = 0
    if canvas := chunks.get("VP8X"):
        width, height = (int.from_bytes(canvas[at : at + 3], "little") + 1 for at in (4, 7))
    if lossless := chunks.get("VP8L"):
        bits = int.from_bytes(lossless[1:5], "little")
        width, height = max(width, (bits & 0x3FFF) + 1), max(height, (bits >> 14 & 0x3FFF) + 1)
    if lossy := chunks.get("VP8 "):
        w, h = (int.from_bytes(lossy[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height = max(width, w), max(height, h)
    return width, height


def _bare(exif: bytes | None) -> bytes:
    return (exif or b"").removeprefix(b"Exif\0\0")


def _dpi(value: Any) -> tuple[float, float] | None:
    return (float(value[0]), float(value[1])) if value and value[0] > 0 and value[1] > 0 else None


def _tiff_dpi(page: Any) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(int(page.tags.valueof(296, default=2)), 0.0)
    pair = [page.tags.valueof(code, default=(0, 1)) for code in (282, 283)]
    x, y = (unit * value[0] / value[1] if value[1] else 0.0 for value in pair)
    return _dpi((x, y))
