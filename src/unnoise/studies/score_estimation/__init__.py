"""Learning a score by gradient descent: does a wide network follow its kernel, and what is stopping early worth?

Han, Razaviyayn and Xu 2024 (2401.15604) prove it; here each statement becomes a number, on targets of known score.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from unnoise.explain.score_estimation import error_terms
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.studies.score_estimation.experiments import (
    Long,
    by_size,
    coupling_rows,
    forms,
    invariants,
    long_run,
    slope,
)
from unnoise.studies.score_estimation.figures import coupling_figure, sizes_figure
from unnoise.studies.score_estimation.targets import blobs, digits, table
from unnoise.training.options import Options
from unnoise.training.presets import load_preset


class CouplingOptions(Options):
    """Networks of `widths` on n samples after `taus` steps, and one longer run."""

    n: int = Field(gt=1)
    widths: tuple[int, ...]
    taus: tuple[int, ...]
    seeds: int = Field(gt=0)
    long_width: int
    long_taus: tuple[int, ...]


class DigitsOptions(Options):
    """Numbers of principal components and of samples."""

    dims: tuple[int, ...]
    sizes: tuple[int, ...]


class TableOptions(Options):
    """Which of `targets.TABLES`, and numbers of samples."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]


class ScorePreset(Options):
    """One preset of `presets/score_estimation.yaml`; `most` is the largest number of steps that a rule may choose."""

    seeds: int = Field(gt=0)
    test: int = Field(gt=1)
    most: int = Field(gt=1)
    coupling: CouplingOptions
    sizes: tuple[int, ...]
    forms: tuple[tuple[int, float], ...]
    digits: DigitsOptions
    tables: TableOptions
    claims: dict[str, dict[str, float]]


