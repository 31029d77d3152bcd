"""Adaptive Guidance on the shipped digits: how many second estimates can be left out, by which rule, at what loss."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.generate.adaptive_guidance import Adaptive, LinearAG, fit_linear, threshold
from unnoise.generate.guidance import Guided, Interval, Table, Trace, alternating, first, last
from unnoise.generate.sample import Sampled, default_grid, sample, start
from unnoise.generate.sweep import closeness, sweep
from unnoise.studies import guidance_figures
from unnoise.studies.digits_judge import Judge, judge
from unnoise.studies.guidance_search import (
    SearchOptions,
    invariants,
    search_claims,
    search_table,
    searches,
    space_table,
)
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Cell, Check, Claim, Criterion, Report
from unnoise.studies.report import Table as Shown
from unnoise.training.options import Options
from unnoise.training.presets import load_preset
from unnoise.zoo import load

SAMPLER = "euler"
CALIBRATION = 1000  # seed of the starts on which the threshold and LinearAG are fitted
LDM = (0.881, 0.956, 0.977, 0.983, 0.989, 0.993, 0.996, 0.997, 0.998, 0.998, *[None] * 9, 0.9995)
EMU = (0.848, 0.940, 0.960, 0.973, 0.978, 0.982, 0.985, 0.987, 0.988, 0.990, *[None] * 4, 0.995, *[None] * 4, 0.9985)
"""Cosine at each of the paper's 20 steps, read off its figure, ± 0.003."""

FULL, BARE, OURS = "full guidance", "conditional alone", "adaptive"
EARLY, LATE = "guided in the first half", "guided in the second half"
HALF, LINEAR_25 = "alternating in the first half", "LinearAG, alternating in the first half"
EVERY, LINEAR_30 = "every other step", "LinearAG, every other step"
FEWER = "full guidance, fewer steps"


class DigitsOptions(Options):
    """Of the part on digits: `samples` a seed, `paths` to fit on, steps of the `judge` (0: none), batches `timed`."""

    seeds: int
    samples: int
    steps: int
    scale: float
    saving: float
    paths: int
    judge: int
    repeats: int
    timed: tuple[int, ...]


class Study(Options):
    """One preset of `presets/adaptive_guidance.yaml`."""

    search: SearchOptions
    digits: DigitsOptions
    claims: dict[str, Any]
    search_claims: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Bench:
    """The digits network, the starts of every seed with their classes, and where full guidance takes them."""

    d: Denoiser
    o: DigitsOptions
    starts: list[tuple[Tensor, Tensor]]
    full: list[Sampled]

    @classmethod
    def of(cls, o: DigitsOptions) -> Bench:
        """With the shipped network."""
        d = load("digits")
        starts = [_start(d, o, seed, o.samples) for seed in range(o.seeds)]
        return cls(d, o, starts, [_sample(Guided(d, o.scale), *s, default_grid(d, o.steps)) for s in starts])

    def scores(self, guided: Denoiser, steps: int, referee: Judge | None) -> dict[str, list[float]]:
        """Evaluations, squared error, SSIM and class accuracy of a way to sample, one number a seed."""
        scores: dict[str, list[float]] = {"nfe": [], "mse": [], "ssim": [], "accuracy": []}
        for (x, label), full in zip(self.starts, self.full, strict=True):
            drawn = _sample(guided, x, label, default_grid(self.d, steps))
            mse, similar = closeness(drawn.x, full.x)
            scores["nfe"].append(_mean(drawn.nfe))
            scores["mse"].append(_mean(mse))
            scores["ssim"].append(_mean(similar))
            scores["accuracy"].append(_mean(referee.right(drawn.x, label)) if referee else math.nan)
        return scores

    def cosines(self) -> dict[str, Tensor]:
        """Cosine of both estimates at every step of full guidance, (seeds, steps), in each space; x0 in every seed."""
        found = {"x0": torch.stack([_trace(full).gamma.mean(1) for full in self.full])}
        others = {"x0, centred": Adaptive(math.inf, center=True)}
        others |= {space: Adaptive(math.inf, space) for space in ("v", "eps")}
        for name, never in others.items():
            drawn = _sample(Guided(self.d, self.o.scale, never), *self.starts[0], default_grid(self.d, self.o.steps))
            found[name] = _trace(drawn).gamma.mean(1)[None]
        return found


