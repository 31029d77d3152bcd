"""`unnoise train`: train one of the project's networks on pictures of your own or on the project's data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unnoise.errors import unknown

TRAINERS = {
    "digits": "unnoise.generate.digits:train",
    "digits-distilled": "unnoise.generate.distillation:train",
    "cbsn": "unnoise.restore.cbsn_training:train",
    "eld": "unnoise.restore.eld_training:train",
    "hyde": "unnoise.restore.hyde.neural_training:train",
    "photo": "unnoise.restore.photo_training:train",
    "wild_jdd": "unnoise.restore.wild_jdd_training:train",
    "photo-real": "unnoise.restore.photo_training:train_real",
}
"""What can be trained -> "module:function", imported when asked for."""


def train(
    slug: Annotated[str, typer.Argument(help=f"What to train: {', '.join(TRAINERS)}.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data sets.", envvar="UNNOISE_DATA", show_envvar=True)
    ] = None,
    preset: Annotated[str, typer.Option(help="smoke, laptop, paper, another shipped one, or a YAML file.")] = "laptop",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change one key of the preset, as in fit.lr=3e-4; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Begin with this checkpoint (its step included) or these weights (a file or a name)."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the run; runs/SLUG if not given.")] = None,
) -> None:
    """Train a network; Ctrl-C saves, and --resume goes on as if nothing had happened."""
    if slug not in TRAINERS:
        raise unknown("training", slug, TRAINERS)
    import importlib

    from rich.console import Console

    from unnoise.training.progress import bar

    folder = out or Path("runs") / slug
    console = Console(stderr=True)
    module, _, name = TRAINERS[slug].partition(":")
    trainer = getattr(importlib.import_module(module), name)
    try:
        with bar(console) as progress:
            weights = trainer(preset, setting or (), data, folder, resume or start or False, progress)
    except KeyboardInterrupt as stop:
        if stop.args:
            console.print(f"{stop.args[0]}; to go on, give the same command with --resume", highlight=False)
        raise
    Console().print(f"weights written to {weights}", highlight=False, markup=False)
