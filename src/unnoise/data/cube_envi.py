"""ENVI cubes: a text header beside raw numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.cube import CUBE_FORMATS, Cube
from unnoise.data.files import refuse_existing, replacing
from unnoise.data.mapped import mapped, raw, reserve
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError

TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
DATA = ("", *CUBE_FORMATS["envi"][1:], ".bin", ".envi")
LAYOUT = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}  # axes of (rows, columns, bands) in the file's order
BACK = {"bsq": (1, 2, 0), "bil": (0, 2, 1), "bip": (0, 1, 2)}  # and the inverse
GEO = ("map info", "projection info", "coordinate system string", "geo points", "x start", "y start")
OURS = ("samples", "lines", "bands", "header offset", "file type", "data type", "interleave", "byte order")


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """A cube by its header, or by its data file."""
    header = path if path.suffix.lower() == ".hdr" else _header_of(path)
    fields = parse(header)
    lines, samples, bands = (_number(header, fields, key) for key in ("lines", "samples", "bands"))
    kind = _number(header, fields, "data type")
    data = _data_of(header, fields) if path == header else path
    if kind not in TYPES:
        raise InputError(f"{header}: data type {kind} is not supported (complex, or unknown): convert it to float32")
    interleave = fields.get("interleave", "bsq").strip().lower()
    if interleave not in LAYOUT:
        raise InputError(f"{header}: interleave '{interleave}' is none of bsq, bil, bip: mend the header")
    big = fields.get("byte order", "0").strip() == "1"
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if big else "<")
    offset = int(fields.get("header offset", "0"))
    need, have = offset + lines * samples * bands * dtype.itemsize, data.stat().st_size
    if have < need:
        raise InputError(
            f"{data} is truncated, it has {have:,} of the {need:,} bytes that {header.name} promises: get a new copy, "
            f"or mend the sizes in the header"
        )
    size = (lines, samples, bands)
    shape = tuple(size[k] for k in LAYOUT[interleave])
    array = np.memmap(data, dtype, "r", offset, shape).transpose(BACK[interleave])
    waves = _floats(fields.get("wavelength"))
    nodata = fields.get("data ignore value")
    return Cube(
        array,
        wavelengths=waves,
        units=fields.get("wavelength units", ""),
        band_names=_names(fields.get("band names")),
        nodata=None if nodata is None else float(nodata),
        format="envi",
        extras={"fields": fields, "georeferenced": any(key in fields for key in GEO)},
    )


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The array where it is."""
    cube = read(path)
    assert isinstance(cube.values, np.memmap)
    return replace(cube, values=mapped(cube.values))


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """Header and data beside it, `a.hdr` and `a.dat`; every field of the source's header is kept."""
    header, data = files(dst)
    refuse_existing(header, overwrite)
    fields, dtype, interleave = _layout(cube)
    with replacing(data, overwrite) as temporary, temporary.open("wb") as file:
        for part in _parts(cube.values.transpose(LAYOUT[interleave])):
            file.write(np.ascontiguousarray(part, dtype).data)
    _write_header(header, fields, overwrite)


def create(dst: Path, cube: Cube, block: tuple[int, int]) -> OnDisk:
    """The data file for a cube like `cube`, whose values are on disk, empty."""
    _, dtype, _ = _layout(cube)
    reserve(dst, int(np.prod(cube.values.shape, dtype=np.int64)) * dtype.itemsize)
    return reopen(dst, cube)


def reopen(made: Path, cube: Cube) -> OnDisk:
    """What `create` made."""
    _, dtype, interleave = _layout(cube)
    return raw(made, dtype, 0, tuple(cube.values.shape[a] for a in LAYOUT[interleave]), list(BACK[interleave]))


def finish(made: Path, dst: Path, cube: Cube) -> None:
    """What `create` made becomes the data beside the header."""
    header, data = files(dst)
    made.replace(data)
    _write_header(header, _layout(cube)[0], True)


def files(dst: Path) -> tuple[Path, Path]:
    """Header and data for a result that is named by one of them."""
    header = dst.with_suffix(".hdr")
    return header, header.with_suffix(".dat") if dst.suffix.lower() == ".hdr" else dst


