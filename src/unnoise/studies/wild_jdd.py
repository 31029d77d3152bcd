"""Wild-JDD: does training under uncertainty beat plain losses, is its noise map true, what does adaptation gain?

All networks of a seed see the same crops, noise and steps, and differ in the loss alone; the references they learn from
are imperfect, the pictures they are tested on are not.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data import catalog
from unnoise.data.crops import Crops
from unnoise.data.pairs import clean_set
from unnoise.data.samples import sample_photo
from unnoise.metrics import psnr, ssim
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.photo_training import photographs
from unnoise.restore.wild_jdd import (
    JDDOutput,
    WildJDD,
    measured,
    nig_elbo,
    nig_posterior,
    student_t_evidence,
    tiled,
)
from unnoise.restore.wild_jdd_adapt import completed, finetune, neighbour_of, recorrupted
from unnoise.restore.wild_jdd_quality import BORDER
from unnoise.restore.wild_jdd_training import JDDPreset, StudyOptions, sigma_map, train_on
from unnoise.studies.intervals import mean_interval
from unnoise.studies.kept import kept, key
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.training.loop import CHECKPOINT
from unnoise.training.presets import load_preset

LOSSES = ("l1", "mse", "elbo")
OUTPUTS = (*LOSSES, "elbo, debiased")
ADAPTATIONS: dict[str, dict[str, Any]] = {
    "neighbours, no mask": {"reference": "neighbour", "mask_k": 1e9},
    "neighbours": {"reference": "neighbour"},
    "recorrupted": {"reference": "recorrupted"},
}
"""Name in the table -> options of `finetune`; the first two are the paper's."""
EDGES = 0.8  # share of pixels with a smaller gradient than those that count as edges
INSIDE = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))


