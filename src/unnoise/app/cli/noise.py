"""`unnoise noise`: what noise is in there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from unnoise.app.cli.denoise import INPUTS, goes_as_cube, make_folder, name_the_file
from unnoise.data.cube import CUBE_EXTENSIONS
from unnoise.data.formats import EXTENSIONS
from unnoise.data.inputs import expand_inputs, output_paths
from unnoise.errors import UnnoiseError, unknown

if TYPE_CHECKING:
    from unnoise.noise.profile import NoiseProfile


def noise(
    inputs: INPUTS,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File or folder of the plot. Default: NAME.noise.png.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the plot.")] = True,
    profile: Annotated[
        str | None, typer.Option(help="For raw files: a camera file of unnoise calibrate, or a shipped camera.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What the data is, where that is ambiguous: photo or cube.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Which array of a file with several cubes.")] = None,
    band_axis: Annotated[
        int | None, typer.Option(help="Axis of a cube's bands, 0-2, where its file leaves it open.")
    ] = None,
    iso: Annotated[float | None, typer.Option(help="With --profile: ISO, where the file does not say.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plot.")] = False,
    max_pixels: Annotated[int, typer.Option(help="Refuse larger pictures before decoding them.")] = 250_000_000,
) -> None:
    """Name the noise: level, dependence on brightness, correlation, impulses, JPEG grid; of a cube band by band."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    if profile is not None:
        from unnoise.app.cli.noise_raw import noise_of_raw

        noise_of_raw(inputs, profile, iso, max_pixels)
        return
    check_kind(kind)
    sources = expand_inputs(inputs, CUBE_EXTENSIONS if kind == "cube" else EXTENSIONS)
    plots = output_paths(sources, out, overwrite, ".noise", ".png")

    from unnoise.data.files import refuse_existing, replacing
    from unnoise.data.photo import read_photo
    from unnoise.noise.profile import analyse
    from unnoise.restore.pixels import pixels_of

    if plot and out is not None and (len(sources) > 1 or out.endswith(("/", "\\"))):
        make_folder(Path(out).expanduser())
    failed = 0
    for source, target in zip(sources, plots, strict=True):
        try:
            if goes_as_cube(source, kind):
                from unnoise.app.cli.noise_cube import noise_of_cube

                for said in noise_of_cube(source, target if plot else None, overwrite, dataset, band_axis):
                    console.print(said, markup=False)
                continue
            pixels = pixels_of(read_photo(source, max_pixels).pixels)
            y = pixels.unit()
            found = analyse(y)
            console.print(f"{source}: {found.describe()}", markup=False)
            console.print(_table(found))
            if plot:
                from unnoise.app.noise_plot import noise_plot

                refuse_existing(target, overwrite)
                with replacing(target, overwrite) as temporary:
                    noise_plot(y, found, source.name, temporary)
                console.print(f"  see {target}", markup=False)
        except UnnoiseError as error:
            name_the_file(error, source)
            if len(sources) == 1:
                raise
            failed += 1
            errors.print(f"unnoise: {error}", markup=False)
    if failed:
        errors.print(f"unnoise: {failed} of {len(sources)} files failed")
        raise typer.Exit(1)


def check_kind(kind: str | None) -> None:
    """Whether this is a kind of data that the command takes."""
    if kind not in (None, "photo", "cube"):
        raise unknown("kind", kind, ("photo", "cube"))


def _table(profile: NoiseProfile) -> Table:
    """What was measured, in levels of 255 where that is a level."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    levels = [f"{255 * s:.2f}" for s in profile.sigma]
    table.add_row("level of 255", "  ".join(levels) + ("  (R, G, B)" if len(levels) == 3 else ""))
    table.add_row("in the flattest places", "  ".join(f"{255 * s:.2f}" for s in profile.floor))
    table.add_row(
        "against brightness",
        f"variance = gain * value + read**2, gain {profile.gain:.2e}, read {255 * profile.read:.2f}/255 (descriptive)",
    )
    table.add_row("correlation, 1 2 3 4 px", "rows " + _lags(profile.correlation_x))
    table.add_row("", "columns " + _lags(profile.correlation_y))
    table.add_row("impulses", f"{profile.impulse_share:.3%} of the values")
    table.add_row("JPEG grid", f"strength {profile.jpeg:.2f}, blocks start at {profile.jpeg_phase}")
    return table


def _lags(values: tuple[float, ...]) -> str:
    return " ".join(f"{v:.2f}" for v in values)
