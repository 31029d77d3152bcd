"""The diffusion engine where the score is known: orders of convergence, distributions, likelihood; and digits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.data.digits import load_digits
from unnoise.denoiser import Denoiser, Empirical, GaussianMixture
from unnoise.generate.guidance import Guided
from unnoise.generate.sample import invert, log_likelihood, sample
from unnoise.generate.samplers import SAMPLERS, heun
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator, normal_like
from unnoise.studies import guidance_figures
from unnoise.studies.digits_judge import judge
from unnoise.studies.intervals import bootstrap_interval
from unnoise.studies.report import Cell, Check, Claim, Criterion, Report
from unnoise.studies.report import Table as Shown
from unnoise.training.options import Options
from unnoise.training.presets import load_preset
from unnoise.zoo import load

LOW, HIGH = 0.01, 80.0
ORDERS = {"euler": 1, "heun": 2, "dpmpp_2m": 2, "unipc": 2}


class Study(Options):
    """One preset of `presets/diffusion_core.yaml`.

    Attributes
    ----------
    counts : steps at which the error at the end point is measured; those from `fitted_from` on give the order.
    reference : steps of Heun's method that stand for the exact solution; `trajectories` of them.
    samples : drawn for distances of distributions and moments; `slices` projections.
    memorised : samples of the denoiser that knows its training digits by heart.
    drawn : digits a guidance scale, judged by a classifier; 0 leaves it out.
    """

    counts: tuple[int, ...]
    fitted_from: int
    reference: int
    trajectories: int
    samples: int
    slices: int
    memorised: int
    drawn: int
    scale: float
    bounds: dict[str, float]
    claims: dict[str, Any]


def run(preset: str = "laptop") -> Report:
    """All of a preset; only `laptop` and `paper` need MNIST."""
    began = time.perf_counter()
    p = load_preset(Study, "diffusion_core", preset)
    with torch.inference_mode():
        errors = end_point_errors(p)
        distances, moments = distributions(p)
        fits = {name: order(p, values) for name, values in errors.items()}
        checks = [*_order_checks(p, fits), *_distribution_checks(p, distances, moments), *_memory_checks(p)]
    checks += _likelihood_checks(p)
    claims, rows = class_accuracy(p) if p.drawn else ([], [])
    tables = [_order_table(p, errors, fits), _distribution_table(p, distances, moments)]
    if rows:
        columns = ("sampler", "steps", "guidance scale", "evaluations", "class accuracy")
        note = f"{p.drawn} pictures each from the shipped digits; a classifier trained on MNIST says what they show."
        tables.append(Shown("Class accuracy of digits", columns, tuple(rows), note))
    report = Report(
        slug="diffusion_core",
        preset=preset,
        command=f"unnoise reproduce diffusion_core --preset {preset}",
        seeds=(0,),
        seconds=time.perf_counter() - began,
        checks=tuple(checks),
        claims=tuple(claims),
        tables=tuple(tables),
    )
    return replace(report, figures=guidance_figures.engine(report, example_sheet()))


def target() -> GaussianMixture:
    """Four blobs in the plane."""
    means = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -0.5]]
    return GaussianMixture([0.4, 0.3, 0.2, 0.1], means, [0.1, 0.2, 0.15, 0.3])


def end_point_errors(p: Study) -> dict[str, list[float]]:
    """Root mean square distance to the exact end of each trajectory, for each sampler and number of steps."""
    d = target()
    x = HIGH * normal_like(torch.empty(p.trajectories, 2, dtype=torch.float64), generator(0))
    truth = heun(d, x, karras(p.reference, LOW, HIGH))
    return {
        name: [
            float((SAMPLERS[name](d, x, karras(n, LOW, HIGH)) - truth).square().sum(1).mean().sqrt()) for n in p.counts
        ]
        for name in ORDERS
    }


def order(p: Study, errors: list[float]) -> float:
    """Slope of log error against log steps, from `fitted_from` steps on."""
    n, e = np.array(p.counts), np.array(errors)
    kept = n >= p.fitted_from
    return -float(np.polyfit(np.log(n[kept]), np.log(e[kept]), 1)[0])


def distributions(p: Study) -> tuple[dict[str, dict[int, float]], dict[str, float]]:
    """Sliced Wasserstein-2 distance to fresh truth, and errors of mean and covariance of the best sampler's draws."""
    d = target()
    fresh, other = (d.sample(p.samples, generator(1, k)) for k in (0, 1))
    found: dict[str, dict[int, float]] = {"truth": {0: sliced_wasserstein(fresh, other, p.slices)}}
    x = HIGH * normal_like(torch.empty(p.samples, 2, dtype=torch.float64), generator(2))
    last = x
    for name in ORDERS:
        found[name] = {}
        for n in (18, 32):
            last = SAMPLERS[name](d, x, karras(n, LOW, HIGH))
            found[name][n] = sliced_wasserstein(last, fresh, p.slices)
            if (name, n) == ("heun", 32):
                drawn = last
    weights = d.log_w.exp()
    mean = weights @ d.means
    centred = d.means - mean
    covariance = (weights[:, None, None] * torch.diag_embed(d.values)).sum(0) + (centred.T * weights) @ centred
    spread = float(covariance.trace().sqrt())
    moments = {
        "mean": float((drawn.mean(0) - mean).norm()) / spread,
        "covariance": float((torch.cov(drawn.T) - covariance).norm() / covariance.norm()),
    }
    return found, moments


