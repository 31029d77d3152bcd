"""What the methods are worth on each kind of noise, and whether the automatic choice finds the right one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from unnoise.data.pairs import Pair, add_gaussian, clean_set, microscopy_pairs, real_pairs
from unnoise.data.samples import SAMPLES, sample_photo
from unnoise.data.values import FLOAT_RANGE
from unnoise.errors import unknown
from unnoise.metrics import psnr
from unnoise.noise.models import Impulse
from unnoise.noise.seeds import generator
from unnoise.restore import METHODS
from unnoise.restore.choice import AUTOMATIC
from unnoise.restore.door import restore
from unnoise.studies.report import Check, Report, Table

NAMES = ("photo", "photo-real", "dct", "nlm", "wavelet", "tv", "bilateral", "median")
BLIND = {"photo-real": "camera", "median": "impulses"}  # what the methods that take no level are for
SEED = 0
SAME = 99.0  # dB shown for a result equal to its input, which has no PSNR

Case = dict[str, Any]


def run(preset: str = "laptop") -> Report:
    """All cases of a preset of presets/methods.yaml.

    Methods are told the level of Gaussian noise and find that of real noise by themselves; `auto` is told nothing.
    """
    start = time.perf_counter()
    settings = yaml.safe_load((files("unnoise") / "presets" / "methods.yaml").read_text())
    if preset not in settings or preset.startswith("."):
        raise unknown("preset", preset, [name for name in settings if not name.startswith(".")])
    cases, bounds, crop = settings[preset]["cases"], settings[preset]["bounds"], settings[preset]["crop"]
    noisy_rows, clean_rows, checks = [], [], []
    for case in cases:
        pairs = (_middle(pair, crop) for pair in islice(_pairs(case), 0, None, case["every"]))
        if case["kind"] == "clean":
            row, found = _clean(case, pairs, bounds)
            clean_rows.append(row)
        else:
            row, found = _noisy(case, pairs, bounds)
            noisy_rows.append(row)
        checks += found
    return Report(
        slug="methods",
        preset=preset,
        command=f"unnoise reproduce methods --preset {preset}",
        seeds=(SEED,),
        seconds=time.perf_counter() - start,
        checks=tuple(checks),
        tables=(
            Table(
                "PSNR in dB, mean over pictures",
                ("noise", "pictures", "noisy", *AUTOMATIC, *NAMES, "auto took"),
                tuple(noisy_rows),
                "White at 1, results clipped to [0, 1]; `classical` is `auto` without networks; the median runs on "
                "impulses only, photo-real on camera pictures only.",
            ),
            Table(
                "Clean pictures: PSNR of the automatic result against its input, in dB",
                ("pictures", "number", "median", "worst", "left as they are"),
                tuple(clean_rows),
                f"{SAME:g} stands for equal.",
            ),
        ),
    )


def _noisy(case: Case, pairs: Iterator[Pair], bounds: dict[str, float]) -> tuple[tuple[Any, ...], list[Check]]:
    """A row of the table, and the checks on its means."""
    told = case["sigma"] / 255 if case["kind"] == "gaussian" else None
    names = [m for m in NAMES if METHODS[m].needs_sigma or BLIND.get(m) == case["kind"]]
    scores: dict[str, list[float]] = {name: [] for name in ("noisy", *AUTOMATIC, *names)}
    took: Counter[str] = Counter()
    for pair in pairs:
        scores["noisy"].append(psnr(pair.noisy, pair.clean))
        for name in AUTOMATIC:  # without a level, the door takes longer tails for a wrong scale
            done = restore(pair.noisy.clip(*FLOAT_RANGE), name)
            scores[name].append(psnr(done.image, pair.clean))
            if name == "auto":
                took[_taken(done.choice)] += 1
        for name in names:
            level = told if METHODS[name].needs_sigma else None
            scores[name].append(psnr(restore(pair.noisy, name, sigma=level).image, pair.clean))
    mean = {name: float(np.mean(values)) for name, values in scores.items()}
    label = _label(case)
    checks = []
    if case["kind"] == "gaussian":
        behind = max(mean[name] for name in names) - mean["auto"]
        checks.append(Check(f"{label}: auto behind the best method told the level (dB)", behind, bounds["behind_best"]))
    if case["kind"] == "camera":
        gain = mean["auto"] - mean["noisy"]
        checks.append(Check(f"{label}: gain of auto (dB)", gain, bounds["camera_gain"], ">="))
    shown = [round(mean[name], 2) if name in mean else None for name in ("noisy", *AUTOMATIC, *NAMES)]
    words = ", ".join(f"{word} {count}" for word, count in took.most_common())
    return (label, len(scores["auto"]), *shown, words), checks


def _clean(case: Case, pairs: Iterator[Pair], bounds: dict[str, float]) -> tuple[tuple[Any, ...], list[Check]]:
    """How far clean pictures are moved."""
    values, kept = [], 0
    for pair in pairs:
        auto = restore(pair.clean)
        kept += auto.choice.method == "none"
        values.append(min(SAME, psnr(auto.image, pair.clean)))
    label = _label(case)
    checks = [
        Check(f"{label}: median PSNR against the input (dB)", float(np.median(values)), bounds["clean_median"], ">="),
        Check(f"{label}: worst PSNR against the input (dB)", min(values), bounds["clean_worst"], ">="),
    ]
    return (label, len(values), round(float(np.median(values)), 2), round(min(values), 2), kept), checks


def _pairs(case: Case) -> Iterator[Pair]:
    """The pictures of a case in the order of their names."""
    kind, name = case["kind"], case["set"]
    if kind == "camera":
        yield from real_pairs(name)
    elif kind == "microscopy":
        yield from microscopy_pairs("test")
    else:
        clean = ((n, sample_photo(n)) for n in SAMPLES) if name == "samples" else clean_set(name)
        for i, (stem, x) in enumerate(clean):
            yield Pair(stem, _corrupted(case, x, i), x)


def _corrupted(case: Case, x: NDArray[np.float32], i: int) -> NDArray[np.float32]:
    if case["kind"] == "gaussian":
        return add_gaussian(x, case["sigma"], i)
    if case["kind"] == "impulses":
        y = Impulse(case["share"]).sample(torch.from_numpy(x)[None, None], generator(SEED, i))
        return y[0, 0].numpy()
    return x


def _middle(pair: Pair, crop: int) -> Pair:
    """The middle part of a pair, `crop` pixels wide and high."""
    top, left = (max(0, (size - crop) // 2) for size in pair.clean.shape[:2])
    part = (slice(top, top + crop), slice(left, left + crop))
    return Pair(pair.name, np.ascontiguousarray(pair.noisy[part]), np.ascontiguousarray(pair.clean[part]))


def _label(case: Case) -> str:
    names = {"samples": "scikit-image", "mcmaster": "McMaster", "polyu": "PolyU"}
    name = names.get(case["set"], case["set"].upper())
    if case["kind"] == "gaussian":
        return f"{name}, Gaussian of {case['sigma']}"
    if case["kind"] == "impulses":
        return f"{name}, {case['share']:.0%} impulses"
    return name


def _taken(choice: Any) -> str:
    """What was done, in a word."""
    if choice.law is not None:
        return f"stabilised {choice.method}"
    return f"median, {choice.method}" if choice.impulses else choice.method
