"""`unnoise calibrate`: a camera's noise from its own dark and evenly lit frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from unnoise.errors import InputError

if TYPE_CHECKING:
    from unnoise.noise.calibration import IsoFit


def calibrate(
    out: Annotated[Path, typer.Option("-o", "--out", help="The camera file to write, ending in .json.")],
    bias: Annotated[
        list[str] | None,
        typer.Option(help="Dark frames (lens cap on, shortest exposure): folder, file or glob; repeatable."),
    ] = None,
    flat: Annotated[
        list[str] | None,
        typer.Option(help="Evenly lit frames, two of each of several exposures: folder, file or glob; repeatable."),
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Table of the frames instead: file, kind (bias or flat), iso, exposure, snap.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="Bayer order (RGGB, ...) or mono. Default: the file's; mono for pictures.")
    ] = None,
    black: Annotated[float | None, typer.Option(help="Nominal black level, DN. Default: the mean of the dark.")] = None,
    white: Annotated[
        float | None, typer.Option(help="Saturation, DN. Default: the file's, or the largest seen.")
    ] = None,
    method: Annotated[str, typer.Option(help="Gain from pairs of frames, or spatial (single frames).")] = "pairs",
    name: Annotated[str, typer.Option(help="Name of the camera. Default: the file's.")] = "",
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the fits to NAME.png beside -o.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing camera file.")] = False,
) -> None:
    """Measure a camera: gain, read-out, row and colour noise at every ISO, from raw frames without noise reduction."""
    if out.suffix != ".json":
        raise InputError(f"a camera file ends in .json, got {out}: name another with -o")
    if frames is None and not (bias and flat):
        raise InputError("give dark frames with --bias and lit ones with --flat, or a table of both with --frames")

    from unnoise.data.files import refuse_existing, replacing
    from unnoise.data.frames import dtype_top, read_calibration
    from unnoise.noise.calibration import calibrate as fit

    console = Console(highlight=False, soft_wrap=True)
    refuse_existing(out, overwrite)
    picture = out.with_suffix(".png")
    if plot:
        refuse_existing(picture, overwrite)
    read = read_calibration(bias or (), flat or (), frames, pattern)
    for note in read.notes:
        console.print(f"note: {note}", markup=False)
    first = read.first
    known = dtype_top(first)
    order = pattern or first.pattern
    options: dict[str, Any] = {
        "name": name or first.camera or out.stem,
        "pattern": order,
        "black": black if black is not None else (first.black[0] if known is not None else None),
        "white": white if white is not None else known,
        "method": method,
    }
    camera, fits = fit(read.bias, read.flats, **options)
    with replacing(out, overwrite) as temporary:
        temporary.write_text(camera.to_json(), encoding="utf-8")
    console.print(_levels(fits))
    for f in fits:
        console.print(
            f"ISO {f.iso:g}: a line with a free intercept has K = {f.slope:.4f}; R² of the probability plot: "
            f"Tukey-lambda {f.fit_tukey:.5f}, normal {f.fit_normal:.5f}",
            markup=False,
        )
        if f.normality < 0.001:
            console.print(
                f"note: ISO {f.iso:g}: row means are not quite normal (Shapiro-Wilk p = {f.normality:.1g}), and "
                f"neighbouring rows correlate by {f.row_correlation:.2f}; the model draws them normal and independent",
                markup=False,
            )
    held = _held_out(read, options)
    if held:
        console.print(held)
    if plot:
        from unnoise.app.calibration_plot import calibration_plot

        with replacing(picture, overwrite) as temporary:
            calibration_plot(camera, fits, temporary)
    console.print(f"written to {out}" + (f", plots in {picture}" if plot else ""), markup=False)


def _levels(fits: list[IsoFit]) -> Table:
    table = Table("ISO", "K (DN/e-)", "flats", "black", "rows", "columns", "lambda", "TL scale", "std", box=None)
    table.title, table.title_justify = (
        "in DN; flats: levels below saturation; std: all noise in the dark",
        "left",
    )
    for f in fits:
        row = f.to_row()
        numbers = (f"{row[k]:.3f}" for k in ("row", "column", "shape", "read", "gauss"))
        used = f"{f.used.sum()} of {len(f.used)}"
        table.add_row(f"{f.iso:g}", f"{f.gain:.4f}", used, f"{f.black:.2f}", *numbers)
    return table


def _held_out(read: Any, options: dict[str, Any]) -> Table | None:
    """Noise drawn from a fit on one half of the dark frames beside the other half; `None` with fewer than 6 frames."""
    from unnoise.noise.calibration import calibrate as fit
    from unnoise.noise.calibration import synthetic_beside_real

    halves = {iso: len(frames) // 2 for iso, frames in read.bias.items()}
    iso = max(halves, key=lambda k: halves[k])
    if halves[iso] < 3:
        return None
    n = halves[iso]
    camera, _ = fit({iso: read.bias[iso][:n]}, {iso: read.flats[iso]}, **options)
    table = Table("dark frames", "std", "rows", "columns", "kurtosis", "KL", box=None, title_justify="left")
    table.title = f"ISO {iso:g}: drawn after a fit on {n} frames, beside the {len(read.bias[iso]) - n} others"
    for label, f in synthetic_beside_real(camera, read.bias[iso][n:]).items():
        table.add_row(
            label, f"{f.std:.3f}", f"{f.rows:.3f}", f"{f.columns:.3f}", f"{f.kurtosis:.3f}", f"{f.divergence:.5f}"
        )
    return table
