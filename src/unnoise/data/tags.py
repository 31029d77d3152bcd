"""TIFF tag directories byte for byte: what EXIF is made of, moved between files without being interpreted.

Values stay raw bytes in their own byte order, so that nothing a camera wrote is rounded, re-typed or lost; only the
offsets are computed anew. Source: TIFF 6.0, section 2; Exif 2.32, section 4.6; BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

POINTERS = {34665, 34853, 40965}  # Exif, GPS and interoperability directories
ICC, XMP = 34675, 700
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

# Tags that say how the pixels of one file are stored, or hold other pictures: never carried to another file.
STRUCTURAL = (
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284}
    | {290, 291, 292, 293, 296, 297, 301, 317, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336}
    | {338, 339, 340, 341, 347, 529, 530, 531, 532, 34377, 37724, ICC, XMP}
    | set(range(512, 522))
)


class Tag(NamedTuple):
    """A value as stored: TIFF type, number of values, their bytes; `sub` instead for a pointed-to directory."""

    kind: int
    number: int
    data: bytes
    sub: Directory | None = None


Directory = dict[int, Tag]


def parse(data: bytes | mmap.mmap) -> tuple[str, Directory]:
    """Byte order ("<" or ">") and first directory of a TIFF structure; entries that point outside it are left out.

    >>> parse(b"II*\\0" + bytes([8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]))
    ('<', {274: Tag(kind=3, number=1, data=b'\\x06\\x00', sub=None)})
    """
    view = memoryview(data)
    order = ">" if bytes(view[:2]) == b"MM" else "<"
    big = len(view) >= 16 and bytes(view[2:4]) in (b"+\0", b"\0+")
    try:
        (offset,) = struct.unpack_from(order + ("Q" if big else "I"), view, 8 if big else 4)
        return order, _read(view, offset, order, big, depth=0)
    except struct.error:
        return order, {}


def to_exif(order: str, directory: Directory) -> bytes:
    """The directory as a stand-alone structure, which is what PNG, JPEG and WebP carry; empty for no tags."""
    if not directory:
        return b""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + _write(directory, order, False, 8)


def descriptive(directory: Directory) -> Directory:
    """Without the tags that describe how one file stores its pixels."""
    return {code: tag for code, tag in directory.items() if code not in STRUCTURAL}


def add_to_file(path: Path, extra: Directory) -> None:
    """Add tags, in the file's byte order, to the first directory of a TIFF file.

    The directory is rewritten at the end of the file, and the header made to point there.
    """
    with path.open("rb+") as file:
        start = file.read(16)
        order = ">" if start[:2] == b"MM" else "<"
        big = start[2:4] in (b"+\0", b"\0+")
        word, where = ("Q", 8) if big else ("I", 4)
        (offset,) = struct.unpack_from(order + word, start, where)
        file.seek(offset)
        (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        size = 20 if big else 12
        kept = {}
        for _ in range(count):
            entry = file.read(size)
            kept[struct.unpack_from(order + "H", entry)[0]] = entry
        end = file.seek(0, 2)
        end += file.write(bytes(end % 2))  # directories start on even offsets
        file.write(_write(extra, order, big, end, kept))
        file.seek(where)
        file.write(struct.pack(order + word, end))


def _read(view: memoryview, offset: int, order: str, big: bool, depth: int) -> Directory:
    head, entry, inline, size = ("Q", "HHQ", 8, 20) if big else ("H", "HHI", 4, 12)
    (count,) = struct.unpack_from(order + head, view, offset)
    offset += struct.calcsize("=" + head)
    found: Directory = {}
    for k in range(min(count, 4096)):
        place = offset + k * size
        code, kind, number = struct.unpack_from(order + entry, view, place)
        length = SIZES.get(kind, 0) * number
        at = place + struct.calcsize("=" + entry)
        if length > inline:
            (at,) = struct.unpack_from(order + ("Q" if big else "I"), view, at)
        if not length or at + length > len(view):
            continue
        data = bytes(view[at : at + length])
        if code in POINTERS:
            sub = _pointed(view, data, order, big, depth)
            if sub:
                found[code] = Tag(4, 1, b"", sub)
        else:
            found[code] = Tag(kind, number, data)
    return found


def _pointed(view: memoryview, data: bytes, order: str, big: bool, depth: int) -> Directory:
    if depth == 2 or len(data) not in (4, 8):
        return {}
    (offset,) = struct.unpack(order + ("I" if len(data) == 4 else "Q"), data)
    try:
        return _read(view, offset, order, big, depth + 1)
    except struct.error:
        return {}


def _write(directory: Directory, order: str, big: bool, start: int, kept: dict[int, bytes] | None = None) -> bytes:
    """The directory as bytes that begin at offset `start`; `kept` entries are copied as they are."""
    head, word, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    entries = dict(kept or {})
    codes = sorted(entries.keys() | directory.keys())
    after = start + struct.calcsize("=" + head) + len(codes) * (20 if big else 12) + inline
    values = bytearray()
    for code, tag in directory.items():
        kind, number, data = tag.kind, tag.number, tag.data
        position = after + len(values)
        if tag.sub is not None:
            values += _write(tag.sub, order, big, position)
            kind, number, data = (18 if big else 4), 1, struct.pack(order + word, position)
        elif len(data) > inline:
            values += data
            data = struct.pack(order + word, position)
        values += bytes(len(values) % 2)
        entries[code] = struct.pack(order + "HH" + word, code, kind, number) + data.ljust(inline, b"\0")
    table = struct.pack(order + head, len(codes)) + b"".join(entries[code] for code in codes) + bytes(inline)
    return table + bytes(values)
