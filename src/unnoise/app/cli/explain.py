"""`unnoise explain`: in which basis a denoiser shrinks a picture, and how it mixes the neighbours of a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from unnoise.data.inputs import expand_inputs, output_path
from unnoise.errors import InputError

if TYPE_CHECKING:
    from unnoise.app.explain_plot import Explained


def explain(
    model: Annotated[str, typer.Argument(help="A shipped model (unnoise models) or a weight file.")],
    image: Annotated[Path, typer.Argument(help="The picture to look at.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="X,Y", help="Pixel in the middle of the part looked at.")
    ] = None,
    sigma: Annotated[float, typer.Option(help="Noise level, of 255, that is added to the picture.")] = 25.0,
    noisy: Annotated[bool, typer.Option("--noisy", help="The picture has noise of that level; add none.")] = False,
    size: Annotated[int, typer.Option(help="Side of the part looked at, in pixels.")] = 32,
    vectors: Annotated[int, typer.Option("-k", help="Basis vectors shown.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the added noise.")] = 0,
    out: Annotated[str | None, typer.Option("-o", "--out", help="Figure to write. Default: NAME.explain.png.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing figure.")] = False,
) -> None:
    """Take a denoiser apart at one place of a picture: shrinkage factors, their basis, effective dimension."""
    (source,) = expand_inputs([image])[:1]
    if size < 8:
        raise InputError(f"--size must be at least 8 pixels, got {size}")
    if not 0 < sigma <= 255:
        raise InputError(f"--sigma must be above 0, up to 255, got {sigma:g}")
    if vectors < 1:
        raise InputError(f"-k must be at least 1, got {vectors}")
    place = None if at is None else _place(at)
    target = output_path(source, out, suffix=".explain", extension=".png")

    from unnoise.app.explain_plot import explain_picture, explain_plot
    from unnoise.data.files import refuse_existing, replacing
    from unnoise.data.photo import read_photo
    from unnoise.restore.pixels import pixels_of
    from unnoise.zoo import load

    refuse_existing(target, overwrite)
    denoiser = load(model)
    x = pixels_of(read_photo(source).pixels).unit()
    found = explain_picture(denoiser, x, sigma / 255, place, size, vectors, noisy, seed)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{source}: {found.where}", markup=False)
    console.print(_table(found))
    with replacing(target, overwrite) as temporary:
        explain_plot(found, f"{model} at {source.name}, {found.where}", temporary)
    console.print(f"  see {target}", markup=False)


def _place(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--at takes two numbers, column and row, as in --at 120,80; got '{text}'") from None
    return x, y


def _table(found: Explained) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    basis, d = found.basis, found.noisy.numel()
    table.add_row("effective dimension", f"{basis.trace:.1f} of {d} (trace of the Jacobian)")
    table.add_row("largest factors", " ".join(f"{float(v):.3f}" for v in basis.eigenvalues[:8]))
    table.add_row("asymmetry", f"{basis.asymmetry:.3f} (0 for an optimal denoiser)")
    table.add_row("D(y) against J y", f"differ by {basis.homogeneity:.2%}")
    stein = "below 0: too few pixels to tell" if found.sure <= 0 else f"{255 * found.sure**0.5:.2f} of 255"
    table.add_row("error by SURE", f"{stein} (root mean square)")
    if found.error is not None:
        table.add_row("true error", f"{255 * found.error**0.5:.2f} of 255")
    return table
