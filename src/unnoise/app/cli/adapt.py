"""`--adapt`: a method learns from the pictures of the command line before it cleans them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from unnoise.errors import InputError, unknown

LARGEST = 1024
LEVELS = ("pattern", "black", "white", "map")  # of reading and of what is shown, not of learning


def adapt_to(
    sources: Sequence[Path],
    method: str,
    minutes: float,
    max_pixels: int,
    options: dict[str, Any],
    console: Console,
    sigma: float | None = None,
    cube: tuple[str | None, int | None] | None = None,
) -> dict[str, Any]:
    """The options of the method once it has learnt from all the pictures; of large ones the middle part is kept.

    `sigma` is for raw mosaics, in counts; `cube` names the array and the axis of the bands where the files are cubes.
    """
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
    from unnoise.training.progress import bar

    many = "1 picture" if len(sources) == 1 else f"{len(sources)} pictures"
    long = f"{options['steps']} steps" if options.get("steps") else f"{minutes:g} minutes"
    console.print(f"learning from {many} for {long}", markup=False)
    if METHODS[method].kinds == ("raw",):
        from unnoise.restore.door import raw_of
        from unnoise.restore.jdd import learnt_from

        raws = [raw_of(source, options, max_pixels)[0] for source in sources]
        kept = {name: value for name, value in options.items() if name in (*LEVELS, "camera")}
        rest = {name: value for name, value in options.items() if name not in LEVELS}
        with bar(console) as progress:
            return kept | learnt_from(raws, minutes, sigma=sigma, progress=progress, **rest)
    if cube is not None:
        from unnoise.data.cube import read_cube
        from unnoise.restore.cubes import channels_of, check_method

        check_method(method, {})
        cubes = [read_cube(source, *cube) for source in sources]
        with bar(console) as progress:
            learnt = [channels_of(c.values, c.nodata) for c in cubes]
            return METHODS[method].adapted(learnt, minutes, progress=progress, **options)
    pictures = []
    for source in sources:
        image = read_photo(source, max_pixels).pixels
        top, left = (max(0, (n - LARGEST) // 2) for n in image.shape[:2])
        pictures.append(pixels_of(image[top : top + LARGEST, left : left + LARGEST].copy()).unit()[0])
    with bar(console) as progress:
        return METHODS[method].adapted(pictures, minutes, progress=progress, **options)
