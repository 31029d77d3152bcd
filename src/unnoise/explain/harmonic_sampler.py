"""Sampling with a blind denoiser whose residual tells the noise level, and linear inverse problems solved so.

Kadkhodaie and Simoncelli 2021 (2007.13640), algorithms 1 and 2; as used in 2310.02557.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser
from unnoise.errors import InputError, UnnoiseError
from unnoise.noise.seeds import generators, normal_like


@dataclass(frozen=True, eq=False)
class Ascended:
    """Samples (n, *shape), the noise levels that were read off, (steps, n), and whether all came to the end."""

    x: Tensor
    sigmas: Tensor
    finished: bool


@torch.inference_mode()
def sample_from_denoiser(
    denoiser: Denoiser,
    shape: Sequence[int],
    n: int = 1,
    *,
    h: float = 0.01,
    beta: float = 0.1,
    sigma0: float = 1.0,
    sigma_end: float = 0.05,
    mean: float = 0.5,
    growing: bool = False,
    constraint: tuple[Tensor, Tensor] | None = None,
    denoise_last: bool = True,
    max_steps: int = 5000,
    seed: int = 0,
) -> Ascended:
    """Climb the log-density from noise, a stochastic step of size h at a time.

    Parameters
    ----------
    denoiser : blind ones are asked without a level, and `sigma = |D(y) - y| / sqrt(d)` is read off. Others are told the
        level that the steps imply, `sigma (1 - beta h)` after each.
    shape : of a sample, (C, H, W).
    h : step size; with `growing`, `h t / (1 + h (t - 1))` at step t, as in the authors' code.
    beta : 1 injects no noise (deterministic), towards 0 the most.
    sigma0, sigma_end : first and last noise level; the code of the paper ends at 0.01 rather than 0.05.
    mean : of the initial noise.
    constraint : (M, c) with orthonormal columns M (d, m) and measurements c (n, m) or (m,) of the wanted picture.
    denoise_last : return D of the last state, as the code does; the paper's listing returns the state.
    seed : sample i, injected noise included, depends on `(seed, i)` alone.

    Raises
    ------
    InputError : h or beta outside (0, 1], levels that do not fall, measurements of another size.
    UnnoiseError : the level doubled: this denoiser does not descend.
    """
    if not (0 < h <= 1 and 0 < beta <= 1):
        raise InputError(f"h and beta must lie above 0, up to 1, got {h:g} and {beta:g}")
    if not 0 < sigma_end < sigma0:
        raise InputError(f"sigma_end must lie between 0 and sigma0 = {sigma0:g}, got {sigma_end:g}")
    where = next((p.device for p in denoiser.parameters()), torch.device("cpu"))
    random = generators(seed, range(n), device=where)
    y = mean + sigma0 * normal_like(torch.empty(n, *shape, device=where), random)
    d = y[0].numel()
    if constraint is not None and (constraint[0].shape[0] != d or constraint[1].shape[-1] != constraint[0].shape[1]):
        raise InputError(f"the constraint needs M of {d} rows and one measurement for each of its columns")
    tall = (-1, *(1,) * len(shape))
    blind = denoiser.card.blind
    sigma = torch.full((n,), sigma0, device=where)
    told = sigma.clone()
    levels: list[Tensor] = []
    for t in range(1, max_steps + 1):
        step = h * t / (1 + h * (t - 1)) if growing else h
        direction = denoiser(y, None if blind else told) - y
        if constraint is not None:
            direction = _constrained(direction, y, *constraint)
        sigma = direction.flatten(1).norm(dim=1) / d**0.5 if blind else told
        if bool((sigma > 2 * sigma0).any()) or not bool(torch.isfinite(sigma).all()):
            raise UnnoiseError(
                f"the noise level rose beyond {2 * sigma0:g} at step {t}: this denoiser does not descend"
            )
        levels.append(sigma)
        going = (sigma > sigma_end).reshape(tall)
        gamma = ((1 - beta * step) ** 2 - (1 - step) ** 2) ** 0.5 * sigma.reshape(tall)
        moved = y + step * direction + gamma * normal_like(y, random)
        y = torch.where(going, moved, y)
        told = torch.where(going.flatten(), told * (1 - beta * step), told)
        if not bool(going.any()):
            break
    finished = bool((sigma <= sigma_end).all())
    x = denoiser(y, None if blind else told) if denoise_last else y
    if denoise_last and constraint is not None:
        x = x + _constrained(torch.zeros_like(x), x, *constraint)
    return Ascended(x, torch.stack(levels), finished)


def _constrained(direction: Tensor, y: Tensor, m: Tensor, c: Tensor) -> Tensor:
    """The prior's direction outside the measured space, the measurements' inside it."""
    m = m.to(y)
    flat, state = direction.flatten(1), y.flatten(1)
    return (flat - (flat @ m) @ m.T + (c.to(y) - state @ m) @ m.T).reshape(y.shape)
