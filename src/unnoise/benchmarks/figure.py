"""Quality against time, one dot a contender, on a logarithmic time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unnoise.benchmarks.harness import BenchReport

OURS, PEER = "#c2410c", "#475569"


def quality_time(report: BenchReport, score: str, label: str, path: str | Path) -> Path:
    """Draw `score` (named `label` on the axis) against seconds a unit with its quartiles; WebP or PNG by extension."""
    import matplotlib.ticker as ticker
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from unnoise.data.files import replacing

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    shown = [r for r in report.results if score in r.scores]
    for r in shown:
        middle, low, high = r.seconds
        axes.errorbar(
            middle,
            r.scores[score],
            xerr=[[middle - low], [high - middle]],
            color=OURS if r.ours else PEER,
            marker="o" if r.ours else "s",
            capsize=3,
        )
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.grid(True, which="both", color="#e2e8f0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(f"seconds a {report.unit} ({report.threads} threads, median of {report.repeats}, log scale)")
    axes.set_ylabel(label)
    axes.set_title(f"{report.name}: faster to the left, better to the top", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.draw_without_rendering()  # fixes the axes, so that labels can be laid out in their pixels
    dots = [tuple(axes.transData.transform((r.seconds[0], r.scores[score]))) for r in shown]
    for r, dot, lift in zip(shown, dots, _lifts([r.name for r in shown], dots), strict=True):
        axes.annotate(
            r.name,
            dot,
            xycoords="figure pixels",
            xytext=(0, lift),
            textcoords="offset pixels",
            ha="center",
            fontsize=9,
            color=OURS if r.ours else PEER,
        )
    kinds = [("unnoise", OURS, "o"), ("other libraries", PEER, "s")]
    axes.legend(
        handles=[Line2D([], [], color=c, marker=m, linestyle="", label=text) for text, c, m in kinds],
        loc="lower right",
        frameon=False,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."))
    return path


def _lifts(names: Sequence[str], dots: Sequence[tuple[float, float]]) -> list[float]:
    """How far above its dot each centred label stands, in pixels, so that no two overlap."""
    height, letter = 19.0, 8.6
    placed: list[tuple[float, float, float]] = [(x, y, 14.0) for x, y in dots]
    lifts = {}
    for i in sorted(range(len(dots)), key=lambda i: dots[i][1]):
        (x, y), width, lift = dots[i], letter * len(names[i]), 10.0
        while any(
            abs(x - u) < (width + w) / 2 and abs(y + lift - v) < height for u, v, w in placed if (u, v) != (x, y)
        ):
            lift += 4.0
        placed.append((x, y + lift, width))
        lifts[i] = lift
    return [lifts[i] for i in range(len(dots))]
