"""Adaptation of Wild-JDD to raw mosaics without any reference.

What stands in for the reference is one of `REFERENCES`. The paper's is a random neighbour of the same colour. It shows
another place, so the best a network can learn from it is the mean of the neighbours that the mask lets through: softer
edges, with the noise of eight pixels. The other takes noise of the known law apart into an input and a reference of the
same place whose noises are uncorrelated. Source: Chen et al. 2021, arXiv 2101.04442; Pang et al. 2021,
"Recorrupted-to-recorrupted: unsupervised deep learning for image denoising", CVPR.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.errors import InputError, unknown
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.estimate import fit_poisson_gaussian
from unnoise.noise.seeds import generator, normal_like
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, bound_loss, measured, prior, tiled
from unnoise.training.loop import Progress

OFFSETS = tuple((dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0))
"""Neighbours of the same colour of the mosaic: nearer ones share samples through the interpolation."""
LEAST_STEPS = 10
AHEAD = 10.0  # how much faster the noise map learns than the picture, whose changes it must follow
REFERENCES = ("recorrupted", "neighbour")
FITTED, FITTED_EDGE = 32, 256  # crops, and their largest side, that the law of the noise is fitted to
LEAST_KEPT = 0.3  # share of neighbours that agree under which there is too little to learn from


def shifted(x: Tensor, offset: tuple[Tensor, Tensor]) -> Tensor:
    """Values of x `(B, C, H, W)` at the offsets dy, dx `(B, 1, H, W)`, mirrored at the borders, which keeps colours."""
    b, c, h, w = x.shape

    def inside(at: Tensor, n: int) -> Tensor:
        at = at.abs()
        return torch.where(at > n - 1, 2 * (n - 1) - at, at)

    rows = inside(torch.arange(h, device=x.device)[:, None] + offset[0], h)
    columns = inside(torch.arange(w, device=x.device) + offset[1], w)
    return x.flatten(2).gather(2, (rows * w + columns).reshape(b, 1, h * w).expand(b, c, -1)).reshape(x.shape)


def neighbours(size: tuple[int, int, int], g: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Offsets dy, dx `(B, 1, H, W)`, drawn from `OFFSETS` for every pixel."""
    b, h, w = size
    drawn = torch.tensor(OFFSETS)[torch.randint(len(OFFSETS), (b, 1, h, w), generator=g)]
    return drawn[..., 0], drawn[..., 1]


def agreement(x_tilde: Tensor, y: Tensor, sigma: Tensor, mask_k: float = 2.0) -> Tensor:
    """Where the neighbour y does not clearly show something else: `|y - x~| <= mask_k sigma`, as 0 and 1.

    `sigma` is the deviation of samples; interpolated values, means of two or four of them, vary less.
    """
    share = measured(x_tilde)
    share = torch.where(share > 0, 1.0, 0.5)
    for colour, (row, column) in ((0, (0, 1)), (0, (1, 0)), (2, (0, 1)), (2, (1, 0))):
        share[:, colour, row::2, column::2] = 0.5**0.5  # at greens
    return ((y - x_tilde).abs() <= mask_k * sigma * share).to(x_tilde.dtype)


@torch.no_grad()
def noise_of(net: WildJDD, mosaics: Sequence[Tensor]) -> list[Tensor]:
    """Deviation of the noise of every sample of mosaics `(1, H, W)`, of their shapes.

    A law of photon and read noise, fitted to flat places of all mosaics together, at the brightness that the network
    finds. The network's own map is of noise that it knows, which this is not; and what is measured at each place alone
    takes texture for noise, a quarter too much at the median of photographs with strong noise, twice with weak.
    """
    edge = min(FITTED_EDGE, *(n for m in mosaics for n in m.shape[1:])) // 2 * 2
    law = fit_poisson_gaussian(F.pixel_unshuffle(cells(mosaics, 0, FITTED, edge, 0), 2))
    means = [tiled(net, m[None], keep=lambda piece: (net.mean(piece),), reach=net.sight)[0] for m in mosaics]
    return [law.std(mosaic(mean)[0]) for mean in means]