def _layout(cube: Cube) -> tuple[dict[str, str], np.dtype[Any], str]:
    """Fields of the header, type of the numbers, and interleave for a cube."""
    fields = dict(cube.extras.get("fields", {})) if cube.format == "envi" else _fields(cube)
    interleave = fields.get("interleave", "bsq").strip().lower()
    big = fields.get("byte order", "0").strip() == "1"
    kind = np.dtype(cube.values.dtype.newbyteorder("=")).str[1:]
    code = next((number for number, name in TYPES.items() if name == kind), None)
    if code is None:  # int8, float16
        code, kind = (2, "i2") if kind[0] == "i" else (4, "f4")
    height, width, bands = cube.values.shape
    facts = (width, height, bands, 0, "ENVI Standard", code, interleave, int(big))
    fields |= dict(zip(OURS, map(str, facts), strict=True))
    fields.pop("data file", None)
    return fields, np.dtype(kind).newbyteorder(">" if big else "<"), interleave


def _write_header(header: Path, fields: dict[str, str], overwrite: bool) -> None:
    with replacing(header, overwrite) as temporary:
        text = "".join(f"{key} = {value}\n" for key, value in fields.items())
        temporary.write_text("ENVI\n" + text, encoding="utf-8")


def _parts(array: NDArray[Any]) -> list[NDArray[Any]]:
    """Slabs of the first axis of some megabytes each."""
    return np.array_split(array, max(1, min(len(array), array.nbytes >> 24)))


def _fields(cube: Cube) -> dict[str, str]:
    """A header for a cube that came from elsewhere."""
    fields = {"description": "{unnoise}"}
    if cube.wavelengths is not None:
        fields["wavelength"] = "{" + ", ".join(f"{w:.10g}" for w in cube.wavelengths) + "}"
        fields["wavelength units"] = cube.units or "Unknown"
    if cube.band_names is not None:
        names = [re.sub(r"[{},\n]+", ";", name) for name in cube.band_names]  # what ENVI's lists are made with
        fields["band names"] = "{" + ", ".join(names) + "}"
    if cube.nodata is not None:
        fields["data ignore value"] = f"{cube.nodata:.17g}"
    return fields


def parse(header: Path) -> dict[str, str]:
    """Fields of a header, lower-case keys, values as they stand with their braces."""
    text = header.read_text(encoding="utf-8", errors="replace")
    if not text.lstrip("\ufeff").startswith("ENVI"):
        raise InputError(f"{header} is no ENVI header: its first line must be ENVI")
    found = re.findall(r"^[ \t]*([^=\n{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", text, re.MULTILINE)
    return {key.lower(): value.strip() for key, value in found}


def _number(header: Path, fields: dict[str, str], key: str) -> int:
    text = fields.get(key)
    if text is None or not text.isdecimal() or int(text) < 1:
        raise InputError(f"{header}: '{key}' is {'missing' if text is None else repr(text)}: mend the header")
    return int(text)


def _items(text: str | None) -> list[str] | None:
    return None if text is None else [item.strip() for item in text.strip("{} \n").replace("\n", " ").split(",")]


def _floats(text: str | None) -> tuple[float, ...] | None:
    items = _items(text)
    return None if items is None else tuple(float(item) for item in items if item)


def _names(text: str | None) -> tuple[str, ...] | None:
    items = _items(text)
    return None if items is None else tuple(items)


def _header_of(data: Path) -> Path:
    for header in (data.with_suffix(".hdr"), data.with_name(data.name + ".hdr")):
        if header.exists():
            return header
    raise InputError(f"{data} needs its ENVI header {data.with_suffix('.hdr').name} beside it: put it there")


def _data_of(header: Path, fields: dict[str, str]) -> Path:
    named = fields.get("data file")
    stem = header.with_suffix("")
    tries = [header.with_name(named.strip("{} "))] if named else []
    tries += [stem.with_name(stem.name + extension) for extension in DATA]
    tries += [p.with_suffix(p.suffix.upper()) for p in tries if p.suffix]
    found = next((p for p in tries if p.is_file() and p != header), None)
    if found is None:
        raise InputError(f"the data of {header} is missing: put {header.with_suffix('.dat').name} beside it")
    return found
