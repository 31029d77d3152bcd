"""Figures of the studies of guidance and of the engine, from their reports; samples come anew from the same seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.studies.drawing import canvas, to_webp
from unnoise.studies.report import Figure, Report, Table

COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7c3aed", "#b45309", "#475569")
Sheet = tuple[Sequence[str], Sequence[Tensor]]
"""Names, and a row of pictures (n, 1, H, W) for each."""


def guidance(report: Report, full: str, sheet: Sheet) -> tuple[Figure, ...]:
    """Cosines, what a threshold costs, what the search finds; and the same digits under every policy.

    `full`: the name of the policy that all are compared with.
    """
    figure = canvas(15, 4)
    cosine, cost, search = figure.subplots(1, 3)
    table = _table(report, "Cosine")
    steps = _column(table, "step")
    for i, name in enumerate(table.columns[2:]):
        cosine.plot(steps, _column(table, name), "o-" if "paper" in name else "-", ms=3, color=COLOURS[i], label=name)
    _axes(cosine, "step", "cosine of both estimates")
    table = _table(report, "What a threshold")
    for i, (name, kept) in enumerate({"adaptive": "adaptive", "fewer steps": "full guidance, "}.items()):
        rows = [row for row in table.rows if str(row[0]).startswith(kept)]
        cost.plot([r[2] for r in rows], [r[3] for r in rows], "o-", color=COLOURS[i], label=name)
    for i, row in enumerate(_table(report, "Policies").rows[3:12]):
        cost.plot(row[1], row[2], "xv^<>d*Ps"[i], ms=5, color=COLOURS[-1], label=row[0])
    _axes(cost, "evaluations", f"SSIM to {full}")
    cost.legend(frameon=False, fontsize=6.5, loc="upper left", bbox_to_anchor=(1, 1))  # it would cover points inside
    table = _table(report, "Search")
    for i, row in enumerate(table.rows):
        search.plot(range(1, len(row) - 2), row[3:], "o-", ms=3, color=COLOURS[i], label=f"price {row[0]:g}")
    _axes(search, "step", "weight of guidance found")
    curves = "Cosine of both estimates, SSIM against evaluations, and the weights that the search finds"
    return (
        Figure("guidance", curves, to_webp(figure)),
        Figure("digits", "Ten digits under every policy, from the same noise", to_webp(_drawn(sheet))),
    )


def engine(report: Report, sheet: Sheet) -> tuple[Figure, ...]:
    """Error against steps; and digits that were memorised, unguided and guided."""
    figure = canvas(6, 4)
    axes = figure.subplots()
    table = _table(report, "Error")
    counts = [int(c) for c in table.columns[1:-1]]
    for i, row in enumerate(table.rows):
        axes.loglog(counts, row[1:-1], "o-", ms=4, color=COLOURS[i], label=f"{row[0]}, order {row[-1]}")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    _axes(axes, "steps", "root mean square error at the end")
    shown = "Digits: memorised, without a class, with a class, and guided"
    return (
        Figure("orders", "Error at the end of a trajectory against the number of steps", to_webp(figure)),
        Figure("digits", shown, to_webp(_drawn(sheet))),
    )


def _drawn(sheet: Sheet) -> Any:
    names, pictures = sheet
    height, width = pictures[-1].shape[-2:]
    figure = canvas(2 + 0.6 * len(pictures[-1]), 0.62 * len(names) * height / width)
    for axes, name, row in zip(figure.subplots(len(names), 1, squeeze=False).flat, names, pictures, strict=True):
        strip = torch.nn.functional.pad(row.clamp(0, 1), (1, 1, 1, 1), value=0.5)
        axes.imshow(np.hstack([*strip[:, 0].numpy()]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_ylabel(textwrap.fill(name, 22), rotation=0, ha="right", va="center", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure


def _axes(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color="#e2e8f0", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=6.5)


def _table(report: Report, beginning: str) -> Table:
    return next(t for t in report.tables if t.title.startswith(beginning))


def _column(table: Table, name: str) -> list[float]:
    """Numbers of a column, NaN where there is none."""
    k = table.columns.index(name)
    return [float("nan") if row[k] is None else float(row[k] or 0) for row in table.rows]
