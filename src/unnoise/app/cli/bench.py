"""`unnoise bench`: speed and quality beside other libraries, on this machine."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from unnoise.benchmarks import BENCHMARKS
from unnoise.errors import unknown

if TYPE_CHECKING:
    from unnoise.benchmarks.harness import BenchReport


def bench(
    name: Annotated[str | None, typer.Argument(help="Benchmark to run; without it, the list of them.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Timed rounds after the warm-up.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each contender; all cores unless told.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small input, to see that it works.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the report and the figure.")] = Path("out/bench"),
) -> None:
    """Measure speed and quality beside other libraries, each in a process of its own."""
    console = Console()
    if name is None:
        table = Table("benchmark", "what it measures", box=None)
        for known, (_, what) in BENCHMARKS.items():
            table.add_row(known, what)
        console.print(table)
        return
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    errors = Console(stderr=True)
    module, _, function = BENCHMARKS[name][0].partition(":")
    run = getattr(importlib.import_module(module), function)
    with errors.status(name) as status:
        rounds = {} if repeats is None else {"repeats": repeats}
        report = run(out, **rounds, threads=threads, quick=quick, progress=status.update)
    for warning in report.warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(_table(report))
    for skipped, reason in report.skipped.items():
        console.print(f"skipped {skipped}: {reason}", markup=False)
    console.print(f"{report.notes}; {report.threads} threads, {report.repeats} rounds; see {out}/", markup=False)


def _table(report: BenchReport) -> Table:
    scores = list(dict.fromkeys(key for r in report.results for key in r.scores))
    table = Table(box=None)
    table.add_column("", no_wrap=True)
    for heading in (f"s/{report.unit}", "spread", f"x {report.reference}", "MiB", *scores):
        table.add_column(heading, justify="right")
    for r in report.results:
        middle, low, high = r.seconds
        table.add_row(
            r.name,
            f"{middle:.4g}",
            f"±{50 * (high - low) / middle:.0f}%",
            f"{r.ratio[0]:.2f}",
            f"{r.peak_mib:.0f}",
            *(f"{r.scores[s]:.4g}" if s in r.scores else "" for s in scores),
            style="bold" if r.ours else None,
        )
    return table
