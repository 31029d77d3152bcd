"""`--adapt`: a method learns from the pictures of the command line before it cleans them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from unnoise.errors import InputError, unknown

LARGEST = 1024


def adapt_to(
    sources: Sequence[Path], method: str, minutes: float, max_pixels: int, options: dict[str, Any], console: Console
) -> dict[str, Any]:
    """The options of the method once it has learnt from all the pictures; of large ones the middle part is kept."""
    from unnoise.data.photo import read_photo
    from unnoise.restore import METHODS
    from unnoise.restore.pixels import pixels_of

    if method == "auto":
        raise InputError("--adapt needs a method that learns: name one with --method, such as cbsn")
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if METHODS[method].adapt is None:
        able = ", ".join(name for name, m in METHODS.items() if m.adapt)
        raise InputError(f"method {method} does not learn from pictures: leave --adapt out, or use one of {able}")
    pictures = []
    for source in sources:
        image = read_photo(source, max_pixels).pixels
        top, left = (max(0, (n - LARGEST) // 2) for n in image.shape[:2])
        pictures.append(pixels_of(image[top : top + LARGEST, left : left + LARGEST].copy()).unit()[0])
    from unnoise.training.progress import bar

    console.print(f"learning from {len(pictures)} pictures for {minutes:g} minutes", markup=False)
    with bar(console) as progress:
        return METHODS[method].adapted(pictures, minutes, progress=progress, **options)
