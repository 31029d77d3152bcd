"""From memorising to generalising: two networks of disjoint photographs, beside each other for few and many patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.explain.harmonic_bases import shrinkage_basis, singular_vectors, sure
from unnoise.explain.harmonic_data import shuffle_pixels
from unnoise.explain.harmonic_generalisation import (
    Generalisation,
    closest,
    generalisation_report,
    kl_bound,
    picture_psnr,
    similarity,
)
from unnoise.explain.harmonic_nets import BFUNet
from unnoise.explain.harmonic_sampler import sample_from_denoiser
from unnoise.noise.seeds import generators, normal_like
from unnoise.studies.harmonic_bases.nets import SHUFFLE, Harmonic, Patches, SampleOptions
from unnoise.studies.intervals import bootstrap_groups
from unnoise.studies.report import Check, Claim, Criterion, Table

Pair = tuple[BFUNet, BFUNet]
Array = NDArray[np.float64]
LEVEL = 0.1  # the noise level that the claims are about
SEEN = 400  # training patches that are measured
DRAWS = 200  # measurements of a training set that has fewer patches: each with as many noises


@dataclass(frozen=True, eq=False)
class Sampled:
    """Samples of two networks from the same noise, (n, 1, H, W), and which training patch each is most like."""

    first: Tensor
    second: Tensor
    pair: Tensor
    closest: Tensor
    nearest: Tensor
    reference: Tensor
    finished: bool


def sampled(nets: Pair, data: Patches, n: int, o: SampleOptions) -> Sampled:
    """Cosines of both samples, of the first and its own training set, and of test patches and that set."""
    options: dict[str, Any] = o.model_dump() | {"sigma0": 1.0, "seed": 3}
    shape = tuple(data.test.shape[1:])
    a, b = (sample_from_denoiser(net, shape, **options) for net in nets)
    value, index = closest(a.x, data.first[:n])
    return Sampled(
        a.x,
        b.x,
        similarity(a.x, b.x),
        value,
        data.first[:n][index],
        closest(data.test, data.first[:n])[0],
        a.finished and b.finished,
    )


@dataclass(frozen=True, eq=False)
class Errors:
    """At one level, a row a picture: `seen` (n,) PSNR of training patches; `test` (m, 3) PSNR, half the squared
    difference of both networks, and their squared error."""

    seen: Array
    test: Array

    @property
    def gap(self) -> float:
        """Mean PSNR of seen patches less that of others."""
        return _gap(self.seen, self.test)


def errors(nets: Pair, data: Patches, n: int, sigma: float) -> Errors:
    """Training patches: some of each set with its own network, under several draws of the noise if they are few."""
    repeats = max(1, DRAWS // n) if n < SEEN else 1
    seen: list[Tensor] = []
    for net, x in zip(nets, (data.first[:n][:SEEN], data.second[:n][:SEEN]), strict=True):
        found = [picture_psnr(net, x, sigma, seed=10 + r) for r in range(repeats)]
        seen.append(torch.stack(found).mean(0))
    y = data.test + sigma * normal_like(data.test, generators(1, range(len(data.test))))
    with torch.no_grad():
        a, b = (net(y) for net in nets)
    each = [(z - data.test).double().square().flatten(1).mean(1) for z in (a, b)]
    psnr = -10 * (each[0].log10() + each[1].log10()) / 2
    variance = 0.5 * (a - b).double().square().flatten(1).mean(1)
    return Errors(torch.cat(seen).numpy(), torch.stack([psnr, variance, (each[0] + each[1]) / 2], 1).numpy())


def _gap(seen: Array, test: Array) -> float:
    return float(seen.mean() - test[:, 0].mean())


def _ratio(few: Array, many: Array) -> float:
    shares = [float(x[:, 1].mean() / x[:, 2].mean()) for x in (few, many)]
    return shares[0] / shares[1]


def _median_difference(pairs: Array) -> float:
    return float(np.median(pairs[:, 0]) - np.median(pairs[:, 1]))


def photo_claims(
    nets: dict[int, Pair], samples: dict[int, Sampled], shuffled: BFUNet, data: Patches, p: Harmonic
) -> Iterator[Claim]:
    """What the paper says of few and of many pictures; intervals are over pictures or samples, networks are fixed."""
    few, many = p.patches.sizes[0], p.patches.sizes[-1]
    e = {n: errors(nets[n], data, n, LEVEL) for n in (few, many)}
    s = {n: samples[n] for n in (few, many)}

    def claim(key: str, name: str, found: tuple[float, Any], unit: str = "") -> Claim:
        return Claim(name, found[0], Criterion(**p.claims[key]), found[1], unit=unit)

    def median(x: Tensor) -> tuple[float, Any]:
        return bootstrap_groups(lambda v: float(np.median(v)), x.numpy())

    yield claim("large pair cosine", f"N = {many}: cosine of both networks' samples, median", median(s[many].pair))
    yield claim("small pair cosine", f"N = {few}: cosine of both networks' samples, median", median(s[few].pair))
    above = torch.stack([s[many].pair, s[many].closest], 1).numpy()
    yield claim(
        "large pair over closest",
        f"N = {many}: that cosine above the one with the closest training patch",
        bootstrap_groups(_median_difference, above),
    )
    yield claim(
        "small closest over reference",
        f"N = {few}: cosine of sample and closest training patch above that of test patches",
        bootstrap_groups(
            lambda a, b: float(np.median(a) - np.median(b)), s[few].closest.numpy(), s[few].reference.numpy()
        ),
    )
    for key, n in (("small gap", few), ("large gap", many)):
        found = bootstrap_groups(_gap, e[n].seen, e[n].test)
        yield claim(key, f"N = {n}: training less test PSNR at {LEVEL:g}", found, "dB")
    yield claim(
        "variance ratio falls",
        f"share of the error that differs between networks at {LEVEL:g}: N = {few} over N = {many}",
        bootstrap_groups(_ratio, e[few].test, e[many].test),
    )
    plain = picture_psnr(nets[many][0], data.test, LEVEL, seed=1)
    other = picture_psnr(shuffled, shuffle_pixels(data.test, SHUFFLE), LEVEL, seed=1)
    yield claim(
        "shuffling costs",
        f"N = {many}: PSNR that pixels in another order cost at {LEVEL:g}",
        bootstrap_groups(lambda v: float(v.mean()), (plain - other).numpy()),
        "dB",
    )


def photo_checks(net: BFUNet, data: Patches) -> Iterator[Check]:
    """What holds for a bias-free network in `eval` mode whatever it has learnt, and that it has learnt something."""
    from unnoise.explain.harmonic_nets import folded

    y = data.test + LEVEL * normal_like(data.test, generators(1, range(len(data.test))))
    with torch.no_grad():
        x_hat = net(y)
        tripled = net(3 * y) / 3
        difference = float((folded(net)(y) - x_hat).abs().max())
    yield Check("D(3 y) / 3 differs from D(y), relative", float((tripled - x_hat).norm() / x_hat.norm()), 1e-5)
    yield Check("J y differs from D(y), relative", shrinkage_basis(net, y[:1]).homogeneity, 1e-4)
    yield Check("normalisation folded into the convolutions differs", difference, 1e-5)
    for sigma in (LEVEL, 2 * LEVEL):
        y = data.test + sigma * normal_like(data.test, generators(2, range(len(data.test))))
        with torch.no_grad():
            error = (net(y) - data.test).double().square().flatten(1).mean(1)
        off = sure(net, y, sigma, probes=2) - error
        distance = float(off.mean().abs() / (off.std() / len(off) ** 0.5))
        yield Check(f"SURE differs from the squared error at {sigma:g}, in standard errors", distance, 3)
        gain = float(10 * torch.log10(sigma**2 / error).mean())
        yield Check(f"gain over the noisy patches at {sigma:g} (dB)", gain, 0, ">=")


def photo_tables(
    nets: dict[int, Pair], samples: dict[int, Sampled], shuffled: BFUNet, data: Patches, p: Harmonic
) -> Iterator[Table]:
    """PSNR and variance by N and level, samples by N, Jacobians of the networks of most patches."""
    sigmas = p.patches.sigmas
    found = curves(nets, data, sigmas)
    rows: list[tuple[Any, ...]] = []
    for n, each in found.items():
        rows.append((n, "train PSNR", *(round(g.train_psnr, 2) for g in each)))
        rows.append((n, "test PSNR", *(round(g.test_psnr, 2) for g in each)))
        rows.append((n, "variance / error", *(round(g.ratio, 3) for g in each)))
    moved = shuffle_pixels(data.test, SHUFFLE)
    of_shuffled = (float(picture_psnr(shuffled, moved, sigma, seed=0).mean()) for sigma in sigmas)
    rows.append((p.patches.sizes[-1], "test PSNR, shuffled", *(round(v, 2) for v in of_shuffled)))
    yield Table(
        "Two networks on disjoint photographs, PSNR in dB",
        ("N", "", *(f"sigma {sigma:g}" for sigma in sigmas)),
        tuple(rows),
        "Variance is half the squared difference of both networks on test patches.",
    )
    yield Table(
        f"{p.samples.n} samples of both networks from the same noise: cosines, medians",
        ("N", "both networks", "closest training patch", "test patch and its closest", "all ended"),
        tuple(
            (n, *(round(float(v.median()), 3) for v in (s.pair, s.closest, s.reference)), "yes" if s.finished else "no")
            for n, s in samples.items()
        ),
    )
    d = data.test[0].numel()
    yield Table(
        f"What two training sets leave open of the density between sigma {sigmas[0]:g} and {sigmas[-1]:g}",
        ("N", "nats a patch", "nats a number"),
        tuple(
            (n, round(nats, 2), round(nats / d, 4))
            for n, each in found.items()
            for nats in [kl_bound(sigmas, [g.variance for g in each], d)]
        ),
        "The variance's part of the bound on KL(data, network): integral of variance / sigma³. The part of the error "
        "that both networks share is not known, since the best denoiser of photographs is not.",
    )
    yield _jacobians(nets, data, sigmas)


def curves(nets: dict[int, Pair], data: Patches, sigmas: tuple[float, ...]) -> dict[int, list[Generalisation]]:
    """N -> the report of both networks at each level."""
    return {
        n: generalisation_report(*pair, (data.first[:n][:SEEN], data.second[:n][:SEEN]), data.test, sigmas)
        for n, pair in nets.items()
    }


def _jacobians(nets: dict[int, Pair], data: Patches, sigmas: tuple[float, ...], patches: int = 6) -> Table:
    rows = []
    x = data.test[:patches]
    for n, pair in nets.items():
        for sigma in sigmas[:4]:
            y = x + sigma * normal_like(x, generators(4, range(patches)))
            bases = [shrinkage_basis(pair[0], part) for part in y.split(1)]
            top = [float(b.eigenvalues[0]) for b in bases]
            turned = [singular_vectors(pair[0], part, k=10) for part in y.split(1)]
            rows.append(
                (
                    n,
                    sigma,
                    round(float(np.mean([b.trace for b in bases])), 1),
                    round(float(np.mean(top)), 3),
                    round(float(np.mean([b.asymmetry for b in bases])), 3),
                    round(float(np.mean([v.values[0] for v in turned])), 3),
                    round(float(np.mean([v.alignment.mean() for v in turned])), 3),
                    float(f"{max(b.homogeneity for b in bases):.1e}"),
                )
            )
    return Table(
        f"Jacobians at {patches} test patches of {x[0].numel()} pixels, mean",
        (
            "N",
            "sigma",
            "trace",
            "largest factor",
            "asymmetry",
            "largest singular value",
            "left against right, ten",
            "J y against D(y), largest",
        ),
        tuple(rows),
        "Left against right: mean inner product of ten pairs of singular vectors, 1 for a symmetric Jacobian.",
    )
