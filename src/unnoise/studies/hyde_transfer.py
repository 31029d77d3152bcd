"""HyDe's networks carry over: trained on photographs, used on airborne cubes, and what makes that work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field

from unnoise.data.crops import Crops
from unnoise.restore import METHODS
from unnoise.restore.hyde.neural import Neural, trained
from unnoise.restore.hyde.neural_quality import SIZE, SNR, Cube, corner, noisy, scores
from unnoise.restore.hyde.neural_training import Preset, train_on
from unnoise.restore.photo_training import photographs
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Claim, Criterion, Table
from unnoise.training.options import Options
from unnoise.training.presets import load_preset

VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "extent of the clean crop": {"normalize": "clean"},
    "shapes as they are": {"augment": False},
}
"""Name in the tables -> what of the training preset is changed."""


class TransferOptions(Options):
    """Group `transfer` of a preset of `presets/hyde.yaml`.

    Attributes
    ----------
    cubes : names for `data.cube_sets.counts`, or "synthetic".
    size : rows, columns and bands of the corner that is used.
    snr : of the noise, in dB.
    gain : what the network is claimed to be above every noisy cube, in dB.
    training : preset of `presets/hyde_training.yaml`, with the `overrides`; `seeds` of each variant.
    window, overlap : rows and columns, for the seams.
    """

    cubes: tuple[str, ...]
    size: tuple[int, int, int] = SIZE
    snr: float = SNR
    gain: float = 5.0
    training: str = "laptop"
    overrides: tuple[str, ...] = ()
    seeds: int = Field(default=3, gt=1)
    window: int = 32
    overlap: int = 8


def transfer(o: TransferOptions, root: Path | None) -> tuple[list[Claim], list[Table]]:
    """Claims and tables of networks trained by the recipe, of trainings without one part of it, and of the seams."""
    cubes = {name: corner(name, o.size) for name in o.cubes}
    nets = trainings(o, root)
    measured = {
        name: [[scores(net, x, o.snr, seed) for x in cubes.values()] for seed, net in enumerate(found)]
        for name, found in nets.items()
    }
    recipe = measured["the recipe"]
    least = [min(after - before for before, after, _, _ in run) for run in recipe]
    widest = [max(after / before for _, _, before, after in run) for run in recipe]
    seam = [seams(net, cubes[o.cubes[0]], o) for net in nets["the recipe"]]
    shipped = [[scores(trained(), x, o.snr, draw) for x in cubes.values()] for draw in range(o.seeds)]
    low_rank = [
        [scores(METHODS["fasthyde"].create(), x, o.snr, draw) for x in cubes.values()] for draw in range(o.seeds)
    ]
    claims = [
        _claim(
            "the shipped qrnn2d above the noisy cube, the least of the cubes",
            [min(after - before for before, after, _, _ in run) for run in shipped],
            Criterion(at_least=o.gain),
            "dB",
        ),
        _claim("qrnn2d trained here above the noisy cube, the least", least, Criterion(at_least=o.gain), "dB"),
        _claim("spectral angle over the noisy cube's, the largest", widest, Criterion(at_most=1.0)),
        _claim("seam energy of crop over that of cosine", seam, Criterion(at_least=1.0)),
    ]
    gains = {name: [fmean(after - before for before, after, _, _ in run) for run in s] for name, s in measured.items()}
    for name in VARIANTS:
        if name != "the recipe":
            above = [a - b for a, b in zip(gains["the recipe"], gains[name], strict=True)]
            claims.append(_claim(f"the recipe above '{name}'", above, Criterion(at_least=0.0), "dB"))
    note = f"SNR {o.snr:g} dB, corners of {' x '.join(map(str, o.size))} in the files' units"
    return claims, [
        Table(
            "Trained on photographs, used on cubes: qrnn2d",
            ("network", "cube", "noisy MPSNR (dB)", "MPSNR (dB)", "noisy SAM (degrees)", "SAM (degrees)"),
            (
                *_means("shipped", cubes, shipped),
                *_means("trained here", cubes, recipe),
                *_means("none: fasthyde", cubes, low_rank),
            ),
            f"{note}; means over {o.seeds} draws of the noise, or as many trainings: preset {o.training} "
            f"{' '.join(o.overrides)}.",
        ),
        Table(
            "Trainings without one part of the recipe: MPSNR above the noisy cubes (dB)",
            ("training", *(f"seed {i}" for i in range(o.seeds)), "mean"),
            tuple((n, *(round(v, 2) for v in values), round(fmean(values), 2)) for n, values in gains.items()),
            f"{note}; mean over the cubes.",
        ),
    ]


def trainings(o: TransferOptions, root: Path | None) -> dict[str, list[Neural]]:
    """Networks of every variant, one a seed; for one seed, all see the same crops and noise."""
    base = load_preset(Preset, "hyde_training", o.training, o.overrides)
    crops, _ = photographs(base.data, root, channels=1)
    found: dict[str, list[Neural]] = {}
    for name, change in VARIANTS.items():
        for seed in range(o.seeds):
            p = base.model_copy(update=change | {"fit": base.fit.model_copy(update={"seed": seed})})
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(name, []).append(train_on(crops, Crops([]), p, Path(folder))[0])
    return found


def seams(net: Neural, x: Cube, o: TransferOptions) -> float:
    """How much more energy the steps between windows have with the blend "crop" than with "cosine".

    Steps are first differences, over rows and columns, of what windows change against the whole at once.
    """
    y = noisy(x, o.snr)
    before = net.window, net.overlap, net.blend
    net.window = None
    whole = net(y)
    energy = {}
    for blend in ("crop", "cosine"):
        net.window, net.overlap, net.blend = o.window, (o.overlap, o.overlap, net.overlap[2]), blend
        change = net(y) - whole
        energy[blend] = float(change.diff(dim=2).square().sum() + change.diff(dim=3).square().sum())
    net.window, net.overlap, net.blend = before
    return energy["crop"] / energy["cosine"]


def _means(network: str, cubes: Iterable[str], runs: Sequence[Sequence[tuple[float, ...]]]) -> list[tuple[Any, ...]]:
    """Rows of the table: scores of every cube, averaged over runs."""
    means = ([fmean(column) for column in zip(*of_cube, strict=True)] for of_cube in zip(*runs, strict=True))
    return [(network, name, *(round(v, 2) for v in values)) for name, values in zip(cubes, means, strict=True)]


def _claim(name: str, values: list[float], criterion: Criterion, unit: str = "") -> Claim:
    value, interval = mean_interval(values)
    return Claim(name, value, criterion, interval, unit=unit)
