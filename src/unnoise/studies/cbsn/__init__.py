"""C-BSN: is a network with switchable blindness better than a plain blind-spot network, with noisy pictures alone?

Every network of a seed has the same size, steps and crops, and learns from the noisy pictures it is then tested on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from unnoise.data.pairs import Pair
from unnoise.data.values import FLOAT_RANGE
from unnoise.restore.cbsn import suggest_stride
from unnoise.restore.door import restore
from unnoise.studies.cbsn.figure import curves_figure
from unnoise.studies.cbsn.nets import (
    OUTPUTS,
    SHORT,
    Score,
    SetOptions,
    Study,
    Trained,
    mean_score,
    own_gradient,
    score,
    train_one,
)
from unnoise.studies.cbsn.pictures import planes, study_pairs
from unnoise.studies.intervals import mean_interval
from unnoise.studies.kept import kept
from unnoise.studies.report import Cell, Check, Claim, Criterion, Report, Table
from unnoise.training.presets import load_preset


@dataclass(eq=False)
class Measured:
    """What was found on one set: the noisy pictures' own score, those of shipped methods and of every output, one a
    seed, and the trainings they come from."""

    options: SetOptions
    pairs: Sequence[Pair]
    before: Score
    peers: dict[str, Score] = field(default_factory=dict)
    scores: dict[str, list[Score]] = field(default_factory=dict)
    trained: dict[str, list[Trained]] = field(default_factory=dict)

    def gain(self, over: Sequence[float]) -> list[float]:
        """PSNR of C-BSN above other values, seed by seed."""
        return [s.psnr - v for s, v in zip(self.scores["C-BSN"], over, strict=True)]


def run(preset: str = "laptop") -> Report:
    """Train, or load what was trained, and measure a preset of presets/cbsn_study.yaml.

    Raises `MissingData` without the pictures (preset smoke needs none).
    """
    start = time.perf_counter()
    study = load_preset(Study, "cbsn_study", preset)
    sets = {key: _untrained(options) for key, options in study.sets.items()}
    blind = 0.0
    with kept(study.keep) as folder:
        for key, found in sets.items():
            for seed in range(found.options.seeds):
                for name in found.options.trainings:
                    network = train_one(study, name, key, seed, found.pairs, folder)
                    found.trained.setdefault(name, []).append(network)
                    blind = max(blind, own_gradient(network.denoiser))
    trained = time.perf_counter()
    for found in sets.values():
        for name in found.options.peers:
            done = [(planes(restore(p.noisy.clip(*FLOAT_RANGE), name).image), planes(p.clean)) for p in found.pairs]
            found.peers[name] = mean_score(done)
        for shown, (name, mode) in OUTPUTS.items():
            for network in found.trained.get(name, ()):
                found.scores.setdefault(shown, []).append(score(network.denoiser, mode, found.pairs))
    seconds = [t.seconds for s in sets.values() for networks in s.trained.values() for t in networks]
    first = next(iter(sets))
    return Report(
        slug="cbsn",
        preset=preset,
        command=f"unnoise reproduce cbsn --preset {preset}",
        seeds=tuple(range(max(s.options.seeds for s in sets.values()))),
        seconds=sum(seconds) + time.perf_counter() - trained + min(1.0, trained - start),
        checks=(
            Check("gradient of a blind output at its own pixel", blind, 0.0),
            Check("pictures of the smallest set", min(len(s.pairs) for s in sets.values()), 1, ">="),
        ),
        claims=tuple(claim for key, found in sets.items() for claim in _claims(key, found)),
        tables=(
            *(_table(key, found) for key, found in sets.items()),
            _curve_table(first, sets[first]),
            _trainings_table(sets),
        ),
        figures=(curves_figure({key: (s.before.psnr, s.trained) for key, s in sets.items()}),),
    )


def _untrained(options: SetOptions) -> Measured:
    pairs = list(study_pairs(options))
    return Measured(options, pairs, mean_score([(planes(p.noisy), planes(p.clean)) for p in pairs]))


def _claims(key: str, found: Measured) -> Iterator[Claim]:
    """What the paper says of its parts, seed by seed; its own numbers are of other data."""
    least = found.options.above_noisy
    if least is None:
        return
    compared = {
        name: [s.psnr for s in scores]
        for name, scores in found.scores.items()
        if name not in ("C-BSN", "C-BSN, blind on the whole")
    }
    for name, values in compared.items():
        value, interval = mean_interval(found.gain(values))
        yield Claim(f"{key}: C-BSN above {name}", value, Criterion(at_least=0.0), interval, unit="dB")
    seeds = found.options.seeds
    value, interval = mean_interval(found.gain([found.before.psnr] * seeds))
    yield Claim(f"{key}: C-BSN above the noisy pictures", value, Criterion(at_least=least), interval, unit="dB")
    if "without invariance loss" in compared:
        # without that loss the best that the open-eyed output can do is to repeat its input
        value, interval = mean_interval([v - found.before.psnr for v in compared["without invariance loss"]])
        name = f"{key}: without invariance loss above the noisy pictures"
        yield Claim(name, value, Criterion(at_most=0.0), interval, unit="dB")


def _table(key: str, found: Measured) -> Table:
    rows: list[tuple[Cell, ...]] = [("noisy", round(found.before.psnr, 2), None, round(found.before.ssim, 4))]
    rows += [(name, round(s.psnr, 2), None, round(s.ssim, 4)) for name, s in found.peers.items()]
    for name, scores in found.scores.items():
        mean, interval = mean_interval([s.psnr for s in scores])
        half = None if interval is None else round(interval[1] - mean, 2)
        rows.append((name, round(mean, 2), half, round(fmean(s.ssim for s in scores), 4)))
    strides = [suggest_stride(planes(p.noisy)[None]) for p in found.pairs]
    o = found.options
    return Table(
        f"{key}: {len(found.pairs)} pictures of at most {o.side} pixels, mean over seeds ({o.seeds})",
        ("output", "PSNR", "±, 95 %", "SSIM"),
        tuple(rows),
        f"Stride suggested by the noise: {min(strides)} to {max(strides)}; used: {o.stride_blind}.",
    )


def _curve_table(key: str, found: Measured) -> Table:
    """PSNR of every output as the trainings go on, mean over seeds."""
    shown = {
        output: [[(row["step"], row[SHORT[mode]]) for row in t.curve] for t in found.trained[name]]
        for output, (name, mode) in OUTPUTS.items()
        if name in found.trained
    }
    steps = [step for step, _ in next(iter(shown.values()))[0]]
    rows = [
        (int(step), *(round(fmean(dict(c)[step] for c in curves), 2) for curves in shown.values())) for step in steps
    ]
    return Table(f"{key}: PSNR in dB as training goes on, mean over seeds", ("steps", *shown), tuple(rows))


def _trainings_table(sets: dict[str, Measured]) -> Table:
    rows = []
    for key, found in sets.items():
        for name, networks in found.trained.items():
            each = fmean(t.milliseconds for t in networks)
            rows.append((key, name, networks[0].steps, round(each, 1), round(each * networks[0].steps / 1000)))
    return Table(
        "Trainings, mean over seeds",
        ("pictures", "training", "steps", "processor ms a step", "processor s"),
        tuple(rows),
        "One thread; the measuring in between is left out. The steps are the same for all, the time is not.",
    )
