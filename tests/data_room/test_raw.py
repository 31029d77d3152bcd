"""Raw mosaics: packing is exact and reversible, what is written opens again, what cannot be used is said."""

import numpy as np
import pytest
import tifffile
import torch

from unnoise.data.catalog import root
from unnoise.data.raw import PATTERNS, Raw, as_raw, develop, is_raw, pack, read_raw, unpack, write_developed
from unnoise.errors import InputError, OutputError

rawpy = pytest.importorskip("rawpy", reason="needs the extra 'raw'")
CELLS = {"R": 100, "G": 500, "B": 900}


def plain(pattern, height=6, width=8):
    """A mosaic of one colour: red 100, green 500, blue 900."""
    cell = np.array([CELLS[c] for c in pattern], np.uint16).reshape(2, 2)
    return Raw(np.tile(cell, (height // 2 + 1, width // 2 + 1))[:height, :width], pattern, white=1000)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(6, 8), (7, 9), (6, 9)])
def test_every_order_packs_to_red_green_green_blue_and_back(pattern, size):
    flat = plain(pattern, *size)
    packed = pack(flat)
    assert packed.shape == (1, 4, -(-size[0] // 2), -(-size[1] // 2))
    expected = torch.tensor([0.1, 0.5, 0.5, 0.9])[:, None, None].expand(packed.shape[1:])
    assert torch.allclose(packed[0], expected)
    rng = np.random.default_rng(0)
    raw = Raw(rng.integers(0, 4096, size).astype(np.uint16), pattern, (10, 20, 30, 40), 4000)
    np.testing.assert_array_equal(unpack(pack(raw), raw), raw.mosaic)


def test_the_two_greens_are_told_apart_by_the_rows_of_red_and_blue():
    mosaic = np.arange(16, dtype=np.uint16).reshape(4, 4)
    for pattern in PATTERNS:
        packed = pack(Raw(mosaic, pattern, white=1)).numpy()[0]
        rows = packed // 4
        np.testing.assert_array_equal(rows[0], rows[1])  # R and G1 lie in one sensor row
        np.testing.assert_array_equal(rows[2], rows[3])
    assert pack(Raw(mosaic, "RGGB", white=1))[0, :, 0, 0].tolist() == [0, 1, 4, 5]


def test_values_below_black_are_kept():
    raw = Raw(np.full((4, 4), 90, np.uint16), "RGGB", (100,) * 4, 1100)
    assert torch.allclose(pack(raw), torch.tensor(-0.01))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_developing_a_plain_colour_gives_it_everywhere(pattern):
    raw = plain(pattern)
    rgb = develop(Raw(raw.mosaic, pattern, white=1000, gains=(2.0, 1.0, 1.0)))
    expected = np.rint(np.array([0.1, 0.25, 0.45]) * 65535)  # the largest gain is 1
    assert rgb.shape == (6, 8, 3) and np.abs(rgb - expected).max() <= 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_written_dng_opens_in_rawpy_as_it_was(tmp_path, pattern):
    mosaic = np.random.default_rng(1).integers(64, 4000, (48, 64)).astype(np.uint16)
    raw = Raw(mosaic, pattern, (64.0, 65.0, 66.0, 67.0), 4000.0, gains=(2.0, 1.0, 1.5), camera="Maker X")
    write_developed(tmp_path / "a.dng", raw)
    again = read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(again.mosaic, mosaic)
    assert (again.pattern, again.black, again.white) == (pattern, raw.black, 4000)
    assert again.gains == pytest.approx(raw.gains, rel=1e-4)
    with pytest.raises(OutputError, match="exists"):
        write_developed(tmp_path / "a.dng", raw)


def test_other_formats_of_a_result(tmp_path):
    raw = plain("RGGB")
    write_developed(tmp_path / "a.tif", raw)
    assert tifffile.imread(tmp_path / "a.tif").shape == (6, 8, 3)
    write_developed(tmp_path / "a.npy", raw)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), raw.mosaic)
    with pytest.raises(InputError, match=r"written as \.tif"):
        write_developed(tmp_path / "a.jpg", raw)


def test_gray_files_are_mosaics_and_colour_files_are_not(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", np.full((6, 6), 700, np.uint16))
    raw = read_raw(tmp_path / "m.tif", pattern="GBRG", black=100, white=1300)
    assert raw.pattern == "GBRG" and torch.allclose(pack(raw), torch.tensor(0.5))
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((6, 6, 3), np.uint16), photometric="rgb")
    with pytest.raises(InputError, match="colour picture of shape"):
        read_raw(tmp_path / "c.tif")
    (tmp_path / "x.nef").write_bytes(b"not a raw file")
    with pytest.raises(InputError, match="cannot be decoded as a camera file"):
        read_raw(tmp_path / "x.nef")
    with pytest.raises(InputError, match="does not exist"):
        read_raw(tmp_path / "y.dng")
    assert is_raw("a.NEF") and not is_raw("a.tif")


@pytest.mark.parametrize(
    ("mosaic", "levels", "message"),
    [
        (np.zeros((4, 4, 3), np.uint16), {}, "not a raw mosaic"),
        (np.zeros((4, 4), np.uint16), {"pattern": "XTRANS"}, "unknown Bayer order"),
        (np.zeros((4, 4), np.uint16), {"black": 10, "white": 5}, "white 5 must lie above black 10"),
        (np.zeros((2, 9), np.uint16), {}, "9 x 2 pixels is too small"),
        (np.zeros((4, 4), np.int32), {}, "type int32"),
        (np.full((4, 4), np.nan), {}, "NaN"),
    ],
)
def test_mosaics_that_cannot_be_used(mosaic, levels, message):
    with pytest.raises(InputError, match=message):
        as_raw(mosaic, **levels)


def test_a_real_dng_and_an_old_camera():
    folder = root()
    if folder is None or not (folder / "raw" / "colorchart.dng").exists():
        pytest.skip("needs the data set 'colorchart'")
    raw = read_raw(folder / "raw" / "colorchart.dng")
    assert raw.mosaic.shape == (1156, 1734) and raw.pattern == "RGGB" and raw.camera == "Canon EOS Kiss X4"
    assert raw.black == (2056,) * 4 and raw.white == 15000
    assert raw.gains == pytest.approx((2.477, 1, 1.694), abs=1e-3)
    old = read_raw(folder / "raw" / "RAW_KODAK_DC50.KDC")
    assert old.mosaic.shape == (512, 768) and old.pattern == "GRBG"
    with pytest.raises(InputError, match="megapixels"):
        read_raw(folder / "raw" / "colorchart.dng", max_pixels=1000)


def test_x_trans_is_refused_in_a_sentence(tmp_path, monkeypatch):
    class Fuji:
        """What rawpy shows of such a file."""

        raw_type, raw_pattern = rawpy.RawType.Flat, np.zeros((6, 6), np.uint8)
        sizes = type("Sizes", (), {"raw_height": 60, "raw_width": 60})

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(rawpy, "imread", lambda path: Fuji())
    (tmp_path / "a.raf").write_bytes(b"any")
    with pytest.raises(InputError, match="has an X-Trans colour filter, only 2 x 2 Bayer cells are supported"):
        read_raw(tmp_path / "a.raf")