class Score(NamedTuple):
    """Means over pictures, PSNR in dB."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Seed:
    """What the networks of one seed reached, PSNR in dB."""

    scores: dict[tuple[str, float], Score]  # output, level
    correlation: float
    calibration: float
    adapted: dict[str, float]  # "before" and the keys of `ADAPTATIONS`
    edges: dict[str, float]
    share: float  # of neighbours that the mask keeps


def run(preset: str = "laptop") -> Report:
    """Train and test every network of a preset of presets/wild_jdd.yaml."""
    start = time.perf_counter()
    p = load_preset(JDDPreset, "wild_jdd", preset)
    study = p.study
    training, _ = photographs(p.data, catalog.root())
    pictures = list(study_pictures(study))
    plain = {level: _score(interpolated, pictures, level) for level in study.levels}
    seeds = [of_seed(training, pictures, p, seed) for seed in range(study.seeds)]
    return Report(
        slug="wild_jdd",
        preset=preset,
        command=f"unnoise reproduce wild_jdd --preset {preset}",
        seeds=tuple(range(study.seeds)),
        seconds=time.perf_counter() - start,
        checks=tuple(checks()),
        claims=tuple(_claims(seeds, plain, study)),
        tables=(*_tables(seeds, plain, p, len(pictures)), _pulls_table(pictures, study)),
    )


def of_seed(training: Crops, pictures: Sequence[Tensor], p: JDDPreset, seed: int) -> Seed:
    """Train and test the networks of one seed: a loss each, and one for weak noise that is adapted to strong."""
    study = p.study
    scores: dict[tuple[str, float], Score] = {}
    nets = {loss: _trained(training, p.model_copy(update={"loss": loss}), seed) for loss in LOSSES}
    for level in study.levels:
        for loss, net in nets.items():
            scores[loss, level] = _score(net, pictures, level)
        scores["elbo, debiased", level] = _score(_debiased(nets["elbo"], p.net.lam), pictures, level)
    correlation, calibration = noise_map(nets["elbo"], pictures, p.noise.sigma_max, seed)
    weak = p.noise.model_copy(update={"sigma_max": study.weak})
    ood = _trained(training, p.model_copy(update={"noise": weak, "loss": "elbo"}), seed)
    noisy = [photons(x, study.photons, i) for i, x in enumerate(pictures)]
    adapted, edges, shares = {}, {}, {}
    for name in ("before", *ADAPTATIONS):
        net = copy.deepcopy(ood)
        if name in ADAPTATIONS:
            options: dict[str, Any] = {"crop": p.data.crop, "batch": p.fit.batch, "lr": study.adapt_lr, "seed": seed}
            options |= {"mask_k": study.mask_k, **ADAPTATIONS[name]}
            shares[name] = finetune(net, [y[0] for y in noisy], study.adapt_steps, **options)
        net.requires_grad_(False)
        adapted[name] = fmean(_psnr(net(y).mean, x) for x, y in zip(pictures, noisy, strict=True))
        edges[name] = fmean(edge_psnr(net(y).mean, x) for x, y in zip(pictures, noisy, strict=True))
    return Seed(scores, correlation, calibration, adapted, edges, shares["neighbours"])


def study_pictures(study: StudyOptions) -> Iterator[Tensor]:
    """Clean pictures (1, 3, H, W) of even sizes: middles of a test set, or of scikit-image's for no data at all."""
    if study.data == "samples":
        found: Iterator[NDArray[np.float32]] = (sample_photo(name) for name in ("astronaut", "coffee"))
    else:
        found = (clean for _, clean in islice(clean_set(study.data), 0, None, study.every))
    for clean in found:
        sides = [min(n, study.crop) // 2 * 2 for n in clean.shape[:2]]
        top, left = ((n - s) // 2 for n, s in zip(clean.shape[:2], sides, strict=True))
        part = clean[top : top + sides[0], left : left + sides[1]]
        yield torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]


def interpolated(raw: Tensor) -> JDDOutput:
    """The bilinear interpolation in the place of a network's mean."""
    x_tilde = demosaick(raw, "bilinear")
    return JDDOutput(x_tilde, x_tilde, x_tilde, x_tilde)


def photons(x: Tensor, a: float, i: int) -> Tensor:
    """The mosaic of picture number i with noise of variance `a` times the value, which no network has seen."""
    raw = mosaic(x)
    return raw + (a * raw).sqrt() * torch.randn(raw.shape, generator=generator(2, i))


@torch.inference_mode()
def noise_map(net: WildJDD, pictures: Sequence[Tensor], sigma_max: float, seed: int) -> tuple[float, float]:
    """At the sampled pixels of all pictures: correlation of the map with the true deviation, and the mean of squared
    errors of the input over the variance the map gives them, which is 1 for a true map."""
    given, true, ratios = [], [], []
    for i, x in enumerate(pictures):
        edge = max(x.shape[2:])
        sigma = sigma_map(1, edge, sigma_max / 255, generator(seed, 3, i))[..., : x.shape[2], : x.shape[3]]
        noise = sigma * torch.randn(1, 1, *x.shape[2:], generator=generator(seed, 4, i))
        variance = mosaic(net(mosaic(x) + noise).variance())
        given.append(variance.sqrt().flatten())
        true.append(sigma.flatten())
        ratios.append((noise.square() / variance).flatten())
    together = torch.corrcoef(torch.stack([torch.cat(given), torch.cat(true)]).double())
    return float(together[0, 1]), float(torch.cat(ratios).double().mean())


def edge_psnr(x_hat: Tensor, x: Tensor) -> float:
    """PSNR over the `edges` of the clean picture."""
    error = (x_hat.detach().clamp(0, 1) - x).square().mean(1)[INSIDE]
    return float(-10 * error[edges(x)[INSIDE]].mean().log10())


def edges(x: Tensor) -> Tensor:
    """The fifth of the pixels inside with the largest gradient of a picture's mean colour, `(1, H, W)`."""
    dy, dx = torch.gradient(x.mean(1), dim=(1, 2))
    size = dy.square() + dx.square()
    return size > torch.quantile(size[INSIDE].flatten(), EDGES)


def pulls(x: Tensor, a: float, mask_k: float, i: int, draws: int = 40) -> dict[str, Tensor]:
    """Squares of how far each way of adaptation draws a network that gives the truth off it, of x's shape.

    The mean of reference minus truth over draws of photon noise, squared, less the variance of that mean.
    """
    clean = mosaic(x)
    sigma = (a * clean).sqrt()
    sums = {name: [torch.zeros_like(x) for _ in range(3)] for name in ADAPTATIONS}
    for k in range(draws):
        raw = clean + sigma * torch.randn(clean.shape, generator=generator(5, i, k))
        for name, options in ADAPTATIONS.items():
            g = generator(6, i, k)
            if options["reference"] == "neighbour":
                y, kept = neighbour_of(raw, sigma, g, options.get("mask_k", mask_k))
            else:
                y, kept = completed(recorrupted(raw, sigma, g)[1], x), torch.ones_like(x)
            for total, each in zip(sums[name], (kept, kept * (y - x), kept * (y - x).square()), strict=True):
                total += each
    found = {}
    for name, (n, first, second) in sums.items():
        mean, n = first / n.clamp(min=1), n.clamp(min=2)
        found[name] = mean.square() - (second / n - mean.square()).clamp(min=0) / (n - 1)
    return found


def checks() -> Iterator[Check]:
    """Closed forms and exactness, which do not depend on training."""
    g = generator(0)
    x, y = torch.rand(2, 1000, generator=g, dtype=torch.float64)
    beta = 0.01 + torch.rand(1000, generator=g, dtype=torch.float64)
    evidence = student_t_evidence(x, y, 7.0, 23.5, beta)
    bound = nig_elbo(x, y, nig_posterior(x, y, 7.0, 23.5, beta), 7.0, 23.5, beta).elbo
    yield Check("bound at the exact posterior off the evidence (nats)", float((bound - evidence).abs().max()), 1e-10)
    z = torch.rand(1, 3, 16, 18, generator=g)
    kept = mosaic(demosaick(mosaic(z), "bilinear")) - mosaic(z)
    yield Check("samples changed by the interpolation", float(kept.abs().max()), 0.0)
    torch.manual_seed(0)
    net = WildJDD(width=16, groups=0, blocks=1, precision="float32").eval().requires_grad_(False)
    for weights in net.parameters():
        if not bool(weights.any()):
            weights.normal_(0, 0.02)
    raw = mosaic(torch.rand(1, 3, 50, 70, generator=g))
    apart = [(a - b).abs().max() for a, b in zip(net(raw), tiled(net, raw, tile=16), strict=True)]
    yield Check("mean in tiles off the whole", float(apart[0]), 1e-5)


def _trained(training: Crops, p: JDDPreset, seed: int) -> WildJDD:
    """A network of a preset, trained once where the study keeps its networks."""
    p = p.model_copy(update={"fit": p.fit.model_copy(update={"seed": seed})})
    shape = p.model_dump(mode="json", exclude={"study", "test"})
    with kept(p.study.keep) as folder:
        out = folder / f"{p.loss}-{seed}-{key(shape)}"
        net, _ = train_on(training, p, out, resume=(out / CHECKPOINT).exists())
    return net.requires_grad_(True)


def _debiased(net: WildJDD, lam: float) -> Any:
    def mean(raw: Tensor) -> JDDOutput:
        out: JDDOutput = net(raw)
        return out._replace(mean=out.debiased(demosaick(raw, "bilinear"), lam))

    return mean


@torch.inference_mode()
def _score(net: Any, pictures: Sequence[Tensor], level: float) -> Score:
    found = []
    for i, x in enumerate(pictures):
        raw = mosaic(x)
        x_hat = net(raw + level / 255 * torch.randn(raw.shape, generator=generator(1, i))).mean
        found.append((_psnr(x_hat, x), ssim(x_hat, x, border=BORDER)))
    return Score(*(fmean(each) for each in zip(*found, strict=True)))


def _psnr(x_hat: Tensor, x: Tensor) -> float:
    return psnr(x_hat.detach(), x, border=BORDER)


def _claims(seeds: Sequence[Seed], plain: dict[float, Score], study: StudyOptions) -> Iterator[Claim]:
    """The paper's, and those of the method's parts; criteria are in the preset. The paper gains 0.2 to 1 dB over the
    best method before it on synthetic data, which is another comparison than this one."""

    def mean_of(s: Seed, output: str) -> float:
        return fmean(s.scores[output, level].psnr for level in study.levels)

    found: dict[str, tuple[list[float], str]] = {}
    for output in ("elbo", "elbo, debiased"):
        for other in ("mse", "l1"):
            gains = [mean_of(s, output) - mean_of(s, other) for s in seeds]
            found[f"{output} above {other}, mean over levels"] = gains, "dB"
    found["elbo above bilinear, level 10"] = [s.scores["elbo", 10].psnr - plain[10].psnr for s in seeds], "dB"
    found["noise map: correlation with the true one"] = [s.correlation for s in seeds], ""
    found["noise map: squared noise over its variance"] = [s.calibration for s in seeds], ""
    for way in ("neighbours", "recorrupted"):
        found[f"{way}: gain by adaptation, photons"] = [s.adapted[way] - s.adapted["before"] for s in seeds], "dB"
        found[f"{way}: gain at edges"] = [s.edges[way] - s.edges["before"] for s in seeds], "dB"
    gains = [s.edges["neighbours"] - s.edges["neighbours, no mask"] for s in seeds]
    found["neighbours: mask above no mask, at edges"] = gains, "dB"
    for name, (values, unit) in found.items():
        value, interval = mean_interval(values)
        yield Claim(name, value, Criterion(**study.claims[name].model_dump()), interval, unit=unit)


def _tables(seeds: Sequence[Seed], plain: dict[float, Score], p: JDDPreset, pictures: int) -> Iterator[Table]:
    study = p.study
    for at, (measure, digits) in enumerate((("PSNR in dB", 2), ("SSIM", 4))):
        rows: list[tuple[Any, ...]] = [("bilinear", *(round(plain[v][at], digits) for v in study.levels))]
        for output in OUTPUTS:
            rows.append((output, *(round(fmean(s.scores[output, v][at] for s in seeds), digits) for v in study.levels)))
        yield Table(
            f"{measure} on {pictures} pictures of {study.data} by noise level, mean over seeds",
            ("output", *(f"{level:g}" for level in study.levels)),
            tuple(rows),
            f"{p.fit.steps} steps of {p.fit.batch} crops of {p.data.crop}, one learning rate for all losses; "
            f"{BORDER} pixels of border left out.",
        )
    rows = [
        (name, fmean(s.adapted[name] for s in seeds), fmean(s.edges[name] for s in seeds)) for name in seeds[0].adapted
    ]
    yield Table(
        f"Adaptation in {study.adapt_steps} steps to noise of variance {study.photons:g} x, trained on levels up to "
        f"{study.weak:g}",
        ("network", "PSNR (dB)", "PSNR at edges (dB)"),
        tuple(rows),
        f"The mask keeps {fmean(s.share for s in seeds):.0%} of the neighbours.",
    )


def _pulls_table(pictures: Sequence[Tensor], study: StudyOptions) -> Table:
    found: dict[str, list[list[float]]] = {name: [] for name in ADAPTATIONS}
    for i, x in enumerate(pictures):
        seen = (measured(x) > 0).expand_as(x)
        at_edges = edges(x)[:, None].expand_as(x)
        places = (at_edges & seen, at_edges & ~seen, ~at_edges & seen, ~at_edges & ~seen)
        for name, squares in pulls(x, study.photons, study.mask_k, i).items():
            found[name].append([float(squares[INSIDE][place[INSIDE]].mean()) for place in places])
    rows = [
        (name, *(round(255 * max(fmean(each), 0.0) ** 0.5, 1) for each in zip(*squares, strict=True)))
        for name, squares in found.items()
    ]
    return Table(
        "How far adaptation draws a network that gives the truth off it: root mean square of levels (of 255)",
        ("reference", "edges, measured", "edges, interpolated", "elsewhere, measured", "elsewhere, interpolated"),
        tuple(rows),
        "The mean of reference minus truth over draws of the noise, where the mask keeps it; at pixels whose colour "
        "the sensor measured and at others. Nothing is trained for this table.",
    )
