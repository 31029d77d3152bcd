"""What a weight file says about itself, read from its first bytes without torch."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unnoise.errors import InputError, unknown

FORMAT_VERSION = 2  # 1 had no weights in 8 bits
WEIGHTS = Path(__file__).parent / "weights"
LARGEST_HEADER = 100_000_000  # the limit of the safetensors format


@dataclass(frozen=True)
class Model:
    """A weight file: the class it belongs to, how that is configured, and its card as plain JSON.

    Attributes
    ----------
    name : what `load` takes: the file's stem.
    bytes : size of the file.
    parameters : number of stored values.
    arch : key of `ARCHITECTURES`.
    config : keyword arguments of that class.
    card : `Card.to_dict()`.
    """

    name: str
    path: Path
    bytes: int
    parameters: int
    arch: str
    config: dict[str, Any]
    card: dict[str, Any]


def models() -> list[Model]:
    """The weights shipped with the package, by name."""
    return [read_header(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def find(name_or_path: str | Path) -> Path:
    """The file of a shipped name, or the path itself; raises `InputError` with the nearest name."""
    path = Path(name_or_path)
    shipped = WEIGHTS / f"{name_or_path}.safetensors"
    if path.suffix != ".safetensors" and shipped.is_file():
        return shipped
    if path.is_file():
        return path
    if path.suffix or path.name != str(name_or_path):
        raise InputError(f"there is no weight file {path}: check the path, or name one of: {_names()}")
    raise unknown("model", str(name_or_path), [p.stem for p in WEIGHTS.glob("*.safetensors")])


def read_header(path: Path) -> Model:
    """Parse and check the header of a weight file.

    A safetensors file is an unsigned 64-bit little-endian length, that many bytes of JSON, then the tensors.
    Raises `InputError` when it is truncated, was not written by `save`, or is of a newer format.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, LARGEST_HEADER):
                raise ValueError
            header = json.loads(file.read(length))
        meta = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        parameters = sum(_product(entry["shape"]) for entry in header.values())
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is not a safetensors file or is damaged: copy or download it again") from None
    if size != 8 + length + end:
        raise InputError(f"{path} is truncated, it has {size} of {8 + length + end} bytes: copy or download it again")
    if "arch" not in meta:
        raise InputError(
            f"{path} holds tensors but was not written by unnoise: it lacks the architecture in its header"
        )
    try:
        version = int(meta["format_version"])
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} has format version {version}, this unnoise reads up to {FORMAT_VERSION}: upgrade unnoise"
            )
        config, card = json.loads(meta["config"]), json.loads(meta["card"])
        return Model(path.stem, path, size, parameters, json.loads(meta["arch"]), config, card)
    except (ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} has a damaged header: copy or download it again") from None


def _names() -> str:
    return ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))) or "(no weights are shipped)"


def _product(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
