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
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick
from unnoise.noise.seeds import generator
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, bound_loss, measured, prior
from unnoise.training.loop import Progress

OFFSETS = tuple((dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0))
"""Neighbours of the same colour of the mosaic: nearer ones share samples through the interpolation."""
LEAST_STEPS = 10
AHEAD = 10.0  # how much faster the noise map learns than the picture, whose changes it must follow
STRIDE = 4  # samples between the places at which noise is measured
QUARTER, NORMAL_QUARTER = 0.25, 0.31864  # of differences, and that quantile of |n|, n standard normal
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


def sample_noise(raw: Tensor) -> Tensor:
    """Deviation of the noise of samples near each pixel of mosaics `(B, 1, H, W)`, for each colour, `(B, 3, H, W)`.

    From the lower quarter of the differences of neighbouring samples of a colour over some 9 x 9 of them: it needs
    neither a truth nor a network that knows this noise, and edges, which are few, do not enter; fine texture does.
    """
    planes = F.pixel_unshuffle(raw, 2)
    b, _, h, w = planes.shape
    around = F.pad(planes, (1, 1, 1, 1), mode="reflect")
    near = [around[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w] for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))]
    apart = torch.stack([(each - planes).abs() for each in near], 2).flatten(0, 1) / 2**0.5
    windows = F.unfold(F.pad(apart, (4, 4, 4, 4), mode="replicate"), 9, stride=STRIDE)
    level = windows.kthvalue(round(QUARTER * windows.shape[1]), 1).values / NORMAL_QUARTER
    coarse = level.reshape(b, 4, *(-(-n // STRIDE) for n in (h, w)))
    sigma = F.interpolate(coarse, (h, w), mode="bilinear")
    return demosaick(F.pixel_shuffle(sigma, 2), "bilinear")


def adaptation_loss(
    net: nn.Module, raw: Tensor, g: torch.Generator | None, lam: float = 5.0, window: int = 7, mask_k: float = 2.0
) -> tuple[Tensor, float]:
    """Minus the masked mean bound with a random neighbour as the reference, and the share of pixels kept.

    Prior and mask take the noise from the samples themselves: the network's own map is of noise that it knows, which
    this is not, and a mask of too small a noise keeps the neighbours whose noise happens to be the pixel's.
    The network's mean enters with the share `1 / (lam + 1)` of the input that the best posterior mean keeps, so that it
    is itself the picture without that share, and nothing has to be taken out afterwards.
    """
    out: JDDOutput = net(raw)
    x_tilde = demosaick(raw, "bilinear")
    b, _, h, w = raw.shape
    y = shifted(x_tilde, neighbours((b, h, w), g))
    sigma = sample_noise(raw)
    kept = agreement(x_tilde, y, sigma, mask_k)
    alpha, beta = prior(sigma.square(), window)
    posterior = out._replace(mean=(lam * out.mean + x_tilde) / (lam + 1))
    loss = bound_loss(x_tilde, y, posterior, lam, alpha, beta, window=window)
    return (kept * loss).sum() / kept.sum().clamp(min=1), float(kept.mean())


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
    share under 0.3 says that they differ by more than noise nearly everywhere: use a larger `mask_k`.

    Raises
    ------
    InputError : no mosaics, ones that are smaller than the crop, or a crop that is not even.
    """
    if not mosaics or any(m.ndim != 3 or m.shape[0] != 1 or min(m.shape[1:]) < crop for m in mosaics):
        raise InputError(f"adaptation takes mosaics (1, H, W) of {crop} x {crop} or more: give larger ones")
    if crop % 2 or crop < 8:
        raise InputError(f"a crop of {crop} cuts a Bayer cell: make it even and 8 or more")
    maps = [p for name, p in net.named_parameters() if name.startswith("noise")]
    picture = [p for name, p in net.named_parameters() if not name.startswith("noise")]
    groups: list[dict[str, Any]] = [{"params": picture}, {"params": maps, "lr": AHEAD * lr}]
    optimizer = torch.optim.Adam(groups, lr=lr)
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
    InputError : mosaics that are too small, minutes that are not above 0, or neighbours that hardly ever agree.
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
