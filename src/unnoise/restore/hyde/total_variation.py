"""Total-variation denoising of a batch of images, resumable from its dual variable."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient(f: Tensor) -> Tensor:
    """Forward differences (2, n, H, W) of images (n, H, W), zero at the far border."""
    p = f.new_zeros(2, *f.shape)
    torch.sub(f[:, 1:], f[:, :-1], out=p[0, :, :-1])
    torch.sub(f[:, :, 1:], f[:, :, :-1], out=p[1, :, :, :-1])
    return p


def divergence(p: Tensor) -> Tensor:
    """Minus the adjoint of `gradient`, for p whose far borders are zero."""
    d = p[0] + p[1]
    d[:, 1:] -= p[0, :, :-1]
    d[:, :, 1:] -= p[1, :, :, :-1]
    return d


def total_variation(f: Tensor) -> Tensor:
    """Isotropic total variation of every image (n, H, W), (n,) float64."""
    return gradient(f).square().sum(0).sqrt().sum((1, 2), dtype=torch.float64)


def rof(c: Tensor, lam: float, dual: Tensor | None = None, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """`argmin_F 1/2 ||c - F||**2 + lam TV(F)` for images (n, H, W): the images, and the dual variable to go on from.

    Accelerated projection of the dual (Beck and Teboulle 2009, "Fast gradient-based algorithms for constrained total
    variation", algorithm FGP, without its box).

    >>> clean, _ = rof(torch.eye(8)[None], 0.0)
    >>> bool((clean == torch.eye(8)).all())
    True
    """
    p = c.new_zeros(2, *c.shape) if dual is None else dual
    if lam == 0:
        return c, p
    r, t = p, 1.0
    for _ in range(iterations):
        q = r + gradient(c / lam + divergence(r)) / 8
        q = q / q.square().sum(0).sqrt_().clamp_(min=1)
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        r, p, t = q + (t - 1) / t_next * (q - p), q, t_next
    return c + lam * divergence(p), p
