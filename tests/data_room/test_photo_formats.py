"""What single formats know that others do not."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unnoise.data import tags
from unnoise.data.photo import Photo, read_photo, write_photo
from unnoise.errors import InputError


def save(path, image, *args, **options):
    image.save(path, *args, **options)
    return path


@pytest.fixture
def rgb(make_photo):
    return Image.fromarray(make_photo().pixels)


# ---------------------------------------------------------------- JPEG


@pytest.mark.parametrize("quality", [30, 75, 95, 98, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_written_no_coarser_than_it_was(rgb, tmp_path, quality, mode):
    first = save(tmp_path / "a.jpg", rgb.convert(mode), quality=quality, subsampling=2)
    write_photo(tmp_path / "b.jpg", read_photo(first))
    before, after = read_photo(first), read_photo(tmp_path / "b.jpg")
    reference = read_photo(save(tmp_path / "c.jpg", rgb.convert(mode), quality=95))
    for k, table in enumerate(after.jpeg_tables):
        assert (np.array(table) <= before.jpeg_tables[min(k, len(before.jpeg_tables) - 1)]).all()
        assert (np.array(table) <= reference.jpeg_tables[k]).all()
    error = after.pixels.astype(float) - before.pixels
    assert 20 * np.log10(255 / np.sqrt((error**2).mean())) > 38


def test_jpeg_has_full_chroma(rgb, tmp_path):
    write_photo(tmp_path / "a.jpg", Photo(np.asarray(rgb)))
    with Image.open(tmp_path / "a.jpg") as image:
        assert {component[1:3] for component in image.layer} == {(1, 1)}


def test_jpeg_comment_and_captions_are_kept(rgb, tmp_path):
    captions = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x78\0\x03sky"
    segment = b"\xff\xed" + struct.pack(">H", len(captions) + 2) + captions
    first = save(tmp_path / "a.jpg", rgb, comment=b"a comment", extra=segment)
    write_photo(tmp_path / "b.jpg", read_photo(first))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"a comment"
        assert dict(image.applist)["APP13"] == captions


def test_cmyk_becomes_srgb_and_says_so(tmp_path):
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    photo = read_photo(save(tmp_path / "a.jpg", cmyk, quality=100))
    assert photo.notes == ("CMYK became sRGB",) and photo.icc == b""
    assert abs(photo.pixels.astype(int) - [255, 0, 0]).max() <= 3


def test_the_first_picture_of_an_mpo_is_read(rgb, tmp_path):
    path = tmp_path / "a.jpg"
    rgb.save(path, "MPO", save_all=True, append_images=[rgb.rotate(180)], quality=95)
    photo = read_photo(path)
    assert "left out" in photo.notes[0]
    assert np.abs(photo.pixels.astype(int) - np.asarray(rgb)).mean() < 3


def test_orientation_is_kept_and_not_applied(tmp_path, rgb):
    exif = Image.Exif()
    exif[274] = 6
    photo = read_photo(save(tmp_path / "a.jpg", rgb, exif=exif))
    assert photo.pixels.shape == (rgb.height, rgb.width, 3)
    write_photo(tmp_path / "b.png", photo)
    assert Image.open(tmp_path / "b.png").getexif()[274] == 6


def test_exif_that_does_not_fit_in_a_jpeg_is_refused(make_photo, tmp_path):
    with pytest.raises(InputError, match="do not fit in a JPEG"):
        write_photo(tmp_path / "a.jpg", make_photo(exif=b"II*\0" + bytes(70000)))


# ---------------------------------------------------------------- PNG


def test_palette_becomes_rgb(tmp_path, rgb):
    indexed = rgb.quantize(8)
    photo = read_photo(save(tmp_path / "a.png", indexed))
    np.testing.assert_array_equal(photo.pixels, np.asarray(indexed.convert("RGB")))
    assert photo.notes == ("palette colours became RGB",)


def test_palette_with_transparency_becomes_rgb_and_alpha(tmp_path, rgb):
    indexed = rgb.quantize(8)
    photo = read_photo(save(tmp_path / "a.png", indexed, transparency=3))
    np.testing.assert_array_equal(photo.alpha, np.where(np.asarray(indexed) == 3, 0, 255))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_spread_over_eight(tmp_path, bits):
    levels = np.arange(16, dtype=np.uint8).reshape(2, 8) % 2**bits
    packed = np.packbits(np.unpackbits(levels[..., None], axis=-1)[..., 8 - bits :].reshape(2, -1), axis=1)
    path = tmp_path / "a.png"
    path.write_bytes(raw_png(8, 2, bits, 0, packed))
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, levels * (255 // (2**bits - 1)))
    assert photo.notes == (f"{bits}-bit gray became 8-bit",)


def raw_png(width, height, bits, colour, rows, *chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    middle = b"".join(chunk(*pair) for pair in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def test_the_transparent_colour_of_16_bit_becomes_alpha(tmp_path):
    pixels = np.array([[[1, 2, 3], [1, 2, 4]], [[300, 2, 3], [1, 2, 3]]], np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(raw_png(2, 2, 16, 2, pixels.astype(">u2"), (b"tRNS", struct.pack(">HHH", 1, 2, 3))))
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_array_equal(photo.alpha, [[0, 65535], [65535, 0]])


def test_pillow_16_bit_gray_is_read(tmp_path):
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    photo = read_photo(save(tmp_path / "a.png", Image.fromarray(values)))
    np.testing.assert_array_equal(photo.pixels, values)


def test_texts_and_meaning_of_colours_are_kept(tmp_path, rgb):
    info = PngInfo()
    info.add_text("Title", "a title")
    info.add_itxt("Author", "Jörg")
    info.add(b"gAMA", struct.pack(">I", 45455))
    write_photo(tmp_path / "b.png", read_photo(save(tmp_path / "a.png", rgb, pnginfo=info)))
    with Image.open(tmp_path / "b.png") as image:
        assert image.text == {"Title": "a title", "Author": "Jörg"}
        assert image.info["gamma"] == pytest.approx(0.45455)


def test_animations_are_refused(tmp_path, rgb):
    for name in ("a.png", "a.webp"):
        path = tmp_path / name
        rgb.save(path, save_all=True, append_images=[rgb.rotate(180)], duration=50)
        with pytest.raises(InputError, match="is an animation: save the frame you want"):
            read_photo(path)


# ---------------------------------------------------------------- WebP


def test_webp_stays_lossless_or_lossy_as_it_was(tmp_path, rgb):
    lossless = read_photo(save(tmp_path / "a.webp", rgb, lossless=True))
    lossy = read_photo(save(tmp_path / "b.webp", rgb, quality=80))
    assert lossless.lossless and not lossy.lossless
    write_photo(tmp_path / "c.webp", lossless)
    np.testing.assert_array_equal(read_photo(tmp_path / "c.webp").pixels, lossless.pixels)
    write_photo(tmp_path / "d.webp", lossy)
    again = read_photo(tmp_path / "d.webp")
    assert not again.lossless and np.abs(again.pixels.astype(int) - lossy.pixels).mean() < 3


def test_colours_under_transparent_pixels_are_kept(tmp_path, make_photo):
    photo = make_photo("uint8", "rgb+alpha")
    write_photo(tmp_path / "a.webp", Photo(photo.pixels, np.zeros_like(photo.alpha)))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.webp").pixels, photo.pixels)


# ---------------------------------------------------------------- TIFF


@pytest.mark.parametrize(
    ("compression", "kept"),
    [
        (None, 1),
        ("lzw", 5),
        ("adobe_deflate", 8),
        ("deflate", 8),
        ("packbits", 32773),
        ("zstd", 50000),
        ("lzma", 8),
        ("jpeg", 8),
    ],
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_compression_is_kept_where_it_loses_nothing(tmp_path, make_photo, compression, kept, byteorder):
    pixels = make_photo("uint8" if compression == "jpeg" else "uint16", "rgb", 32, 48).pixels
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, photometric="rgb", byteorder=byteorder)
    photo = read_photo(tmp_path / "a.tif")
    if compression != "jpeg":
        np.testing.assert_array_equal(photo.pixels, pixels)
    write_photo(tmp_path / "b.tif", photo)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert int(tiff.pages.first.compression) == kept
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif").pixels, photo.pixels)


@pytest.mark.parametrize("options", [{"tile": (16, 32)}, {"planarconfig": "separate"}, {"bigtiff": True}])
def test_tiff_layouts(tmp_path, make_photo, options):
    pixels = make_photo("uint16", "rgb", 40, 50).pixels
    data = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


def test_tags_of_a_tiff_survive_in_both_byte_orders_and_in_bigtiff(tmp_path, make_photo):
    geo = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),  # ModelPixelScale
        (34735, 3, 4, (1, 1, 0, 0), True),  # GeoKeyDirectory
        (315, 2, 5, "Anna", True),
        (274, 3, 1, 8, True),
    ]
    for byteorder in "<>":
        for bigtiff in (False, True):
            path = tmp_path / "a.tif"
            tifffile.imwrite(
                path,
                make_photo("uint16").pixels,
                extratags=geo,
                byteorder=byteorder,
                bigtiff=bigtiff,
                photometric="rgb",
            )
            write_photo(tmp_path / "b.tif", read_photo(path), overwrite=True)
            with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
                found = tiff.pages.first.tags
                assert found[33550].value == (0.5, 0.5, 0.0) and found[34735].value == (1, 1, 0, 0)
                assert found[315].value == "Anna" and found[274].value == 8


def test_exif_goes_into_a_bigtiff(tmp_path, make_photo, monkeypatch, exif):
    monkeypatch.setattr("unnoise.data.photo_write.BIG", 0)
    write_photo(tmp_path / "a.tif", make_photo("uint16"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages.first.tags[34665].value["ISOSpeedRatings"] == 800
    assert tags.parse(read_photo(tmp_path / "a.tif").exif)[1].keys() == tags.parse(exif)[1].keys()


def test_16_bit_rgb_tiff_is_understood_by_tifffile(tmp_path, make_photo):
    write_photo(tmp_path / "a.tif", make_photo("uint16", "rgb+alpha"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        assert page.shape == (37, 53, 4) and tuple(map(int, page.extrasamples)) == (2,)
        assert page.tags[34665].value["ISOSpeedRatings"] == 800
        assert page.tags[34853].value["GPSLatitudeRef"] == "N"


def test_premultiplied_alpha_stays_so_and_only_tiff_takes_it(tmp_path, make_photo):
    write_photo(tmp_path / "a.tif", make_photo("uint8", "rgb+alpha", premultiplied=True))
    photo = read_photo(tmp_path / "a.tif")
    assert photo.premultiplied
    with pytest.raises(InputError, match=r"write \.tif instead"):
        write_photo(tmp_path / "b.png", photo)


def test_white_is_zero_is_inverted(tmp_path):
    stored = np.arange(30, dtype=np.uint8).reshape(5, 6)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, 255 - stored)
    assert "inverted" in photo.notes[0]


def test_tiff_palette_and_bilevel(tmp_path, rgb):
    indexed = rgb.quantize(8)
    photo = read_photo(save(tmp_path / "a.tif", indexed))
    np.testing.assert_array_equal(photo.pixels, np.asarray(indexed.convert("RGB")))
    bilevel = rgb.convert("1")
    photo = read_photo(save(tmp_path / "b.tif", bilevel))
    np.testing.assert_array_equal(photo.pixels, np.asarray(bilevel.convert("L")))


def test_a_thumbnail_is_left_out_with_a_note(tmp_path, make_photo):
    pixels = make_photo().pixels
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(pixels, photometric="rgb", metadata=None)
        tiff.write(pixels[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.notes == ("smaller copies in the file were left out",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: tifffile.imwrite(p, np.zeros((3, 8, 8), np.uint8), photometric="minisblack"), "holds 3 pages"),
        (lambda p: tifffile.imwrite(p, np.zeros((8, 8, 4), np.uint8), photometric="separated"), "CMYK"),
        (lambda p: tifffile.imwrite(p, np.zeros((8, 8, 6), np.uint16), planarconfig="contig"), "has 6 channels"),
        (lambda p: tifffile.imwrite(p, np.zeros((8, 8), np.int32)), "32-bit int32 values"),
        (lambda p: tifffile.imwrite(p, np.full((8, 8), np.nan, np.float32)), "64 of 64 values that are NaN"),
    ],
)
def test_what_a_tiff_may_not_be(tmp_path, make, said):
    make(tmp_path / "a.tif")
    with pytest.raises(InputError, match=said):
        read_photo(tmp_path / "a.tif")


def test_high_dynamic_range_is_read_as_it_is(tmp_path):
    values = np.array([[0.0, 1e-3], [12.0, 4e4]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, values)


# ---------------------------------------------------------------- npy


def test_npy_in_other_orders(tmp_path):
    values = np.arange(60, dtype=">u2").reshape(4, 5, 3)
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    photo = read_photo(tmp_path / "a.npy")
    assert photo.pixels.dtype == np.uint16 and photo.pixels.flags.c_contiguous
    np.testing.assert_array_equal(photo.pixels, values)
    np.save(tmp_path / "b.npy", values[:, :, :1])
    assert read_photo(tmp_path / "b.npy").pixels.shape == (4, 5)


# ---------------------------------------------------------------- content against extension


def test_the_content_decides_and_a_note_says_so(tmp_path, rgb):
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    photo = read_photo(tmp_path / "a.png")
    assert photo.format == "jpeg" and photo.notes == ("the extension says PNG, the content is JPEG",)