def run(preset: str = "laptop") -> Report:
    """Everything of a preset of presets/score_estimation.yaml; needs scikit-learn for the digits."""
    start = time.perf_counter()
    p = load_preset(ScorePreset, "score_estimation", preset)
    seeds = range(p.seeds)
    target = blobs()
    test = target.states(p.test)
    rows = coupling_rows(target, test, p.coupling.n, p.coupling.widths, p.coupling.taus, p.coupling.seeds)
    long = long_run(target, test, p.coupling.n, p.coupling.long_width, p.coupling.long_taus, p.seeds)
    sizes = by_size(target, test, p.sizes, seeds, p.most)
    shapes = {(n, t_min): forms(blobs(t_min), n, seeds, p.test, p.most) for n, t_min in p.forms}
    real = {d: by_size(digits(d), digits(d).states(p.test), p.digits.sizes, seeds, p.most) for d in p.digits.dims}
    tables = {name: table(name) for name in p.tables.names}
    tabular = {name: by_size(t, t.states(p.test), p.tables.sizes, seeds, p.most) for name, t in tables.items()}
    terms = error_terms(long.net, target.truth, test.x, test.t, n=3 * len(test.x) // 8)
    whole = terms.coupling + terms.mismatch + terms.stopping + terms.approximation
    checks = [
        *invariants(target, long),
        Check("error, relative to the sum of its four terms", terms.total / whole, 1.0),
    ]

    def claim(key: str, name: str, values: Sequence[float]) -> Claim:
        value, interval = mean_interval(values)
        return Claim(name, value, Criterion(**p.claims[key]), interval)

    most_steps = p.coupling.long_taus[-1]
    smallest, largest = p.sizes[0], p.sizes[-1]
    many = [n for n in p.sizes if n >= 100]
    on_digits = [e for each in real.values() for e in each.values()]
    low, high = p.digits.dims[0], p.digits.dims[-1]
    most = p.digits.sizes[-1]
    claims = [
        *(
            claim("coupling", f"distance of network and kernel, {tau} steps: slope over widths from 256 on", values)
            for tau in p.coupling.taus[:2]
            for values in [_coupling_slopes(rows, tau, p.coupling)]
        ),
        claim("best over last", f"kernel, n = {p.coupling.n}: least error over that of {most_steps} steps",
              [min(curve) / curve[-1] for curve in long.kernel]),
        claim("oracle slope", f"error with the best stop, n = {smallest} to {largest}: slope", slopes(sizes, "oracle")),
        claim("holdout slope", "the same with the hold-out rule", slopes(sizes, "holdout")),
        claim("rwy over interpolation", "rwy rule over interpolation, largest of n >= 100",
              [max(sizes[n]["rwy"][s] / sizes[n]["interpolation"][s] for n in many) for s in seeds]),
        claim("interpolation stays", f"interpolation: error at n = {largest} over that at n = {many[0]}",
              [sizes[largest]["interpolation"][s] / sizes[many[0]]["interpolation"][s] for s in seeds]),
        claim("direct over x0", "score learnt directly: its error over that of the parametric form, least",
              [min(f["score"][s] / f["x0"][s] for f in shapes.values()) for s in seeds]),
        claim("eps over x0", "noise learnt: its error over that of the parametric form, least",
              [min(f["eps"][s] / f["x0"][s] for f in shapes.values()) for s in seeds]),
        claim("digits slope", f"digits, d = {low}: slope of the error with the best stop", slopes(real[low], "oracle")),
        claim("digits interpolation over zero", "digits: interpolation over predicting zero, least",
              [min(e["interpolation"][s] / e["zero"][s] for e in on_digits) for s in seeds]),
        claim("digits dimension", f"digits, n = {most}: error at d = {high} over d = {low}",
              [real[high][most]["oracle"][s] / real[low][most]["oracle"][s] for s in seeds]),
    ]  # fmt: skip
    return Report(
        slug="score_estimation",
        preset=preset,
        command=f"unnoise reproduce score_estimation --preset {preset}",
        seeds=tuple(seeds),
        seconds=time.perf_counter() - start,
        checks=tuple(checks),
        claims=tuple(claims),
        tables=(
            _coupling_table(rows, p.coupling),
            _long_table(long, p.coupling),
            _sizes_table("Four blobs: mean squared error of f", sizes),
            *(_sizes_table(f"Digits, d = {d}: mean squared error of f", each) for d, each in real.items()),
            _tabular_table(tabular),
            _forms_table(shapes),
            Table(
                f"Root mean square error of the network after {len(long.net.history_)} steps",
                ("whole", "coupling", "label mismatch", "early stopping", "approximation"),
                (tuple(round(v, 4) for v in vars(terms).values()),),
                "The whole is at most the sum of the four terms.",
            ),
        ),
        figures=(coupling_figure(rows, long, p.coupling.taus, p.coupling.long_taus), sizes_figure(sizes, real)),
    )


def slopes(found: dict[int, dict[str, list[float]]], stop: str) -> list[float]:
    """Slope of log error over log n, one a seed."""
    sizes = list(found)
    return [slope(sizes, [found[n][stop][s] for n in sizes]) for s in range(len(found[sizes[0]][stop]))]


def _coupling_slopes(rows: list[list[Any]], tau: int, o: CouplingOptions) -> list[float]:
    found = []
    for of_seed in rows:
        points = [(r.width, r.rms) for r in of_seed if r.tau == tau and r.width >= min(256, o.widths[-2])]
        found.append(slope(*zip(*points, strict=True)))
    return found


def _coupling_table(rows: list[list[Any]], o: CouplingOptions) -> Table:
    shown = []
    for width in o.widths:
        cells: list[Any] = [width]
        for tau in o.taus:
            found = [r for of_seed in rows for r in of_seed if (r.width, r.tau) == (width, tau)]
            cells += [float(f"{sum(getattr(r, key) for r in found) / len(found):.3g}") for key in ("rms", "move")]
        shown.append(tuple(cells))
    heads = [head for tau in o.taus for head in (f"apart, {tau} steps", f"weight moved, {tau} steps")]
    return Table(
        f"Network and kernel regression on {o.n} samples, mean of {len(rows)} seeds",
        ("width", *heads),
        tuple(shown),
        "Root mean square of the difference at fresh states; largest move of a neuron's weights.",
    )


def _long_table(long: Long, o: CouplingOptions) -> Table:
    kernel = [sum(values) / len(values) for values in zip(*long.kernel, strict=True)]
    rows: tuple[tuple[Any, ...], ...] = (
        ("kernel", *(round(v, 4) for v in kernel)),
        ("network", *(round(v, 4) for v in long.network)),
    )
    heads = tuple(f"{tau} steps" for tau in o.long_taus)
    note = f"Kernel: mean of {len(long.kernel)} seeds; network of width {o.long_width}: the first of them."
    return Table(f"Four blobs, n = {o.n}: mean squared error of f while it learns", ("", *heads), rows, note)


def _sizes_table(title: str, found: dict[int, dict[str, list[float]]]) -> Table:
    stops = list(next(iter(found.values())))
    rows = tuple((n, *(float(f"{sum(e[k]) / len(e[k]):.3g}") for k in stops)) for n, e in found.items())
    note = "Mean over seeds. oracle: the best number of steps, which only the truth tells; zero: f = 0."
    return Table(title, ("n", *stops), rows, note)


def _tabular_table(found: dict[str, dict[int, dict[str, list[float]]]]) -> Table:
    each = {name: _sizes_table("", sizes) for name, sizes in found.items()}
    first = next(iter(each.values()))
    rows = tuple((name.replace("_", " "), *row) for name, one in each.items() for row in one.rows)
    return Table(
        "Tables: mean squared error of f",
        ("table", *first.columns),
        rows,
        f"{first.note} scikit-learn's tables stand in for Credit Default, columns standardised, rows drawn in to 1.",
    )


def _forms_table(shapes: dict[tuple[int, float], dict[str, list[float]]]) -> Table:
    rows = tuple(
        (n, t_min, *(float(f"{sum(v) / len(v):.3g}") for v in found.values())) for (n, t_min), found in shapes.items()
    )
    return Table(
        "What is learnt: weighted score error (h / alpha)² |s - s*|², best stop of each",
        ("n", "first time", "x0 (the parametric form)", "eps", "score"),
        rows,
        "Mean over seeds, one kernel for all.",
    )
