"""`unnoise methods | models | papers | data`: what there is. None of them imports torch."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def methods() -> None:
    """Methods of `unnoise denoise`, and what each is for."""
    from unnoise.restore import METHODS

    table = Table("method", "kinds", "needs", "what it does", box=None, header_style="bold")
    for name, method in METHODS.items():
        needs = "noise level (estimated)" if method.needs_sigma else ""
        table.add_row(name, " ".join(method.kinds), needs, method.summary)
    Console().print(table)


def models() -> None:
    """Trained weights that came with the package."""
    from unnoise.zoo import models as shipped

    found = shipped()
    if not found:
        Console().print("no weights are shipped with this version; train some with: unnoise train")
        return
    table = Table("model", "kind", "MB", "trained on", "licence", box=None, header_style="bold")
    for model in found:
        card = model.card
        table.add_row(
            model.name, card["kind"], f"{model.bytes / 1e6:.1f}", str(card["training"].get("data", "")), card["licence"]
        )
    Console().print(table)


def papers() -> None:
    """The twenty papers, with what has been measured of each."""
    from unnoise.studies.papers import papers as all_papers

    table = Table("paper", "pillar", "title", "status", "measured", box=None, header_style="bold")
    for status in all_papers():
        paper = status.paper
        table.add_row(paper.slug, paper.pillar, f"{paper.title} ({paper.venue})", status.word, status.measured)
    Console().print(table)


def data(
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare its hash.")] = False,
) -> None:
    """Data sets of the studies and trainings: which are here, their source and licence."""
    from unnoise.data.catalog import root, status
    from unnoise.data.datasets import DATASETS

    folder = root()
    console = Console()
    if folder is None:
        console.print("UNNOISE_DATA is not set: point it at the folder that holds the data sets below")
    else:
        console.print(f"in {folder}", markup=False)
    table = Table("data set", "here", "used for", "licence", "source", "hash", box=None, header_style="bold")
    colours = {"present": "green", "missing": "red", "changed": "yellow"}
    for dataset in DATASETS.values():
        word = status(dataset, verify=verify)
        table.add_row(
            dataset.name,
            f"[{colours[word]}]{word}[/]",
            dataset.used_for,
            dataset.licence,
            dataset.source,
            dataset.sha256[:8],
        )
    console.print(table)