def _start(d: Denoiser, o: DigitsOptions, seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Starts of one seed, and classes in turn."""
    return start(d, (1, 28, 28), n, float(default_grid(d, o.steps)[0]), seed), torch.arange(n) % 10


def _sample(denoiser: Denoiser, x: Tensor, label: Tensor, sigmas: Tensor) -> Sampled:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a cosine of eps is near 1 from the start is what is to be shown
        return sample(denoiser, x_T=x, sampler=SAMPLER, sigmas=sigmas, label=label)


def _trace(drawn: Sampled) -> Trace:
    assert drawn.trace is not None
    return drawn.trace


def run(preset: str = "laptop") -> Report:
    """Every policy from the same starts, the search on exact mixtures, the cosines; `smoke` needs no data set."""
    began = time.perf_counter()
    p = load_preset(Study, "adaptive_guidance", preset)
    found = searches(p.search)
    bench, o = Bench.of(p.digits), p.digits
    referee = judge(o.judge) if o.judge else None
    bar, linear = fitted(bench.d, o)
    scores = {
        name: bench.scores(guided, steps, referee)
        for name, (guided, steps) in policies(bench.d, o, bar, linear).items()
    }
    gamma = bench.cosines()
    report = Report(
        slug="adaptive_guidance",
        preset=preset,
        command=f"unnoise reproduce adaptive_guidance --preset {preset}",
        seeds=tuple(range(o.seeds)),
        seconds=time.perf_counter() - began,
        checks=(*invariants(), *_digit_checks(bench, referee)),
        claims=(
            *_claims(scores, gamma["x0"], o, p.claims, referee),
            *_time_claims(bench, bar, p.claims),
            *search_claims(found, p.search.claimed, p.search_claims),
        ),
        tables=(
            _policy_table(scores, o, bar, referee),
            _gamma_table(gamma, bench),
            _sweep_table(bench),
            search_table(found),
            space_table(),
        ),
    )
    return replace(report, figures=guidance_figures.guidance(report, FULL, example_sheet(o)))


def fitted(d: Denoiser, o: DigitsOptions) -> tuple[float, LinearAG]:
    """The threshold that saves the wanted share, and LinearAG's coefficients, on starts that no table uses."""
    x, label = _start(d, o, CALIBRATION, o.paths)
    grid = default_grid(d, o.steps)
    gamma = _trace(_sample(Guided(d, o.scale), x, label, grid)).gamma
    bar = threshold(gamma, 2 * o.steps * (1 - o.saving))
    return bar, fit_linear(d, x, grid, o.scale, sampler=SAMPLER, label=label)


def policies(d: Denoiser, o: DigitsOptions, bar: float, linear: LinearAG) -> dict[str, tuple[Denoiser, int]]:
    """Everything that is compared: name to denoiser and steps."""
    t, half, quarter = o.steps, o.steps // 2, o.steps // 4
    grid = default_grid(d, t)

    def guided(policy: Any = None) -> tuple[Denoiser, int]:
        return Guided(d, o.scale, policy), t

    return {
        FULL: guided(),
        BARE: (d, t),
        OURS: guided(Adaptive(bar)),
        "adaptive, cosine of eps": guided(Adaptive(bar, "eps")),
        EARLY: guided(first(half, t)),
        LATE: guided(last(half, t)),
        EVERY: guided(alternating(t)),
        "guidance interval": guided(Interval(float(grid[quarter + half]), float(grid[quarter]))),
        "last difference kept in the second half": guided(Table(("cfg",) * half + ("cached",) * (t - half))),
        HALF: guided(alternating(t, half)),
        LINEAR_25: guided(alternating(t, half, "linear", linear)),
        LINEAR_30: guided(alternating(t, None, "linear", linear)),
        FEWER: (Guided(d, o.scale), round(t * (1 - o.saving))),
    }


def example_sheet(o: DigitsOptions) -> tuple[list[str], list[Tensor]]:
    """The first ten starts of seed 0 under every policy, for looking at."""
    d = load("digits")
    x, label = _start(d, o, 0, 10)
    named = policies(d, o, *fitted(d, o))
    return list(named), [_sample(guided, x, label, default_grid(d, steps)).x for guided, steps in named.values()]


def _digit_checks(bench: Bench, referee: Judge | None) -> Iterator[Check]:
    (x, label), grid, scale = bench.starts[0], default_grid(bench.d, bench.o.steps), bench.o.scale
    never = _sample(Guided(bench.d, scale, Adaptive(1.1)), x, label, grid)
    yield Check("digits: a threshold above 1 differs from full guidance", _most(never.x - bench.full[0].x), 0)
    bare = _sample(bench.d, x, label, grid)
    unit = _sample(Guided(bench.d, 1.0, Adaptive()), x, label, grid)
    yield Check("digits: scale 1 differs from conditional", _most(unit.x - bare.x), 0)
    if referee:
        yield Check("accuracy of the judge on real digits it has not seen", referee.accuracy, 0.97, ">=")


def _claims(
    scores: dict[str, dict[str, list[float]]],
    gamma: Tensor,
    o: DigitsOptions,
    criteria: dict[str, Any],
    referee: Judge | None,
) -> Iterator[Claim]:
    """What the paper says, seed by seed."""

    def claim(key: str, name: str, values: Sequence[float], paper: float | None = None) -> Claim:
        value, interval = mean_interval(values)
        return Claim(name, value, Criterion(**criteria[key]), interval, paper)

    def ratio(a: str, b: str) -> list[float]:
        return [x / y for x, y in zip(scores[a]["mse"], scores[b]["mse"], strict=True)]

    def lost(name: str) -> list[float]:
        return [a - b for a, b in zip(scores[FULL]["accuracy"], scores[name]["accuracy"], strict=True)]

    saved = [1 - n / (2 * o.steps) for n in scores[OURS]["nfe"]]
    yield claim("saved", "evaluations saved", saved, 0.25)
    yield claim("ssim", "SSIM to full guidance", scores[OURS]["ssim"])
    if referee:
        yield claim("accuracy_lost", "class accuracy lost", lost(OURS))
        yield claim("accuracy_without", "class accuracy lost without guidance", lost(BARE))
    yield claim("gamma_first", "cosine at the first step", gamma[:, 0].tolist(), LDM[0])
    yield claim("gamma_last", "cosine at the last step", gamma[:, -1].tolist(), LDM[-1])
    yield claim("early_over_late", "squared error of early over late guidance", ratio(EARLY, LATE))
    yield claim("linear_25", "squared error of LinearAG over alternation", ratio(LINEAR_25, HALF))
    yield claim("linear_30", "squared error of LinearAG over fewer steps", ratio(LINEAR_30, FEWER))
    above = [a - b for a, b in zip(scores[OURS]["ssim"], scores[FEWER]["ssim"], strict=True)]
    yield claim("above_fewer_steps", "SSIM above full guidance with fewer steps", above)


def _time_claims(bench: Bench, bar: float, criteria: dict[str, Any]) -> Iterator[Claim]:
    """Share of processor time saved over share of evaluations saved, both ways in turn."""
    d, o = bench.d, bench.o
    for n in o.timed:
        x, label = _start(d, o, CALIBRATION + 1, n)
        ratios = []
        for _ in range(o.repeats):
            seconds, nfe = [], []
            for policy in (None, Adaptive(bar)):
                began = time.process_time()
                drawn = _sample(Guided(d, o.scale, policy), x, label, default_grid(d, o.steps))
                seconds.append(time.process_time() - began)
                nfe.append(_mean(drawn.nfe))
            ratios.append((1 - seconds[1] / seconds[0]) / (1 - nfe[1] / nfe[0]))
        value, interval = mean_interval(ratios)
        name = f"time saved over evaluations saved, batch of {n}"
        yield Claim(name, value, Criterion(**criteria["time"]), interval)


def _policy_table(
    scores: dict[str, dict[str, list[float]]], o: DigitsOptions, bar: float, referee: Judge | None
) -> Shown:
    rows: list[tuple[Cell, ...]] = []
    for name, values in scores.items():
        accuracy = round(fmean(values["accuracy"]), 4) if referee else None
        mse, similar = round(fmean(values["mse"]), 5), round(fmean(values["ssim"]), 4)
        rows.append((name, round(fmean(values["nfe"]), 1), similar, mse, accuracy))
    note = (
        f"Shipped digits, {SAMPLER}, {o.steps} steps, scale {o.scale:g}, {o.seeds} x {o.samples} starts; threshold "
        f"{bar:.4f}. SSIM and squared error against full guidance from the same starts."
    )
    return Shown("Policies", ("policy", "evaluations", "SSIM", "squared error", "class accuracy"), tuple(rows), note)


def _gamma_table(gamma: dict[str, Tensor], bench: Bench) -> Shown:
    levels = default_grid(bench.d, bench.o.steps).tolist()
    curves = {space: values.mean(0).tolist() for space, values in gamma.items()}
    published = [(LDM[i], EMU[i]) if len(levels) - 1 == len(LDM) else (None, None) for i in range(len(levels) - 1)]
    rows = tuple(
        (i + 1, round(levels[i], 4), *(round(curve[i], 5) for curve in curves.values()), *published[i])
        for i in range(len(levels) - 1)
    )
    columns = ("step", "noise level", *curves, "LDM-512 (paper)", "EMU-768 (paper)")
    return Shown("Cosine of both estimates under full guidance", columns, rows, "Means over samples; paper: ± 0.003.")


def _sweep_table(bench: Bench) -> Shown:
    x, label = bench.starts[0]
    swept = sweep(bench.d, x, bench.o.scale, sampler=SAMPLER, steps=bench.o.steps, label=label)
    rows = tuple(
        (r.name, r.gamma_bar and round(r.gamma_bar, 6), round(r.nfe, 1), round(r.ssim, 4), round(r.mse, 6))
        for r in swept.rows
    )
    columns = ("policy", "threshold", "evaluations", "SSIM", "squared error")
    note = "Distances to full guidance from the same starts, of seed 0."
    return Shown("What a threshold costs, beside fewer steps", columns, rows, note)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _most(values: Tensor) -> float:
    return float(values.abs().max())
