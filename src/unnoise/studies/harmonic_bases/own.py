"""Of how many pictures of one's own networks begin to generalise: pairs of them on disjoint files, as in the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path

import numpy as np

from unnoise.data.crops import load_crops
from unnoise.errors import InputError
from unnoise.explain.harmonic_generalisation import kl_bound
from unnoise.explain.harmonic_training import NetOptions
from unnoise.studies.harmonic_bases.nets import Networks, Patches, PatchOptions, SampleOptions, cut, photo_networks
from unnoise.studies.harmonic_bases.photographs import LEVEL, curves, sampled
from unnoise.studies.report import Cell, Table
from unnoise.training.loop import Progress
from unnoise.training.options import FitOptions

ALIKE, APART = 0.9, 0.5  # cosines of both networks' samples that the study calls one function, and two
UNTRAINED = 1.0  # dB over the noisy patches that a network must gain to be judged


def own_options(sizes: Sequence[int], side: int, shrink: int, steps: int, test: int) -> PatchOptions:
    """The study's network and training at the given sizes."""
    fit = FitOptions(
        steps=steps, batch=48, lr=2e-3, warmup=min(50, steps // 2), clip=1e9, beta2=0.999, ema=0, precision="32-true"
    )
    net = NetOptions(width=20, blocks=1)
    return PatchOptions(side=side, shrink=shrink, least_std=0.03, sizes=tuple(sizes), test=test, net=net, fit=fit)


def own_patches(paths: Sequence[Path], p: PatchOptions) -> Patches:
    """Gray patches of three disjoint groups of files: of five in turn two and two to learn from, and one to test with.

    Raises `InputError` for fewer than three files, or files too small for so many patches.
    """
    if len(paths) < 3:
        raise InputError(f"two training sets and a test set need three pictures or more, got {len(paths)}")
    photographs = [image[..., 0].astype(np.float32) / 255 for image in load_crops(paths, channels=1).images]
    few = len(photographs) < 5  # then a picture each, and what is left to learn from
    group = [(0, 2, 1)[i % 3] if few else (0, 1, 0, 1, 2)[i % 5] for i in range(len(photographs))]
    groups = [[x for x, g in zip(photographs, group, strict=True) if g == k] for k in range(3)]
    counts = (p.sizes[-1], p.sizes[-1], p.test)
    return Patches(*(cut(x, n, p, seed) for seed, (x, n) in enumerate(zip(groups, counts, strict=True))))


def generalise(
    data: Patches, p: PatchOptions, folder: Path, progress: Callable[[Progress], None] | None = None
) -> Table:
    """Train two networks for each N, or go on where `folder` stopped, and say what both have in common.

    A verdict is "untrained" when even training patches gain less than 1 dB over their noise; "memorises" when they are
    denoised 3 dB better than others and both networks' samples differ, "generalises" when the gap is within 0.3 dB and
    their samples agree: the study's bounds at sigma 0.1.
    """
    nets = dict(sorted(photo_networks(Networks(folder, progress), p, data).items()))
    found = curves(nets, data, p.sigmas)
    at = p.sigmas.index(LEVEL)
    rows: list[tuple[Cell, ...]] = []
    for n, each in found.items():
        s, g = sampled(nets[n], data, n, SampleOptions()), each[at]
        pair, closest = float(s.pair.median()), float(s.closest.median())
        nats = kl_bound(p.sigmas, [one.variance for one in each], data.test[0].numel())
        if g.train_psnr < UNTRAINED - 20 * log10(LEVEL):
            word = "untrained"
        elif g.gap >= 3 and pair <= APART:
            word = "memorises"
        elif abs(g.gap) <= 0.3 and pair >= ALIKE:
            word = "generalises"
        else:
            word = "between"
        numbers = (g.train_psnr, g.test_psnr, g.gap, 100 * g.ratio, pair, closest, nats)
        rows.append((n, *(round(v, 2) for v in numbers), word))
    return Table(
        f"Two networks of N patches each, at sigma {LEVEL:g}",
        ("N", "train PSNR", "test PSNR", "gap", "differ, %", "samples alike", "and to training", "nats", "verdict"),
        tuple(rows),
        "differ: half the squared difference of both, of their error. samples alike: median cosine of both networks' "
        "samples from the same noise; and to training: of the first one's with its closest training patch. nats: what "
        f"the difference leaves open of the density, sigma {p.sigmas[0]:g} to {p.sigmas[-1]:g}.",
    )
