"""`unnoise denoise`: clean pictures and spectral cubes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from unnoise.app.cli.cube_options import CubeOptions
from unnoise.data.cube import CUBE_EXTENSIONS, ONLY_CUBES
from unnoise.data.formats import EXTENSIONS, RAW_EXTENSIONS
from unnoise.data.inputs import expand_inputs, output_paths
from unnoise.errors import InputError, UnnoiseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unnoise.restore.door import Restored

INPUTS = Annotated[list[str], typer.Argument(metavar="IN...", help="Pictures, cubes, globs or folders.")]


def denoise(
    inputs: INPUTS,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File, or folder (made if missing). Default: NAME.denoised.EXT.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "-m", "--method", help="auto, classical (auto without networks), or a name from: unnoise methods."
        ),
    ] = "auto",
    kind: Annotated[
        str | None, typer.Option(help="What the data is, where that is ambiguous: photo, raw or cube.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Noise level, 0-255 (cubes: file units; raw: counts). Default: estimated.")
    ] = None,
    strength: Annotated[float, typer.Option(help="From 0 (the input) to 1 (all the noise taken).")] = 1.0,
    tile: Annotated[int | None, typer.Option(help="Tile edge in pixels; smaller takes less memory.")] = None,
    device: Annotated[str | None, typer.Option(help="Where a network runs: cpu, cuda, mps.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Tune the method's parameters on the picture itself (J-invariance).")
    ] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Let the method learn from the pictures given first (cbsn, jdd).")
    ] = False,
    minutes: Annotated[float, typer.Option(help="With --adapt: how long to learn.")] = 5.0,
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the method; may be repeated.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also write NAME.report.png (before, after, removed) and NAME.report.json.")
    ] = False,
    noise_map: Annotated[
        bool, typer.Option("--map", help="Of raw, with jdd: also write NAME.noise.tif, the noise's standard deviation.")
    ] = False,
    max_pixels: Annotated[int, typer.Option(help="Refuse larger pictures before decoding them.")] = 250_000_000,
    dataset: Annotated[str | None, typer.Option(help="Which array of a file with several cubes.")] = None,
    band_axis: Annotated[
        int | None, typer.Option(help="Axis of a cube's bands, 0-2, where its file leaves it open.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory a cube may take, as 2G; larger ones go in pieces. Default: half of what is free."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask cluster for a cube in pieces, as tcp://host:8786.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a cube that was stopped in the middle.")] = False,
) -> None:
    """Clean pictures and cubes; what is in their files besides values is kept.

    A batch goes on past a bad file (exit code 1) and past results that are there already, so a stopped one resumes.
    """
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    known = CUBE_EXTENSIONS if kind == "cube" else (*EXTENSIONS, *RAW_EXTENSIONS)
    sources = expand_inputs(inputs, known)
    targets = [_target(s, t, kind, out) for s, t in zip(sources, output_paths(sources, out, overwrite), strict=True)]
    parsed = parse_options(options or [])
    if out is not None and (len(sources) > 1 or out.endswith(("/", "\\"))):
        make_folder(Path(out).expanduser())

    from unnoise.app.cli.progress import watch
    from unnoise.data.files import refuse_existing
    from unnoise.data.photo import read_photo, write_photo
    from unnoise.restore.door import restore

    many, failed = len(sources) > 1, 0
    if noise_map:
        if method not in ("auto", "jdd"):
            raise InputError(f"--map is a map of the noise that method jdd finds: method {method} has none")
        method = "jdd"
        parsed = parsed | {"map": True}
    if adapt:
        from unnoise.app.cli.adapt import adapt_to

        if not many:
            refuse_existing(targets[0], overwrite)  # before it learns, not after it
        cube = (dataset, band_axis) if goes_as_cube(sources[0], kind) else None
        parsed = adapt_to(sources, method, minutes, max_pixels, parsed, errors, sigma, cube)
    with watch(errors, len(sources)) as start:
        for source, target in zip(sources, targets, strict=True):
            progress = start(source.name)
            if many and target.exists() and not overwrite:
                console.print(f"{target} is there already: kept", markup=False)
                continue
            try:
                if goes_as_cube(source, kind):
                    from unnoise.app.cli.denoise_cube import denoise_cube

                    wanted = CubeOptions(
                        method, sigma, strength, device, parsed, dataset, band_axis, tile, calibrate, memory, scheduler,
                        resume,
                    )  # fmt: skip
                    for line in denoise_cube(source, target, wanted, overwrite, report, progress):
                        console.print(line, markup=False)
                    progress(1, 1)
                    continue
                refuse_existing(target, overwrite)  # before the work, not after it
                if _is_raw(source, kind):
                    from unnoise.app.cli.denoise_raw import denoise_raw

                    options_of = {"sigma": sigma, "strength": strength, "tile": tile, "device": device} | parsed
                    for line in denoise_raw(
                        source, target, method, options_of, overwrite=overwrite, max_pixels=max_pixels,
                        calibrate=calibrate, report=report, progress=progress,
                    ):  # fmt: skip
                        console.print(line, markup=False)
                    continue
                photo = read_photo(source, max_pixels)
                done = restore(
                    photo.pixels,
                    method,
                    kind=kind,
                    sigma=in_counts(sigma, photo.pixels),
                    strength=strength,
                    tile=tile,
                    device=device,
                    calibrate=calibrate,
                    progress=progress,
                    **parsed,
                )
                write_photo(target, photo.with_pixels(done.image), overwrite)
                console.print(f"{source} -> {target}\n  {summary(done)}", markup=False)
                for note in photo.notes:
                    console.print(f"  note: {note}", markup=False)
                if report:
                    console.print(f"  see {write_report(source.name, photo.pixels, target, done)}", markup=False)
            except UnnoiseError as error:
                name_the_file(error, source)
                if not many:
                    raise
                failed += 1
                errors.print(f"unnoise: {error}", markup=False)
    if failed:
        errors.print(f"unnoise: {failed} of {len(sources)} files failed")
        raise typer.Exit(1)


def goes_as_cube(source: Path, kind: str | None) -> bool:
    """Whether a file is a cube: by its extension, or as it is called."""
    return kind == "cube" or (kind is None and source.suffix.lower() in ONLY_CUBES)


def _is_raw(source: Path, kind: str | None) -> bool:
    return kind == "raw" or (kind is None and source.suffix.lower() in RAW_EXTENSIONS)


def _target(source: Path, target: Path, kind: str | None, out: str | None) -> Path:
    """A result that was not named by hand is written as a TIFF where its source is a camera file."""
    by_hand = out is not None and target == Path(out).expanduser()
    if _is_raw(source, kind) and not by_hand and target.suffix.lower() in RAW_EXTENSIONS:
        return target.with_suffix(".tif")
    return target


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` options of a method; values are numbers, true, false, or text.

    >>> parse_options(["weight=0.1", "shifts=3", "fast=true", "wavelet=db2"])
    {'weight': 0.1, 'shifts': 3, 'fast': True, 'wavelet': 'db2'}
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InputError(f"--set takes KEY=VALUE, got '{pair}'")
        parsed[key.replace("-", "_")] = _value(value)
    return parsed


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def make_folder(folder: Path) -> None:
    """Make an output folder, or say in a sentence why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made ({error.strerror}): choose another with -o") from error


