"""The chunks of a PNG file: what it says beside its pixels. Source: PNG specification, third edition, section 5."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from unnoise.data.formats import damaged, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt"}
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
LARGEST = 1 << 26  # of one chunk of metadata, also once unpacked
DEFLATE_RATIO = 1032  # the most that deflate can shrink
INCH = 0.0254  # metres

Chunks = list[tuple[bytes, bytes]]


class Header(NamedTuple):
    """IHDR."""

    width: int
    height: int
    bits: int
    colour: int  # 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha
    packed: int  # bytes of compressed pixels


def scan(path: Path) -> tuple[Header, Chunks]:
    """Header and metadata chunks, without the pixels; `InputError` when the file ends too early for its header."""
    found: Chunks = []
    pixel_bytes = 0
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while True:
            start = file.read(8)
            if len(start) < 8:
                raise truncated(path, "png")
            length, kind = struct.unpack(">I4s", start)
            if kind == b"IEND":
                break
            if kind == b"IDAT" or length > LARGEST:
                pixel_bytes += length
                file.seek(length, 1)
            else:
                found.append((kind, file.read(length)))
            if len(file.read(4)) < 4:
                raise truncated(path, "png")
    return _header(path, found, pixel_bytes), found


def check_complete(path: Path, header: Header) -> None:
    """`InputError` when there are fewer bytes than the best compression of such a picture needs."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header.colour]
    if header.height * -(-header.width * samples * header.bits // 8) > DEFLATE_RATIO * (header.packed + 64):
        raise truncated(path, "png", f"too few data for {header.width} x {header.height} pixels")


def _header(path: Path, chunks: Chunks, packed: int) -> Header:
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise damaged(path, "png", "it has no header")
    width, height, bits, colour = struct.unpack_from(">IIBB", chunks[0][1])
    if colour not in (0, 2, 3, 4, 6) or bits not in (1, 2, 4, 8, 16) or not width or not height:
        raise damaged(path, "png", "its header makes no sense")
    return Header(width, height, bits, colour, packed)


def pixels_only(png: bytes) -> bytes:
    """The file with nothing but header and pixels: libpng writes its opinion of other chunks to stderr."""
    pieces, at = [SIGNATURE], len(SIGNATURE)
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] in (b"IHDR", b"IDAT", b"IEND"):
            pieces.append(png[at : at + 12 + length])
        at += 12 + length
    return b"".join(pieces)


def icc_of(chunks: Chunks) -> bytes:
    """The ICC profile, empty if there is none or it is damaged."""
    data = dict(chunks).get(b"iCCP", b"")
    _, _, packed = data.partition(b"\0")
    return _unpack(packed[1:])


def xmp_of(chunks: Chunks) -> bytes:
    """The XMP packet, empty if there is none or it is damaged."""
    for kind, data in chunks:
        if kind == b"iTXt" and data.startswith(XMP_KEYWORD):
            flags, rest = data[len(XMP_KEYWORD) :][:2], data[len(XMP_KEYWORD) + 2 :]
            text = rest.split(b"\0", 2)[-1]  # after language and translated keyword
            return _unpack(text) if flags[:1] == b"\1" else text
    return b""


def dpi_of(chunks: Chunks) -> tuple[float, float] | None:
    """Pixels an inch, if the file gives its pixels a physical size."""
    data = dict(chunks).get(b"pHYs", b"")
    if len(data) != 9 or data[8] != 1:
        return None
    x, y = struct.unpack(">II", data[:8])
    return x * INCH, y * INCH


def kept_of(chunks: Chunks) -> tuple[tuple[bytes, bytes], ...]:
    """The chunks that stay true of a cleaned picture: meaning of the colours, and texts."""
    return tuple((kind, data) for kind, data in chunks if kind in KEPT and not data.startswith(XMP_KEYWORD))


def metadata(icc: bytes, exif: bytes, xmp: bytes, dpi: tuple[float, float] | None) -> Chunks:
    """The chunks that carry these; empty ones are left out."""
    made: Chunks = []
    if icc:
        made.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        made.append((b"pHYs", struct.pack(">IIB", round(dpi[0] / INCH), round(dpi[1] / INCH), 1)))
    if exif:
        made.append((b"eXIf", exif))
    if xmp:
        made.append((b"iTXt", XMP_KEYWORD + bytes(4) + xmp))
    return made


def insert(png: bytes | bytearray, chunks: Iterable[tuple[bytes, bytes]]) -> list[bytes | bytearray | memoryview]:
    """Pieces of the file with the chunks after its header; the pixels are not copied."""
    first = len(SIGNATURE) + 25
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return [png[:first], *packed, memoryview(png)[first:]]


def _unpack(packed: bytes) -> bytes:
    try:
        worker = zlib.decompressobj()
        data = worker.decompress(packed, LARGEST)
    except zlib.error:
        return b""
    return data if worker.eof else b""
