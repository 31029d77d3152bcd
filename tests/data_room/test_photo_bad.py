"""Bad input: one sentence, what is wrong with which file, and the mend."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from unnoise.data.photo import Photo, read_photo, write_photo
from unnoise.errors import InputError


def refused(path, said, **options):
    with pytest.raises(InputError, match=said) as caught:
        read_photo(path, **options)
    sentence = str(caught.value)
    assert path.name in sentence and "\n" not in sentence and ": " in sentence
    return sentence


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp", ".npy"])
def test_text_and_nothing(tmp_path, extension):
    path = tmp_path / f"a{extension}"
    path.write_text("this is a letter, not a picture")
    refused(path, "is not a picture: its content is text")
    path.write_bytes(b"")
    refused(path, "is empty")


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp", ".npy"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
def test_truncated(tmp_path, make_photo, extension, share):
    path = tmp_path / f"a{extension}"
    write_photo(path, make_photo("uint8", "rgb", 200, 200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "is a (truncated|damaged)")


def test_missing_with_the_nearest_name(tmp_path, make_photo):
    write_photo(tmp_path / "holiday.png", make_photo())
    assert "did you mean" in refused(tmp_path / "holyday.png", "does not exist") and "holiday.png"
    refused(tmp_path / "zzz.jpg", "check the name")
    with pytest.raises(InputError, match=r"the folder .* does not exist either"):
        read_photo(tmp_path / "no" / "a.png")


def test_folder_extension_permission(tmp_path, make_photo, monkeypatch):
    (tmp_path / "a.png").mkdir()
    refused(tmp_path / "a.png", "is a folder")
    (tmp_path / "a.xyz").write_bytes(b"x")
    assert ".webp" in refused(tmp_path / "a.xyz", "the extension '.xyz' is not that of a photo")
    (tmp_path / "noext").write_bytes(b"x")
    refused(tmp_path / "noext", "has no extension")
    write_photo(tmp_path / "b.png", make_photo())
    (tmp_path / "b.png").chmod(0)
    if os.geteuid() == 0:  # root reads everything

        def closed(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("pathlib.Path.open", closed)
    refused(tmp_path / "b.png", "cannot be read .Permission denied.: check its permissions")


def bomb(width, height, body=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_huge_headers_allocate_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(bomb(100_000, 100_000))
    (tmp_path / "b.png").write_bytes(bomb(15_000, 15_000))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    for name, shape in (("a.npy", b"1000000, 1000000"), ("b.npy", b"15000, 15000"), ("c.npy", b"10**5, 7")):
        text = (header % shape).ljust(117) + b"\n"
        (tmp_path / name).write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text)
    tracemalloc.start()
    refused(tmp_path / "a.png", "has 10000 megapixels .* above the limit of 250: raise --max-pixels")
    refused(tmp_path / "b.png", "truncated PNG")
    refused(tmp_path / "a.npy", "has 1000000 megapixels")
    refused(tmp_path / "b.npy", "truncated npy")
    refused(tmp_path / "c.npy", "header makes no sense")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp", ".npy"])
def test_max_pixels_is_checked_before_decoding(tmp_path, make_photo, extension, monkeypatch):
    path = tmp_path / f"a{extension}"
    write_photo(path, make_photo("uint8", "rgb", 20, 30))
    assert read_photo(path, max_pixels=600).pixels.shape == (20, 30, 3)
    for module in ("photo_read", "photo_tiff"):
        monkeypatch.setattr(f"unnoise.data.{module}.split_alpha", None)  # what every decoder ends in
    refused(path, r"has 0 megapixels \(30 x 20\), above the limit", max_pixels=599)


def test_pillow_does_not_refuse_or_warn_about_what_is_allowed(tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for extension in (".png", ".jpg", ".webp"):
        Image.new("RGB", (30, 20)).save(tmp_path / f"a{extension}")
        assert read_photo(tmp_path / f"a{extension}").pixels.shape == (20, 30, 3)
    assert not recwarn.list


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


def test_npy_that_could_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([[Trap()]], object), allow_pickle=True)
    refused(tmp_path / "a.npy", "pickled Python objects, which can run code: save a plain array")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    refused(tmp_path / "b.npy", "is not a picture")
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((5, 6, 2), np.uint8), "has 2 channels, but a photo is"),
        (np.zeros((5, 6, 4), np.uint8), "has 4 channels.*name its kind with --kind"),
        (np.zeros((5, 6, 31), np.float32), r"has the shape \(5, 6, 31\)"),
        (np.zeros(5, np.uint8), r"has the shape \(5,\)"),
        (np.zeros((0, 5), np.uint8), "has no pixels"),
        (np.zeros((5, 6), np.int64), "holds int64 values: convert to"),
        (np.zeros((5, 6), complex), "holds complex128 values"),
        (np.array([[0, np.nan, np.inf, -np.inf]]), "3 of 4 values that are NaN or infinite: fill them"),
    ],
)
def test_arrays_that_are_no_photo(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy", said)


@pytest.mark.parametrize(
    ("pixels", "alpha", "said"),
    [
        (np.zeros((4, 5, 2), np.uint8), None, r"make them \(H, W\) or \(H, W, 3\)"),
        (np.zeros((4, 5, 1), np.uint8), None, "are no photo"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.uint8), "alpha of shape"),
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint16), "of the same type"),
    ],
)
def test_pixels_and_alpha_have_to_fit(pixels, alpha, said):
    with pytest.raises(InputError, match=said):
        Photo(pixels, alpha)


def test_types_that_no_format_holds(tmp_path):
    with pytest.raises(InputError, match="no format holds int32 pixels: convert them to uint8, uint16 or float32"):
        write_photo(tmp_path / "a.tif", Photo(np.zeros((4, 5), np.int32)))
