"""`unnoise compare`: every applicable method on one picture or cube, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from unnoise.app.cli.denoise import goes_as_cube, in_counts
from unnoise.app.cli.noise import check_kind
from unnoise.data.cube import CUBE_EXTENSIONS
from unnoise.data.formats import EXTENSIONS
from unnoise.data.inputs import expand_inputs, output_paths
from unnoise.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 1024
"""Of the middle part that is compared, unless told: some methods are slow."""


def compare(
    source: Annotated[str, typer.Argument(metavar="IN", help="One picture or cube.")],
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File of the contact sheet. Default: NAME.compare.png.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What the data is, where that is ambiguous: photo or cube.")] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Noise level, 0-255 (cubes: file units). Default: estimated.")
    ] = None,
    clean: Annotated[str | None, typer.Option(help="The noise-free picture or cube, to measure against.")] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Edge of the middle part that is compared. Default: 1024, of cubes 256."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Which array of a file with several cubes.")] = None,
    band_axis: Annotated[
        int | None, typer.Option(help="Axis of a cube's bands, 0-2, where its file leaves it open.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing sheet.")] = False,
    max_pixels: Annotated[int, typer.Option(help="Refuse larger pictures before decoding them.")] = 250_000_000,
) -> None:
    """Run every method on one picture or cube: a table, and a sheet with the same detail of each result."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False)
    check_kind(kind)
    paths = expand_inputs([source], CUBE_EXTENSIONS if kind == "cube" else EXTENSIONS)
    if len(paths) != 1:
        raise InputError(f"compare takes one picture or cube, '{source}' gives {len(paths)}")
    [sheet] = output_paths(paths, out, overwrite, ".compare", ".png")

    from unnoise.app.cli.progress import watch
    from unnoise.app.figures import contact_sheet
    from unnoise.data.files import refuse_existing, replacing
    from unnoise.data.photo import read_photo
    from unnoise.restore import METHODS
    from unnoise.restore.door import restore

    refuse_existing(sheet, overwrite)
    if goes_as_cube(paths[0], kind):
        from unnoise.app.cli.compare_cube import compare_cube

        with watch(errors, 1) as start:
            for said in compare_cube(paths[0], sheet, clean, sigma, size, overwrite, dataset, band_axis, start):
                console.print(said, markup=False)
        return
    size = size or EDGE
    y = middle(read_photo(paths[0], max_pixels).pixels, size)
    x = None if clean is None else _reference(clean, max_pixels, size, y)
    pictures, table = [("input", y)], _table(x is not None)
    table.add_row("input", "", "", *_scores(y, x))
    names = [name for name, method in METHODS.items() if "photo" in method.kinds and method.adapt is None]
    level = in_counts(sigma, y)
    with watch(errors, len(names) + 1) as start:
        # each method finds the level by itself, as it would for `unnoise denoise --method`
        chosen = restore(y, sigma=level, progress=start("auto"))
        for label, done in [
            ("auto", chosen),
            *((name, restore(y, name, sigma=level, progress=start(name))) for name in names),
        ]:
            pictures.append((label, done.image))
            seconds = done.seconds * 1e6 / (y.shape[0] * y.shape[1])
            style = "bold" if label == "auto" else None
            table.add_row(
                label, f"{seconds:.2f}", f"{_removed(y, done.image):.2f}", *_scores(done.image, x), style=style
            )
    reason = f"{paths[0].name}: auto takes {chosen.choice.method}, {chosen.choice.reason}"
    with replacing(sheet, overwrite) as temporary:
        contact_sheet(pictures, reason).save(temporary)
    console.print(reason, markup=False)
    console.print(table)
    console.print(f"see {sheet}", markup=False)


def middle(image: NDArray[Any], size: int) -> NDArray[Any]:
    """The middle of a picture or cube, of `size` rows and columns at most."""
    top, left = (max(0, (n - size) // 2) for n in image.shape[:2])
    return image[top : top + size, left : left + size]


def _table(measured: bool) -> Table:
    columns = ["method", "s/Mpx", "removed (of 255)"] + (["PSNR (dB)", "SSIM"] if measured else [])
    return Table(*columns, box=None, header_style="bold")


def _reference(clean: str, max_pixels: int, size: int, y: NDArray[Any]) -> NDArray[Any]:
    from unnoise.data.photo import read_photo

    x = middle(read_photo(Path(clean), max_pixels).pixels, size)
    if x.shape != y.shape:
        raise InputError(
            f"{clean} has shape {x.shape}, the noisy picture {y.shape}: they must be of one scene and size"
        )
    return x


def _removed(y: NDArray[Any], x_hat: NDArray[Any]) -> float:
    """Root mean square of what was taken away, in 8-bit levels."""
    import numpy as np

    from unnoise.data.values import full_scale

    return float(np.sqrt(np.mean((y.astype(np.float64) - x_hat) ** 2)) / full_scale(y.dtype) * 255)


def _scores(image: NDArray[Any], x: NDArray[Any] | None) -> list[str]:
    if x is None:
        return []
    from unnoise.data.values import full_scale
    from unnoise.metrics import psnr, ssim

    a, b = (z / full_scale(z.dtype) for z in (image, x))
    return [f"{psnr(a, b):.2f}", f"{ssim(a, b):.4f}"]
