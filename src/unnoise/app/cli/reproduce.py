"""`unnoise reproduce`: run a study, show what holds and what does not."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from unnoise.errors import InputError, unknown
from unnoise.studies import STUDIES
from unnoise.studies.papers import PAPERS

if TYPE_CHECKING:
    from unnoise.studies.report import Report

COLOURS = {"reproduced": "green", "not reproduced": "red", "undecided": "yellow"}


class Scale(StrEnum):
    """How much of the paper's scale a run takes: seconds, an hour on two cores, the paper's own."""

    smoke = "smoke"
    laptop = "laptop"
    paper = "paper"


def reproduce(
    slug: Annotated[str | None, typer.Argument(help="Study to run; without it, the list of them.")] = None,
    preset: Annotated[Scale, typer.Option(help="Scale of the run.")] = Scale.laptop,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the reports.")] = Path("out/studies"),
) -> None:
    """Run a study: exit code 1 when one of its checks fails, 3 when its data set is missing."""
    console = Console()
    if slug is None:
        console.print("\n".join(STUDIES) or "no study yet; unnoise papers lists what is planned", markup=False)
        return
    if slug not in STUDIES and slug in PAPERS:
        raise InputError(f"the study '{slug}' is planned, not written yet: unnoise reproduce lists those there are")
    if slug not in STUDIES:
        raise unknown("study", slug, STUDIES)
    module, _, function = STUDIES[slug].partition(":")
    report: Report = getattr(importlib.import_module(module), function)(preset.value)
    path = report.save(out / slug / "report.json")
    _show(report, console)
    console.print(f"{report.seconds:.0f} s, written to {path}", markup=False)
    if not report.checks_passed:
        raise typer.Exit(1)


def _show(report: Report, console: Console) -> None:
    from unnoise.studies.report import interval_text

    checks = Table("check", "measured", "must be", "", box=None)
    for c in report.checks:
        word = "[green]holds[/]" if c.passed else "[red]fails[/]"
        checks.add_row(c.name, f"{c.value:.4g}", f"{c.relation} {c.bound:.4g}", word)
    console.print(checks)
    if report.claims:
        claims = Table("claim", "measured", "95 %", "criterion", "paper", "verdict", box=None)
        for claim in report.claims:
            paper = "–" if claim.paper is None else f"{claim.paper:.4g}"
            word = f"[{COLOURS[claim.verdict]}]{claim.verdict}[/]"
            value = f"{claim.value:.4g} {claim.unit}".rstrip()
            claims.add_row(claim.name, value, interval_text(claim.interval), str(claim.criterion), paper, word)
        console.print(claims)
    for table in report.tables:
        shown = Table(title=table.title, title_justify="left", box=None, padding=(0, 1, 0, 0))
        for i, heading in enumerate(table.columns):
            shown.add_column(heading, no_wrap=i > 0)  # names give way to numbers
        for row in table.rows:
            shown.add_row(*("–" if c is None else f"{c:.4g}" if isinstance(c, float) else str(c) for c in row))
        console.print(shown)
