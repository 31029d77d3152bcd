"""Pictures whose best denoiser is known: a ray, disks (a manifold of five dimensions), C-alpha pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from unnoise.explain.harmonic_bases import Basis, oracle_error, shrinkage_basis
from unnoise.explain.harmonic_data import disk, disk_parameters
from unnoise.explain.harmonic_generalisation import picture_psnr, psnr_slope
from unnoise.explain.harmonic_nets import BFUNet
from unnoise.noise.seeds import generators, normal_like
from unnoise.studies.harmonic_bases.nets import FamilyOptions, Harmonic
from unnoise.studies.intervals import bootstrap_groups, mean_interval
from unnoise.studies.report import Claim, Criterion, Table

GRID = tuple(10 ** (k / 4) / 255 for k in range(11))  # noise levels of the paper's curves
DISK_LEVEL = 0.04
DISKS = 12  # of these many disks the basis is looked at
CONTRAST = 0.3  # least difference of their gray levels: of a disk that cannot be seen nothing can be told
RAY_LEVEL = 0.1
Parameters = tuple[Tensor, Tensor, Tensor, Tensor]
PAPER_DISK = (1.177, 1.067, 1.004, 0.999, 0.945, 0.674, 0.552, 0.39, 0.304, 0.278)
PAPER_SLOPES = {1: 0.46, 2: 0.61, 3: 0.75, 5: 0.83}


def basis_at(net: BFUNet, x: Tensor, sigma: float, seed: int = 0) -> Basis:
    """The basis at the noisy version of one clean picture (1, H, W)."""
    y = x[None] + sigma * normal_like(x[None], generators(seed, [0]))
    return shrinkage_basis(net, y, clean=x[None])


def curve(net: BFUNet, x: Tensor) -> Tensor:
    """PSNR of every picture at every level of the grid, input and output: (2, pictures, levels)."""
    before, after = [], []
    for sigma in GRID:
        noise = sigma * normal_like(x, generators(0, range(len(x))))
        before.append(-10 * noise.double().square().flatten(1).mean(1).log10())
        after.append(picture_psnr(net, x, sigma))
    return torch.stack([torch.stack(before, 1), torch.stack(after, 1)])


def slopes_of(p: Harmonic, found: Sequence[Tensor]) -> tuple[float, Any]:
    """Slope of a mean curve, or last less first of two curves, and its interval over pictures."""

    def slope(rows: Any) -> float:
        before, after = rows[:, : len(GRID)].mean(0), rows[:, len(GRID) :].mean(0)
        return psnr_slope(before.tolist(), after.tolist(), *p.range)

    groups = [torch.cat([c[0], c[1]], 1).numpy() for c in found]
    return bootstrap_groups(lambda *g: slope(g[-1]) - (slope(g[0]) if g[1:] else 0), *groups, draws=500)


def ray_numbers(net: BFUNet, x: Tensor) -> dict[str, list[float]]:
    """At pictures of the ray that are not dark: cosine of first vector and picture, first factor, error / sigma**2."""
    norms = x.flatten(1).norm(dim=1)
    chosen = x[norms > 0.3 * norms.max()][:8]
    found: dict[str, list[float]] = {"cosine": [], "factor": [], "error": []}
    for i, each in enumerate(chosen):
        basis = basis_at(net, each, RAY_LEVEL, seed=i)
        found["cosine"].append(float((basis.eigenvectors[0] * each).sum().abs() / each.norm()))
        found["factor"].append(float(basis.eigenvalues[0]))
    y = chosen + RAY_LEVEL * normal_like(chosen, generators(0, range(len(chosen))))
    with torch.no_grad():
        error = (net(y) - chosen).square().flatten(1).sum(1) / RAY_LEVEL**2
    found["error"] = error.tolist()
    return found


def disk_numbers(net: BFUNet, o: FamilyOptions, seed: int = 9) -> tuple[Tensor, Tensor]:
    """At disks of contrast: the first ten factors (n, 10), and how much of the tangent space five vectors hold (n,)."""
    factors, shares = [], []
    for i, at in enumerate(visible_disks(o, seed)):
        basis = basis_at(net, disk(*at, o.side)[0], DISK_LEVEL, seed=i)
        five = basis.eigenvectors[:5].flatten(1).double()
        tangent = torch.linalg.qr(tangent_space(at, o.side))[0]
        factors.append(basis.eigenvalues[:10])
        shares.append((five @ tangent).square().sum() / 5)  # mean squared cosine of the principal angles
    return torch.stack(factors), torch.stack(shares)


def visible_disks(o: FamilyOptions, seed: int) -> list[Parameters]:
    """Parameters of the first disks that stand out enough."""
    parameters = disk_parameters(20 * DISKS, o.side, seed)
    visible = torch.nonzero((parameters[2] - parameters[3]).abs() > CONTRAST)[:DISKS, 0]
    centre, radius, inside, outside = parameters
    return [(centre[i : i + 1], radius[i : i + 1], inside[i : i + 1], outside[i : i + 1]) for i in visible.tolist()]


def tangent_space(at: Parameters, side: int, step: float = 1e-3) -> Tensor:
    """Derivatives (d, 5) of a disk by its five parameters, by central differences."""
    flat = torch.cat([at[0][0], *at[1:]])

    def picture(v: Tensor) -> Tensor:
        return disk(v[None, :2], v[2:3], v[3:4], v[4:5], side).double().flatten()

    moves = step * torch.eye(5, dtype=torch.float64)
    return torch.stack([(picture(flat + e) - picture(flat - e)) / (2 * step) for e in moves], 1)


def family_results(
    nets: dict[str, BFUNet], pictures: dict[str, Tensor], p: Harmonic
) -> tuple[list[Claim], list[Table], dict[str, Tensor]]:
    """Claims, tables and the curves that the figure shows."""
    shown = {name: curve(nets[name], pictures[name]) for name in pictures}
    results = [
        _ray(nets["ray"], pictures["ray"], p),
        _disks(nets["disks"], shown["disks"], p),
        _slopes(shown, pictures, p),
    ]
    claims = [claim for found, _ in results for claim in found]
    return claims, [table for _, table in results], shown


Result = tuple[list[Claim], Table]


def _ray(net: BFUNet, x: Tensor, p: Harmonic) -> Result:
    found = ray_numbers(net, x)
    cosine, factor = mean_interval(found["cosine"]), mean_interval(found["factor"])
    claims = [
        _claim(p, "ray cosine", "ray: cosine of the first basis vector with the picture", cosine),
        _claim(p, "ray factor", "ray: first factor", factor),
    ]
    row = (min(found["cosine"]), factor[0], fmean(found["error"]))
    return claims, Table(
        f"Ray at {RAY_LEVEL:g}, {len(found['error'])} pictures",
        ("cosine, least", "first factor, mean", "error / sigma², mean (optimum 1)"),
        (tuple(map(_near, row)),),
    )


def _disks(net: BFUNet, found: Tensor, p: Harmonic) -> Result:
    factors, shares = disk_numbers(net, p.disks)
    sixth, share = mean_interval(factors[:, 5].tolist()), mean_interval(shares.tolist())
    claims = [
        _claim(p, "disk slope", "disks: slope, 1 in the optimum", slopes_of(p, [found])),
        _claim(p, "disk sixth factor", f"disks: sixth factor at {DISK_LEVEL:g}, 0 in the optimum", sixth, 0.674),
        _claim(p, "disk tangent", "disks: share of the tangent space in five vectors", share),
    ]
    rows = (tuple(map(_near, factors.mean(0).tolist())), PAPER_DISK)
    return claims, Table(
        f"Disks at {DISK_LEVEL:g}: the first ten factors, mean of {len(factors)}",
        tuple(f"{k}" for k in range(1, 11)),
        rows,
        "Second row: the paper's network at 80 x 80. The optimum is five ones and then zeros.",
    )


def cosine_slope(x: Tensor, p: Harmonic) -> float:
    """Slope of the best shrinkage of pictures (n, 1, H, W) in the basis of cosines, whose factors know the picture."""
    from scipy.fft import dctn

    c = torch.from_numpy(dctn(x[:, 0].double().numpy(), axes=(1, 2), norm="ortho")).flatten(1)
    after = [float(-10 * (oracle_error(c, sigma) / c.shape[1]).log10().mean()) for sigma in GRID]
    return psnr_slope([-20 * math.log10(sigma) for sigma in GRID], after, *p.range)


def _slopes(shown: dict[str, Tensor], pictures: dict[str, Tensor], p: Harmonic) -> Result:
    claims = []
    fixed = {name: _near(cosine_slope(x, p)) for name, x in pictures.items()}
    rows: list[tuple[Any, ...]] = [
        (name, _near(slopes_of(p, [shown[name]])[0]), fixed[name], 1, None) for name in ("ray", "disks")
    ]
    for alpha in p.alphas:
        slope, best = slopes_of(p, [shown[f"alpha-{alpha:g}"]]), round(alpha / (alpha + 1), 3)
        paper = PAPER_SLOPES.get(int(alpha))
        rows.append((f"C-alpha, alpha = {alpha:g}", _near(slope[0]), fixed[f"alpha-{alpha:g}"], best, paper))
        if (key := f"slope alpha {alpha:g}") in p.claims:
            claims.append(_claim(p, key, f"C-alpha: slope, alpha = {alpha:g} (optimum {best:g})", slope, paper))
    ends = slopes_of(p, [shown[f"alpha-{alpha:g}"] for alpha in (p.alphas[0], p.alphas[-1])])
    claims.append(_claim(p, "slopes ordered", "C-alpha: slope of the smoothest less that of the roughest", ends))
    low, high = p.range
    return claims, Table(
        f"Slopes between {low:g} and {high:g} dB of input PSNR",
        ("pictures", "slope", "oracle in cosines", "optimum", "paper, 80 x 80"),
        tuple(rows),
        "The optimum is that of ever weaker noise on ever finer pictures. Oracle in cosines: best shrinkage of these "
        "pictures in a fixed basis, with factors that know the picture.",
    )


def _claim(p: Harmonic, key: str, name: str, found: tuple[float, Any], paper: float | None = None) -> Claim:
    return Claim(name, found[0], Criterion(**p.claims[key]), found[1], paper)


def _near(value: float) -> float:
    return round(value, 3)
