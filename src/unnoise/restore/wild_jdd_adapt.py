"""Adaptation of Wild-JDD to raw mosaics without any reference: a random neighbour of each pixel stands in for it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick
from unnoise.noise.seeds import generator
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, local_variance, nig_elbo, prior
from unnoise.training.loop import Progress

OFFSETS = tuple((dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0))
"""Neighbours of the same colour of the mosaic: nearer ones share samples through the interpolation."""
LEAST_STEPS = 10
LEAST_KEPT = 0.3  # share of neighbours under which the noise map is too low for the data


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
    """Where the neighbour y does not clearly show something else: `|y - x~| <= mask_k sigma`, as 0 and 1."""
    return ((y - x_tilde).abs() <= mask_k * sigma).to(x_tilde.dtype)


def adaptation_loss(
    net: nn.Module, raw: Tensor, g: torch.Generator | None, lam: float = 5.0, window: int = 7, mask_k: float = 2.0
) -> tuple[Tensor, float]:
    """Minus the masked mean bound with a random neighbour as the reference, and the share of pixels kept.

    The network's mean enters with the share `1 / (lam + 1)` of the input that the best posterior mean keeps, so that it
    is itself the picture without that share, and nothing has to be taken out afterwards.
    """
    out: JDDOutput = net(raw)
    x_tilde = demosaick(raw, "bilinear")
    b, _, h, w = raw.shape
    y = shifted(x_tilde, neighbours((b, h, w), g))
    kept = agreement(x_tilde, y, out.variance().sqrt().detach(), mask_k)
    # the difference of two noisy samples has twice their variance
    alpha, beta = prior(local_variance(x_tilde, y, window) / 2, window)
    posterior = out._replace(mean=(lam * out.mean + x_tilde) / (lam + 1))
    bound = nig_elbo(x_tilde, y, posterior, lam, alpha, beta).elbo
    return -(kept * bound).sum() / kept.sum().clamp(min=1), float(kept.mean())


def finetune(
    net: WildJDD,
    mosaics: Sequence[Tensor],
    steps: int = 100,
    *,
    lam: float = 5.0,
    mask_k: float = 2.0,
    crop: int = 64,
    batch: int = 8,
    lr: float = 1e-4,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> float:
    """Adapt a network in place to raw mosaics `(1, H, W)` in RGGB order, without any reference; the share kept.

    `lam` is the weak confidence in a neighbour; the mask leaves out neighbours further than `mask_k` deviations. A
    share under 0.3 says that the noise map is too low for these data: use a larger `mask_k`.

    Raises
    ------
    InputError : no mosaics, ones that are smaller than the crop, or a crop that is not even.
    """
    if not mosaics or any(m.ndim != 3 or m.shape[0] != 1 or min(m.shape[1:]) < crop for m in mosaics):
        raise InputError(f"adaptation takes mosaics (1, H, W) of {crop} x {crop} or more: give larger ones")
    if crop % 2 or crop < 8:
        raise InputError(f"a crop of {crop} cuts a Bayer cell: make it even and 8 or more")
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    share = 0.0
    net.train()
    for k in range(steps):
        x = cells(mosaics, k, batch, crop, seed)
        loss, kept = adaptation_loss(net, x, generator(seed, k), lam, mask_k=mask_k)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        share += kept / steps
        if progress is not None:
            progress(Progress(k + 1, steps, loss.item(), lr))
    net.eval()
    return share


def cells(mosaics: Sequence[Tensor], k: int, size: int, crop: int, seed: int) -> Tensor:
    """Batch of step k: crops `(size, 1, crop, crop)` that begin with a whole Bayer cell."""
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
    lam, mask_k, crop, batch, lr, seed : as for `finetune`; the crop is made to fit.

    Raises
    ------
    InputError : mosaics that are too small, minutes that are not above 0, or a noise map that is too low for the data.
    """
    from unnoise.restore.jdd import network

    if not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a number > 0, got {minutes:g}")
    crop = min(crop, *(n for p in pictures for n in p.shape[1:])) // 2 * 2
    net = copy.deepcopy(network(weights)).requires_grad_(True)
    options: dict[str, Any] = {"lam": lam, "mask_k": mask_k, "crop": crop, "batch": batch, "lr": lr, "seed": seed}
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
