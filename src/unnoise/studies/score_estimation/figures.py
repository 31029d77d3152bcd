"""The pictures of the report: coupling and learning curves, errors by number of samples."""

from __future__ import annotations

from collections.abc import Sequence

from unnoise.explain.score_estimation import Coupling
from unnoise.studies.drawing import canvas, to_webp
from unnoise.studies.report import Figure
from unnoise.studies.score_estimation.experiments import Long

COLOURS = {
    "zero": "#94a3b8",
    "oracle": "#0f766e",
    "holdout": "#1d4ed8",
    "rwy": "#a16207",
    "rwy_vector": "#7e22ce",
    "discrepancy": "#475569",
    "interpolation": "#c2410c",
}


def coupling_figure(rows: list[list[Coupling]], long: Long, taus: Sequence[int], long_taus: Sequence[int]) -> Figure:
    """Distance of network and kernel by width; errors of both while they learn."""
    figure = canvas(10, 3.6)
    left, right = figure.subplots(1, 2)
    for tau in taus:
        widths = sorted({r.width for of_seed in rows for r in of_seed})
        mean = [
            sum(r.rms for of_seed in rows for r in of_seed if (r.width, r.tau) == (w, tau)) / len(rows) for w in widths
        ]
        left.loglog(widths, mean, "o-", ms=3, label=f"{tau} steps")
    left.loglog(widths, [mean[0] * (widths[0] / w) ** 0.5 for w in widths], ":", color="0.6", label="slope -1/2")
    left.set(xlabel="width", ylabel="root mean square")
    left.set_title("network against kernel", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    kernel = [sum(values) / len(values) for values in zip(*long.kernel, strict=True)]
    at = [max(tau, 1) for tau in long_taus]
    right.loglog(at, kernel, "o-", ms=3, color=COLOURS["holdout"], label="kernel")
    right.loglog(at, long.network, "s--", ms=3, color=COLOURS["interpolation"], label="network")
    right.set(xlabel="steps", ylabel="error of f")
    right.set_title("learning on makes it worse", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    return Figure("coupling", "A wide network follows its kernel regression; both must stop early.", to_webp(figure))


def sizes_figure(
    blobs: dict[int, dict[str, list[float]]], digits: dict[int, dict[int, dict[str, list[float]]]]
) -> Figure:
    """Error by number of samples with every way to stop."""
    panels = {"four blobs": blobs} | {f"digits, d = {d}": found for d, found in digits.items()}
    figure = canvas(3.8 * len(panels), 3.6)
    for axes, (title, found) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for stop, colour in COLOURS.items():
            mean = [sum(e[stop]) / len(e[stop]) for e in found.values()]
            axes.loglog(list(found), mean, "o-", ms=3, lw=1, color=colour, label=stop)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("samples")
    figure.axes[0].set_ylabel("error of f")
    figure.axes[0].legend(fontsize=7, frameon=False)
    return Figure("sizes", "Error of f by number of samples and way to stop.", to_webp(figure))