def name_the_file(error: UnnoiseError, source: Path) -> None:
    """Put the file in front of a sentence about a picture that came without a name."""
    if source.name not in str(error):
        error.args = (f"{source}: {error}",)


def in_counts(sigma: float | None, image: NDArray[Any]) -> float | None:
    """The command line's noise level, 0-255, in the counts of a picture."""
    from unnoise.data.values import full_scale

    return None if sigma is None else sigma * full_scale(image.dtype) / 255


def summary(done: Restored) -> str:
    """Noise, method, reason and speed in one line."""
    megapixels = done.image.shape[0] * done.image.shape[1] / 1e6
    speed = f"{megapixels:.2f} Mpx in {done.seconds:.2f} s ({megapixels / max(done.seconds, 1e-9):.2f} Mpx/s)"
    return f"{done.choice.method}: {done.choice.reason}; {speed}"


def write_report(name: str, before: NDArray[Any], target: Path, done: Restored) -> Path:
    """NAME.report.png and NAME.report.json beside the result; always replaced, as they belong to it."""
    import json

    from unnoise.app.figures import before_after
    from unnoise.data.files import replacing

    facts = {
        "source": name,
        "method": done.choice.method,
        "reason": done.choice.reason,
        "options": {key: str(value) for key, value in done.choice.options.items()},
        "seconds": round(done.seconds, 3),
        "profile": done.profile.to_dict() if done.profile else None,
    }
    picture = target.with_name(f"{target.stem}.report.png")
    with replacing(picture, overwrite=True) as temporary:
        before_after(before, done.image, f"{name}: {summary(done)}").save(temporary)
    with replacing(picture.with_suffix(".json"), overwrite=True) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
    return picture
