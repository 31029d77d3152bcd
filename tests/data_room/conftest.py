"""Photographs for the tests of readers and writers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from unnoise.data.photo import FORMATS, Photo, write_photo


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    exif[0x010F] = "Maker"
    inner = exif.get_ifd(0x8769)
    inner[0x829A] = 0.004  # exposure time
    inner[0x8827] = 800  # ISO
    inner[0x927C] = bytes(range(256))  # maker note
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (52.0, 31.0, 12.5)
    return exif.tobytes()[6:]


@pytest.fixture(scope="session")
def exif() -> bytes:
    return _exif()


@pytest.fixture(scope="session")
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def make_photo(exif: bytes, srgb: bytes) -> Callable[..., Photo]:
    """A smooth picture with a little noise, in any type and layout, with all metadata."""

    def make(kind: str = "uint8", layout: str = "rgb", height: int = 37, width: int = 53, **fields: object) -> Photo:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:height, :width]
        ramp = (y + x)[:, :, None] / (height + width) * [0.9, 0.7, 0.5] + 0.05 * rng.random((height, width, 3))
        values = ramp if layout.startswith("rgb") else ramp[:, :, 0]
        scale = np.iinfo(kind).max if kind.startswith("u") else 1
        pixels = (values * scale).astype(kind)
        alpha = (rng.random((height, width)) * scale).astype(kind) if layout.endswith("alpha") else None
        profile = srgb if layout.startswith("rgb") else b"\0" * 16 + b"GRAY" + b"p" * 300
        known = {"exif": exif, "icc": profile, "xmp": b"<x:xmpmeta/>", "dpi": (300.0, 150.0)}
        return Photo(pixels, alpha, **{**known, **fields})

    return make


@pytest.fixture(scope="session")
def valid_files(make_photo: Callable[..., Photo], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small valid files of every format, name -> content."""
    folder: Path = tmp_path_factory.mktemp("valid")
    for kind, layout in (("uint8", "rgb"), ("uint16", "rgb+alpha"), ("uint8", "gray"), ("float32", "rgb")):
        photo = make_photo(kind, layout, 19, 23)
        for name, (extension, *_) in FORMATS.items():
            try:
                write_photo(folder / f"{kind}_{layout}_{name}{extension}", photo)
            except ValueError:
                continue  # the format cannot hold it
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    buffer = io.BytesIO()
    Image.fromarray(make_photo("uint8").pixels).quantize(16).save(buffer, "PNG")
    files["palette.png"] = buffer.getvalue()
    for compression in ("lzw", "zstd", "packbits"):
        tiff = folder / f"{compression}.tif"
        write_photo(tiff, make_photo("uint16", "rgb", 19, 23, compression=compression))
        files[tiff.name] = tiff.read_bytes()
    return files
