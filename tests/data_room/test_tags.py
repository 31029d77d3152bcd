"""EXIF directories byte for byte."""

from PIL import Image

from unnoise.data import tags


def test_parse_and_write_give_the_same_bytes(exif):
    order, directory = tags.parse(exif)
    again = tags.to_exif(order, directory)
    assert tags.parse(again) == (order, directory)
    loaded = Image.Exif()
    loaded.load(b"Exif\0\0" + again)
    assert loaded.get_ifd(0x8769)[0x927C] == bytes(range(256))
    assert loaded.get_ifd(0x8825)[1] == "N"


def test_big_endian():
    exif = Image.Exif()
    exif.endian = ">"
    exif[274], exif[271] = 3, "Somebody & Sons"
    data = exif.tobytes()[6:]
    assert data[:2] == b"MM"
    order, directory = tags.parse(data)
    assert order == ">" and directory[274].data == b"\0\3" and directory[271].data == b"Somebody & Sons\0"


def test_entries_that_point_outside_are_left_out(exif):
    for end in range(8, len(exif), 7):
        order, directory = tags.parse(exif[:end])
        assert order == ">" and directory.keys() <= {271, 274, 34665, 34853}


def test_a_directory_that_contains_itself_ends():
    loop = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0" + bytes(4)
    assert tags.parse(loop) == ("<", {})
