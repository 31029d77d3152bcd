"""Save and load a denoiser as one safetensors file that says what it is; never a pickle."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from unnoise.data.files import write_whole
from unnoise.denoiser.base import Card, Denoiser
from unnoise.errors import InputError, unknown
from unnoise.nets.fast import rounded
from unnoise.zoo.header import FORMAT_VERSION, find, read_header

ARCHITECTURES = {
    "digits": "unnoise.generate.digits:Digits",
    "cbsn": "unnoise.restore.cbsn:CBSN",
    "eld": "unnoise.restore.eld:ELD",
    "hyde": "unnoise.restore.hyde.neural:Neural",
    "photo": "unnoise.restore.photo:Photo",
    "wild_jdd": "unnoise.restore.wild_jdd:WildJDD",
}
"""Name of an architecture -> "module:Class", imported when a file asks for it."""

SCALE = ".int8_scale"  # behind the name of a weight in 8 bits
DTYPES = {"float16": torch.float16, "float32": torch.float32}


def save(
    path: str | Path,
    model: nn.Module,
    *,
    arch: str,
    config: dict[str, Any],
    dtype: str = "float16",
    int8: Collection[str] = (),
) -> Path:
    """Write weights, architecture, configuration and card to one file.

    Parameters
    ----------
    path : of the file, ending in `.safetensors`; written beside it first, then renamed.
    model : a denoiser, or another module with a `card`.
    arch : key of `ARCHITECTURES`, whose class makes the model from `config` (JSON).
    dtype : "float16" or "float32", of the stored floating-point weights.
    int8 : names of convolutions' weights stored in 8 bits, with a float32 scale for each output channel.

    Raises
    ------
    InputError : unknown arch or dtype, or weights that are not finite or too large for the dtype.
    OutputError : the file could not be written.
    """
    path = Path(path)
    if arch not in ARCHITECTURES:
        raise unknown("architecture", arch, ARCHITECTURES)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if path.suffix != ".safetensors":
        raise InputError(f"weights are saved as .safetensors, not as {path.name}: change the ending")
    tensors = {}
    for name, value in model.state_dict().items():
        stored = value.detach().cpu().to(DTYPES[dtype]) if value.is_floating_point() else value.detach().cpu()
        if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
            raise InputError(f"weight {name} is not finite in {dtype}: train again, or save as float32")
        if name in int8:
            stored, tensors[name + SCALE] = rounded(value.detach().cpu().float())
        tensors[name] = stored.contiguous()
    card = cast(Card, model.card)
    values = {"arch": arch, "config": config, "card": card.to_dict(), "format_version": FORMAT_VERSION}
    data = to_bytes(tensors, metadata={key: json.dumps(value) for key, value in values.items()})
    return write_whole(path, data)


def load(name_or_path: str | Path, device: str | torch.device = "cpu") -> Denoiser:
    """The denoiser of a shipped name or of a weight file, in float32, ready to use (`eval` mode).

    Raises
    ------
    InputError : no such name or file, a damaged file, one of a newer format, of another architecture, or of a model
        that is no denoiser.
    """
    model = load_model(name_or_path, device)
    if not isinstance(model, Denoiser):
        kind = type(model).__name__
        raise InputError(f"{name_or_path} holds a {kind}, which is no denoiser of pictures: load_model reads it")
    return model


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """As `load`, for any model of `ARCHITECTURES`."""
    path = find(name_or_path)
    model = read_header(path)
    if model.arch not in ARCHITECTURES:
        raise InputError(
            f"{path} holds the architecture '{model.arch}', which this unnoise does not know "
            f"(it knows: {', '.join(sorted(ARCHITECTURES))}): upgrade unnoise"
        )
    module, _, name = ARCHITECTURES[model.arch].partition(":")
    try:
        built: nn.Module = getattr(importlib.import_module(module), name)(**model.config)
    except TypeError as error:
        raise InputError(f"{path} has a configuration that '{model.arch}' does not take ({error})") from None
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in load_file(path).items()}
    for key in [key for key in tensors if key.endswith(SCALE)]:
        tensors[key.removesuffix(SCALE)] = tensors[key.removesuffix(SCALE)] * tensors.pop(key)
    try:
        built.load_state_dict(tensors)
    except RuntimeError:
        wanted = built.state_dict()
        wrong = sorted(wanted.keys() ^ tensors.keys()) or [k for k in wanted if wanted[k].shape != tensors[k].shape]
        raise InputError(
            f"{path} does not fit the architecture '{model.arch}': {len(wrong)} weights are missing, too many or of "
            f"another shape, the first is {wrong[0]}"
        ) from None
    built.card = Card.from_dict(model.card)  # type: ignore[assignment]  # modules take any attribute
    return built.to(device).eval()