def recorrupted(
    raw: Tensor, sigma: Tensor, g: torch.Generator | None = None, spread: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Two mosaics out of one: `raw + spread n` and `raw - n / spread`, n new noise of the deviations `sigma`.

    Where the noise of `raw` has these deviations too, those of the two do not correlate: `sigma² - sigma² = 0`. Their
    variances are `1 + spread²` and `1 + 1 / spread²` of it, so the second is worth `spread²` of the first.
    """
    n = sigma * normal_like(raw, g)
    return raw + spread * n, raw - n / spread


def neighbour_of(
    raw: Tensor, sigma: Tensor, g: torch.Generator | None = None, mask_k: float = 2.0
) -> tuple[Tensor, Tensor]:
    """The interpolation of each pixel's random neighbour, and where it agrees, both `(B, 3, H, W)`."""
    x_tilde = demosaick(raw, "bilinear")
    b, _, h, w = raw.shape
    y = shifted(x_tilde, neighbours((b, h, w), g))
    return y, agreement(x_tilde, y, demosaick(sigma, "bilinear"), mask_k)


def completed(second: Tensor, mean: Tensor) -> Tensor:
    """A mosaic as a reference of all colours, `(B, 3, H, W)`: what it has beyond the network's mean, interpolated.

    Its own interpolation would teach the network to interpolate; the difference has no edges. Source: Kiku et al. 2013,
    "Residual interpolation for color image demosaicking", ICIP.
    """
    return mean + demosaick(second - mosaic(mean), "bilinear")


def adaptation_loss(
    net: nn.Module,
    raw: Tensor,
    sigma: Tensor,
    g: torch.Generator | None,
    reference: str = "recorrupted",
    *,
    spread: float = 0.5,
    lam: float = 5.0,
    window: int = 7,
    mask_k: float = 2.0,
) -> tuple[Tensor, float]:
    """Minus the mean bound with one of `REFERENCES`, and the share of pixels it is over, 1 unless neighbours disagree.

    `raw` and the deviations `sigma` of its noise are `(B, 1, H, W)`. The network's mean enters with the share
    `1 / (lam + 1)` of the input that the best posterior mean keeps, so that it is itself the picture without that
    share, and nothing has to be taken out afterwards.
    """
    if reference == "neighbour":
        out: JDDOutput = net(raw)
        y, kept = neighbour_of(raw, sigma, g, mask_k)
    else:
        raw, second = recorrupted(raw, sigma, g, spread)
        lam, sigma = spread**2, sigma * (1 + spread**2) ** 0.5
        out = net(raw)
        y = completed(second, out.mean.detach())
        kept = torch.ones_like(y)
    x_tilde = demosaick(raw, "bilinear")
    alpha, beta = prior(demosaick(sigma, "bilinear").square(), window)
    posterior = out._replace(mean=(lam * out.mean + x_tilde) / (lam + 1))
    loss = bound_loss(x_tilde, y, posterior, lam, alpha, beta, window=window)
    return (kept * loss).sum() / kept.sum().clamp(min=1), float(kept.mean())


def finetune(
    net: WildJDD,
    mosaics: Sequence[Tensor],
    steps: int = 100,
    *,
    sigmas: Sequence[Tensor] | None = None,
    reference: str = "recorrupted",
    spread: float = 0.5,
    lam: float = 5.0,
    mask_k: float = 2.0,
    crop: int = 64,
    batch: int = 8,
    lr: float = 1e-4,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> float:
    """Adapt a network in place to raw mosaics `(1, H, W)` in RGGB order, without any reference; the share kept.

    Parameters
    ----------
    sigmas : deviations of the noise, one tensor a mosaic that broadcasts to it; `None`: those of `noise_of`.
    reference : one of `REFERENCES`; spread : of `recorrupted`.
    lam, mask_k : for neighbours: the weak confidence in one, and the deviations beyond which one is left out. A share
        under 0.3 says that they differ by more than noise nearly everywhere: use a larger `mask_k`.

    Raises
    ------
    InputError : no mosaics, ones that are smaller than the crop, a crop that is not even, another reference, or a
        spread that is not above 0.
    """
    _check(mosaics, crop, reference, spread)
    maps = [p for name, p in net.named_parameters() if name.startswith("noise")]
    picture = [p for name, p in net.named_parameters() if not name.startswith("noise")]
    groups: list[dict[str, Any]] = [{"params": picture}, {"params": maps, "lr": AHEAD * lr}]
    optimizer = torch.optim.Adam(groups, lr=lr)
    noise = noise_of(net, mosaics) if sigmas is None else sigmas
    both = [torch.cat([m, s.expand_as(m)]) for m, s in zip(mosaics, noise, strict=True)]
    share = 0.0
    net.train()
    for k in range(steps):
        raw, sigma = cells(both, k, batch, crop, seed).split(1, 1)
        loss, kept = adaptation_loss(
            net, raw, sigma, generator(seed, k), reference, spread=spread, lam=lam, mask_k=mask_k
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        share += kept / steps
        if progress is not None:
            progress(Progress(k + 1, steps, loss.item(), lr))
    net.eval()
    return share


def _check(mosaics: Sequence[Tensor], crop: int, reference: str, spread: float) -> None:
    if reference not in REFERENCES:
        raise unknown("reference", reference, REFERENCES)
    if not (math.isfinite(spread) and spread > 0):
        raise InputError(f"spread must be a finite number > 0, got {spread:g}")
    if crop % 2 or crop < 8:
        raise InputError(f"a crop of {crop} cuts a Bayer cell: make it even and 8 or more")
    if not mosaics or any(m.ndim != 3 or m.shape[0] != 1 or min(m.shape[1:]) < crop for m in mosaics):
        raise InputError(f"adaptation takes mosaics (1, H, W) of {crop} x {crop} or more: give larger ones")


def cells(mosaics: Sequence[Tensor], k: int, size: int, crop: int, seed: int) -> Tensor:
    """Batch of step k: crops `(size, C, crop, crop)` of mosaics `(C, H, W)` that begin with a whole Bayer cell."""
    rng = np.random.default_rng([seed, k])
    pieces = []
    for which in rng.integers(len(mosaics), size=size):
        m = mosaics[int(which)]
        top, left = (2 * int(rng.integers(0, (n - crop) // 2 + 1)) for n in m.shape[1:])
        pieces.append(m[:, top : top + crop, left : left + crop])
    return torch.stack(pieces)


def adapt(
    pictures: Sequence[Tensor],
    minutes: float = 5.0,
    *,
    weights: str | Path | WildJDD | None = None,
    steps: int | None = None,
    sigmas: Sequence[Tensor] | None = None,
    reference: str = "recorrupted",
    spread: float = 0.5,
    lam: float = 5.0,
    mask_k: float = 2.0,
    crop: int = 64,
    batch: int = 8,
    lr: float = 1e-4,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Learn to clean raw mosaics from nothing but themselves; the options for method "jdd".

    Parameters
    ----------
    pictures : mosaics (1, H, W) float32 in RGGB order, as `restore.jdd.stabilised` makes them.
    minutes : time to learn, measured on the first steps. steps : instead, for runs that can be repeated anywhere.
    weights : where to start: a Wild-JDD or its file; what comes along by default.
    sigmas, reference, spread, lam, mask_k, crop, batch, lr, seed : as for `finetune`; the crop is made to fit.

    Raises
    ------
    InputError : mosaics that are too small, minutes that are not above 0, what `finetune` refuses, or neighbours that
        hardly ever agree.
    """
    from unnoise.restore.jdd import network

    if not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a number > 0, got {minutes:g}")
    crop = max(8, min([crop, *(n for p in pictures for n in p.shape[1:])]) // 2 * 2)
    _check(pictures, crop, reference, spread)
    net = copy.deepcopy(network(weights)).requires_grad_(True)
    options: dict[str, Any] = {
        "sigmas": sigmas, "reference": reference, "spread": spread, "lam": lam, "mask_k": mask_k, "crop": crop,
        "batch": batch, "lr": lr, "seed": seed,
    }  # fmt: skip
    if sigmas is None:
        options["sigmas"] = noise_of(net, pictures)  # once for the timing, too
    if steps is None:
        start = time.perf_counter()
        finetune(copy.deepcopy(net), pictures, 3, **options)
        steps = max(LEAST_STEPS, round(3 * 60 * minutes / (time.perf_counter() - start)))
    share = finetune(net, pictures, steps, progress=progress, **options)
    if share < LEAST_KEPT:
        raise InputError(
            f"only {share:.0%} of the neighbours agree within {mask_k:g} deviations, too few to learn from: "
            f"raise mask_k to {2 * mask_k:g}"
        )
    return {"weights": net.requires_grad_(False)}
