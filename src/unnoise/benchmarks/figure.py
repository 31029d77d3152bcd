"""Quality against time, one dot a contender, on a logarithmic time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unnoise.benchmarks.harness import BenchReport

OURS, PEER = "#c2410c", "#475569"
HEIGHT, LETTER = 18.0, 8.4  # of a label, in pixels


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
            markersize=6 if r.ours else 8,  # where both meet, the smaller one lies on top
            zorder=3 if r.ours else 2,
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
    for r, dot, place in zip(shown, dots, _places([r.name for r in shown], dots, axes.bbox.x0), strict=True):
        far = abs(place[1] - dot[1]) > 3 * HEIGHT / 2
        axes.annotate(
            r.name,
            dot,
            xycoords="figure pixels",
            xytext=place,
            textcoords="figure pixels",
            ha="center",
            va="center",
            fontsize=9,
            color=OURS if r.ours else PEER,
            arrowprops={"arrowstyle": "-", "color": "#94a3b8", "linewidth": 0.6} if far else None,
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


def _places(names: Sequence[str], dots: Sequence[tuple[float, float]], left: float) -> list[tuple[float, float]]:
    """Centre of each label in pixels: beside, above or below its dot, as near as overlaps nothing, right of `left`."""
    taken = [(x, y, HEIGHT) for x, y in dots]
    places = []
    for name, (x, y) in zip(names, dots, strict=True):
        width = LETTER * len(name)
        beside = width / 2 + 16
        tries = [(beside, 0.0), (-beside, 0.0)]
        tries += [
            (dx, sign * HEIGHT * n / 2) for n in range(2, 16) for sign in (1, -1) for dx in (0.0, beside, -beside)
        ]
        free = (
            (x + dx, y + dy)
            for dx, dy in tries
            if x + dx - width / 2 > left
            and all(abs(x + dx - u) > (width + w) / 2 or abs(y + dy - v) > HEIGHT for u, v, w in taken)
        )
        place = next(free, (x + beside, y))
        taken.append((*place, width))
        places.append(place)
    return places
