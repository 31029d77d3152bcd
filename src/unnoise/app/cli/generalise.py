"""`unnoise generalise`: whether denoisers of one's own pictures remember them or have learnt what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unnoise.data.inputs import expand_inputs
from unnoise.errors import InputError


def generalise(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, folders or globs; three files or more.")],
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Patches each network learns from.")] = "10,1000",
    side: Annotated[int, typer.Option(help="Side of a patch, in pixels.")] = 16,
    shrink: Annotated[int, typer.Option(help="Average the pictures down by this first.")] = 1,
    steps: Annotated[int, typer.Option(help="Of each of the two trainings that every size takes.")] = 1000,
    test: Annotated[int, typer.Option(help="Patches of other pictures that are measured.")] = 200,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the networks; what is there goes on.")] = Path(
        "runs/generalise"
    ),
) -> None:
    """Train pairs of blind denoisers on disjoint pictures and tell from how many patches on they are one function."""
    try:
        counts = sorted({int(part) for part in sizes.split(",")})
    except ValueError:
        raise InputError(f"--sizes takes whole numbers, as in --sizes 10,1000; got '{sizes}'") from None
    if counts[0] < 1 or side < 4 or side % 2 or min(shrink, steps) < 1 or test < 2:
        raise InputError(
            "--sizes, --shrink and --steps must be at least 1, --test 2, and --side an even number from 4 on"
        )
    paths = expand_inputs(pictures)

    from rich.console import Console
    from rich.table import Table

    from unnoise.studies.harmonic_bases.own import generalise, own_options, own_patches
    from unnoise.training.progress import bar

    options = own_options(counts, side, shrink, steps, test)
    patches = own_patches(paths, options)
    with bar(Console(stderr=True)) as progress:
        found = generalise(patches, options, out, progress)
    shown = Table(*found.columns, title=found.title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for row in found.rows:
        shown.add_row(*(f"{c:g}" if isinstance(c, float) else str(c) for c in row))
    console = Console()
    console.print(shown)
    console.print(found.note, markup=False, highlight=False)