def sliced_wasserstein(a: Tensor, b: Tensor, slices: int) -> float:
    """Root mean over random directions of the squared Wasserstein-2 distance of the projections, for equal numbers."""
    directions = normal_like(torch.empty(slices, a.shape[1], dtype=torch.float64), generator(3))
    directions = directions / directions.norm(dim=1, keepdim=True)
    total = sum(float(((a @ v).sort()[0] - (b @ v).sort()[0]).square().mean()) for v in directions)
    return math.sqrt(total / slices)


def class_accuracy(p: Study) -> tuple[list[Claim], list[tuple[Cell, ...]]]:
    """How often the shipped digits show the class asked for, with guidance and without."""
    d: Denoiser = load("digits")
    referee = judge()
    label = torch.arange(p.drawn) % 10
    rows: list[tuple[Cell, ...]] = [("real digits", None, None, None, round(referee.accuracy, 4))]
    right: dict[float, Tensor] = {}
    for sampler, steps in (("dpmpp_2m", 20), ("heun", 10)):
        for scale in (1.0, p.scale):
            drawn = sample(Guided(d, scale), (1, 28, 28), p.drawn, sampler=sampler, steps=steps, label=label)
            found = referee.right(drawn.x, label)
            right.setdefault(scale, found)  # of the first sampler, the default one
            rows.append((sampler, steps, scale, int(drawn.nfe[0]), round(float(found.mean()), 4)))
    claims = []
    for key, name, values in (
        ("guided", f"class accuracy at scale {p.scale:g}", right[p.scale]),
        ("unguided", "class accuracy without guidance", right[1.0]),
    ):
        value, interval = bootstrap_interval(values.tolist())
        claims.append(Claim(name, value, Criterion(**p.claims[key]), interval))
    return claims, rows


def example_sheet(n: int = 20) -> tuple[list[str], list[Tensor]]:
    """Digits of the denoiser that memorised, and of the shipped one, for looking at."""
    images, labels = load_digits("scikit-learn")
    label = torch.arange(n) % 10
    known = sample(Empirical(images.float() / 255, labels), (1, 8, 8), n, sigmas=karras(30, 0.002, 20.0), label=label).x
    d = load("digits")
    rows = {
        "memorised": known,
        "no class": sample(d, (1, 28, 28), n).x,
        "class, unguided": sample(d, (1, 28, 28), n, label=label).x,
        "scale 2": sample(Guided(d, 2.0), (1, 28, 28), n, label=label).x,
        "scale 4": sample(Guided(d, 4.0), (1, 28, 28), n, label=label).x,
    }
    return list(rows), list(rows.values())


