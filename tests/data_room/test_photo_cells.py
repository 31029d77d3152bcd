"""Every writer, by a round trip: pixels, alpha, EXIF, profile, XMP, resolution."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unnoise.data.photo import FORMATS, read_photo, write_photo
from unnoise.data.photo_write import WRITERS
from unnoise.errors import InputError

LOSSY = {"jpeg"}
CELLS = sorted(WRITERS)


def decibel(a, b):
    return -10 * np.log10(np.mean((a / 255.0 - b / 255.0) ** 2))


@pytest.mark.parametrize(("name", "kind", "layout"), CELLS, ids=map("-".join, CELLS))
def test_round_trip(name, kind, layout, make_photo, tmp_path):
    photo = make_photo(kind, layout)
    path = tmp_path / f"a{FORMATS[name][0]}"
    write_photo(path, photo)
    back = read_photo(path)

    assert back.format == name and back.notes == ()
    assert back.pixels.dtype == photo.pixels.dtype
    expected = photo.pixels
    if name == "webp" and photo.channels == 1:
        expected = np.dstack([expected] * 3)  # WebP has no gray
    if name in LOSSY:
        assert back.pixels.shape == expected.shape and decibel(back.pixels, expected) > 37
    else:
        np.testing.assert_array_equal(back.pixels, expected)
    if photo.alpha is None:
        assert back.alpha is None
    else:
        np.testing.assert_array_equal(back.alpha, photo.alpha)

    if name == "npy":
        return
    assert back.exif == photo.exif
    assert back.xmp == photo.xmp
    assert back.icc == (b"" if name == "webp" and photo.channels == 1 else photo.icc)  # its profile is for gray
    if name != "webp":  # which has no field for it
        assert back.dpi == pytest.approx(photo.dpi, abs=0.013)  # PNG counts pixels a metre


@pytest.mark.parametrize("cell", [c for c in CELLS if c[0] != "npy" and c[1] == "uint8"], ids="-".join)
def test_pillow_reads_the_same_metadata(cell, make_photo, tmp_path):
    name, kind, layout = cell
    path = tmp_path / f"a{FORMATS[name][0]}"
    write_photo(path, make_photo(kind, layout))
    with Image.open(path) as image:
        if name == "png":
            image.load()  # its EXIF may stand after the pixels
        exif = image.getexif()
        assert exif[0x0112] == 6 and exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8769)[0x8827] == 800
        assert float(exif.get_ifd(0x8769)[0x829A]) == pytest.approx(0.004)
        assert exif.get_ifd(0x8769)[0x927C] == bytes(range(256))
        assert tuple(map(float, exif.get_ifd(0x8825)[2])) == (52.0, 31.0, 12.5)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["gray", "gray+alpha", "rgb", "rgb+alpha"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_cell_without_a_writer_is_refused_and_those_that_fit_are_named(name, kind, layout, make_photo, tmp_path):
    path = tmp_path / f"a{FORMATS[name][0]}"
    if (name, kind, layout) in WRITERS:
        return
    with pytest.raises(InputError, match=r"cannot hold .* pixels: write .*\.tif.* instead"):
        write_photo(path, make_photo(kind, layout))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("target", ["jpeg", "png", "tiff", "webp"])
def test_metadata_survive_a_change_of_format(source, target, make_photo, tmp_path, exif, srgb):
    first, second = tmp_path / f"a{FORMATS[source][0]}", tmp_path / f"b{FORMATS[target][0]}"
    write_photo(first, make_photo("uint8", "rgb"))
    write_photo(second, read_photo(first))
    back = read_photo(second)
    assert (back.exif, back.icc, back.xmp) == (exif, srgb, b"<x:xmpmeta/>")


@pytest.mark.parametrize("height, width", [(1, 1), (3, 5), (1, 40), (40, 1)])
@pytest.mark.parametrize("name", FORMATS)
def test_tiny_pictures(name, height, width, make_photo, tmp_path):
    path = tmp_path / f"a{FORMATS[name][0]}"
    write_photo(path, make_photo("uint8", "rgb", height, width))
    assert read_photo(path).pixels.shape == (height, width, 3)
