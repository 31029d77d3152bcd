"""Pixels of a TIFF page in the plain layouts of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.photo_layout import PICTURE_TYPES, split_alpha
from unnoise.errors import InputError

COMPRESSIONS = {1: "none", 5: "lzw", 8: "adobe_deflate", 32946: "adobe_deflate", 32773: "packbits", 50000: "zstd"}
OTHER = "adobe_deflate"  # for compressions that lose, or that few programs read
BLACK_IS_LARGEST, PALETTE = 0, 3
GRAY, RGB, YCBCR = (0, 1), 2, 6
COLOURS = {5: "CMYK", 8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "raw mosaic", 34892: "linear raw"}


def decode(path: Path, page: Any) -> tuple[NDArray[Any], NDArray[Any] | None, bool]:
    """Pixels, alpha, and whether the colours are multiplied by it.

    Raises
    ------
    InputError : CMYK and other colour models, more than four channels, or a type that is not of a photo.
    """
    model = int(page.photometric)
    kind = "uint8" if page.dtype == np.bool_ else str(page.dtype)
    if model in COLOURS or (model == YCBCR and int(page.compression) not in (6, 7)):
        name = COLOURS.get(model, "YCbCr")
        raise InputError(f"{path} is a {name} TIFF: convert it to RGB first")
    if page.imagedepth > 1 or page.samplesperpixel > 4:
        count = max(page.imagedepth, page.samplesperpixel)
        raise InputError(f"{path} has {count} channels, but a photo has 1 to 4: if they are bands, pass --kind cube")
    if page.dtype is None:
        raise InputError(f"{path} mixes {page.bitspersample} bits in one pixel: convert it to 8 or 16 bit first")
    if kind not in PICTURE_TYPES or (kind == "uint16" and page.bitspersample != 16):
        raise InputError(
            f"{path} holds {page.bitspersample}-bit {kind} values: convert to 8 or 16 bit or float32 in [0, 1] first"
        )
    array = page.asarray()
    if array.dtype == np.bool_ or (kind == "uint8" and page.bitspersample < 8):
        array = (array * (255 // (2**page.bitspersample - 1))).astype(np.uint8) if model != PALETTE else array
    if page.samplesperpixel > 1 and int(page.planarconfig) == 2:
        array = np.moveaxis(array, 0, -1)
    if model == PALETTE:
        array = (page.colormap[:, array] >> 8).astype(np.uint8).transpose(1, 2, 0)
    if model == BLACK_IS_LARGEST:
        array = (np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1) - array
    array = array.reshape(page.imagelength, page.imagewidth, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    pixels, alpha = split_alpha(array)
    return pixels, alpha, alpha is not None and tuple(map(int, page.extrasamples)) == (1,)


def compression_name(page: Any) -> str:
    """What to write with, so that the file stays as it was where that loses nothing."""
    return COMPRESSIONS.get(int(page.compression), OTHER)


def notes_on(page: Any, thumbnails: bool) -> tuple[str, ...]:
    """Sentences about what `decode` had to change."""
    said = []
    if int(page.photometric) == PALETTE:
        said.append("palette colours became RGB")
    elif page.bitspersample < 8:
        said.append(f"{page.bitspersample}-bit gray became 8-bit")
    if int(page.photometric) == BLACK_IS_LARGEST:
        said.append("gray stored with white as 0 was inverted")
    if thumbnails:
        said.append("smaller copies in the file were left out")
    return tuple(said)