def _order_checks(p: Study, fits: dict[str, float]) -> Iterator[Check]:
    for name, fit in fits.items():
        if name == "unipc":  # its corrector makes it better than its order
            yield Check("unipc: order", fit, ORDERS[name] - p.bounds["order"], ">=")
        else:
            yield Check(f"{name}: order differs from {ORDERS[name]} by", abs(fit - ORDERS[name]), p.bounds["order"])


def _distribution_checks(
    p: Study, distances: dict[str, dict[int, float]], moments: dict[str, float]
) -> Iterator[Check]:
    floor = distances["truth"][0]
    yield Check("heun, 32 steps: distance over that of two true samples", distances["heun"][32] / floor, 2.0)
    for name, value in moments.items():
        yield Check(f"heun, 32 steps: relative error of the {name}", value, p.bounds["moments"])


def _memory_checks(p: Study) -> Iterator[Check]:
    """A denoiser that knows its training pictures by heart gives them back, and nothing else."""
    images, labels = load_digits("scikit-learn")
    x = images.float() / 255
    d = Empirical(x, labels)
    label = torch.arange(p.memorised) % 10
    grid = karras(30, 0.002, 20.0)
    free = sample(d, (1, 8, 8), p.memorised, sigmas=grid).x
    given = sample(d, (1, 8, 8), p.memorised, sigmas=grid, label=label).x
    # in float64: torch's product form of the distance is off by 0.002 in float32
    nearest = [torch.cdist(s.flatten(1).double(), x.flatten(1).double()) for s in (free, given)]
    yield Check("memorised digits: largest distance to a training digit", float(nearest[0].amin(1).max()), 1e-3)
    wrong = float((labels[nearest[1].argmin(1)] != label).double().mean())
    yield Check("memorised digits: share of another class than asked for", wrong, 0.0)


def _likelihood_checks(p: Study) -> Iterator[Check]:
    d = GaussianMixture([1.0], [[0.3, 0.3, 0.3]], 0.7)
    x = d.sample(16, generator(4))
    found = log_likelihood(d, x, karras(260, 0.002, HIGH))
    off = (found - d.log_prob(x, 0.002)).abs().max() / 3
    yield Check("log-likelihood of a Gaussian, error a dimension (nats)", float(off), 1e-3)
    mixture = target()
    x = mixture.sample(32, generator(5))
    grid = karras(256, 0.002, HIGH)
    with torch.inference_mode():
        back = (heun(mixture, invert(mixture, x, grid), grid) - x).abs().max()
    yield Check("inverted and sampled again differs from the data", float(back), 1e-3)


def _order_table(p: Study, errors: dict[str, list[float]], fits: dict[str, float]) -> Shown:
    rows: list[tuple[Cell, ...]] = [
        (name, *(float(f"{e:.3g}") for e in values), round(fits[name], 2)) for name, values in errors.items()
    ]
    note = (
        f"Root mean square distance at the end of {p.trajectories} trajectories, mixture in the plane, Karras levels "
        f"{HIGH:g} to {LOW:g}; truth: heun with {p.reference} steps. Order: fit from {p.fitted_from} steps on."
    )
    return Shown("Error by number of steps", ("sampler", *map(str, p.counts), "order"), tuple(rows), note)


def _distribution_table(p: Study, distances: dict[str, dict[int, float]], moments: dict[str, float]) -> Shown:
    rows: list[tuple[Cell, ...]] = [("two true samples", *[round(distances["truth"][0], 4)] * 2)]
    rows += [(name, round(at[18], 4), round(at[32], 4)) for name, at in distances.items() if name != "truth"]
    note = f"{p.samples} samples, {p.slices} directions; heun with 32 steps: mean off by {moments['mean']:.2%} of the "
    note += f"spread, covariance by {moments['covariance']:.2%}."
    return Shown("Sliced Wasserstein distance to fresh truth", ("sampler", "18 steps", "32 steps"), tuple(rows), note)
