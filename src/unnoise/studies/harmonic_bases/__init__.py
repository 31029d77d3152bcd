"""What blind denoisers learn: memorised pictures or a function of their own, and in which basis they shrink.

Kadkhodaie, Guth, Simoncelli and Mallat 2024 (2310.02557), at the size of a laptop. Pairs of networks learn from patches
of disjoint photographs, others from pictures whose best denoiser is known.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from unnoise.explain.harmonic_bases import Basis, shrinkage_basis
from unnoise.explain.harmonic_data import disk
from unnoise.noise.seeds import generators, normal_like
from unnoise.studies.harmonic_bases.families import (
    DISK_LEVEL,
    basis_at,
    family_results,
    visible_disks,
)
from unnoise.studies.harmonic_bases.figures import bases_figure, curves_figure, samples_figure
from unnoise.studies.harmonic_bases.nets import (
    Harmonic,
    Networks,
    family_network,
    family_pictures,
    photo_networks,
    photo_patches,
    shuffled_network,
)
from unnoise.studies.harmonic_bases.photographs import curves, photo_checks, photo_claims, photo_tables, sampled
from unnoise.studies.kept import kept
from unnoise.studies.report import Report, Table
from unnoise.training.presets import load_preset

EDGE_LEVEL = 0.15  # of the paper's figures of bases


def run(preset: str = "laptop") -> Report:
    """Train, or load what was trained, and measure a preset of presets/harmonic_bases.yaml.

    Raises `MissingData` without the photographs (preset smoke needs none).
    """
    start = time.perf_counter()
    p = load_preset(Harmonic, "harmonic_bases", preset)
    data = photo_patches(p.patches)
    pictures = family_pictures(p)
    with kept(p.keep) as folder:
        all_ = Networks(folder)
        pairs = photo_networks(all_, p.patches, data)
        shuffled = shuffled_network(all_, p.patches, data)
        families = {name: family_network(all_, p, name, x) for name, (x, _) in pictures.items()}
        trained = time.perf_counter()
    pairs = dict(sorted(pairs.items()))
    samples = {n: sampled(nets, data, n, p.samples) for n, nets in pairs.items()}
    checks = photo_checks(pairs[p.patches.sizes[-1]][0], data)
    photo = list(photo_claims(pairs, samples, shuffled, data, p))
    claims, tables, shown = family_results(families, {name: new for name, (_, new) in pictures.items()}, p)
    bases = {
        f"C-alpha, {name.removeprefix('alpha-')}": _at(net, pictures[name][1][0], EDGE_LEVEL)
        for name, net in families.items()
        if name.startswith("alpha")
    }
    bases["disk"] = _at(families["disks"], disk(*visible_disks(p.disks, 9)[0], p.disks.side)[0], DISK_LEVEL)
    bases["patch"] = _at(pairs[p.patches.sizes[-1]][0], data.test[0], EDGE_LEVEL)
    shipped = [_shipped(bases)] if p.photo else []
    found = tuple(checks)
    training = sum(all_.seconds.values())
    return Report(
        slug="harmonic_bases",
        preset=preset,
        command=f"unnoise reproduce harmonic_bases --preset {preset}",
        seeds=(p.patches.fit.seed, p.patches.fit.seed + 1),
        seconds=training + time.perf_counter() - trained + min(1.0, trained - start),
        checks=found,
        claims=(*photo, *claims),
        tables=(*photo_tables(pairs, samples, shuffled, data, p), *tables, *shipped, _trained(all_.seconds)),
        figures=(
            samples_figure(samples),
            curves_figure(curves(pairs, data, p.patches.sigmas), shown, p.range),
            bases_figure(bases),
        ),
    )


def _at(net: Any, x: Tensor, sigma: float) -> tuple[Tensor, Basis]:
    return x, basis_at(net, x, sigma)


def _shipped(bases: dict[str, tuple[Tensor, Basis]], side: int = 32) -> Table:
    """The shipped photo network at an edge and in a texture of a photograph; adds to the bases that are drawn."""
    from unnoise.data.samples import sample_photo
    from unnoise.zoo import load

    denoiser = load("photo")
    camera = torch.from_numpy(sample_photo("camera"))[None, None]
    rows = []
    for name, (row, column) in (("edge", (96, 240)), ("grass", (430, 100))):
        x = camera[..., row : row + side, column : column + side].contiguous()
        for level in (15, 50):
            y = x + level / 255 * normal_like(x, generators(0, [0]))
            basis = shrinkage_basis(denoiser, y, level / 255, clean=x)
            if level == 50:
                bases[f"photo, {name}"] = (x[0], basis)
            rows.append(
                (
                    name,
                    level,
                    round(basis.trace, 1),
                    *(round(float(basis.eigenvalues[k]), 3) for k in (0, 4, 100)),
                    round(basis.asymmetry, 3),
                    round(basis.homogeneity, 3),
                )
            )
    return Table(
        f"The shipped photo network at {side} x {side} pixels of scikit-image's camera",
        ("place", "level of 255", "trace", "factor 1", "factor 5", "factor 101", "asymmetry", "J y against D(y)"),
        tuple(rows),
        "It is told the noise level, so D(y) = J y need not hold.",
    )


def _trained(seconds: dict[str, float]) -> Table:
    return Table("Trainings", ("network", "seconds"), tuple((name, round(s, 1)) for name, s in seconds.items()))
