"""Samplers as coroutines: the mathematics of a course from noise to data, whoever asks the network.

Each is a generator made from `(x, levels, randomness, told, *, <options>)` that yields `(x, sigma)`, is sent `(x, x0)`,
and returns the data. A loop follows it (`generate.samplers`), or a scheduler of diffusers one call at a time
(`generate.hf.scheduler`); the state is sent back because a pipeline may change it on the way.

x : the start, float64, noise of level `levels[0]`.
levels : falling noise levels that `check_sigmas` has passed.
randomness : of the stochastic ones, as in `noise.seeds`.
told : called with `(sigma, x, x0)` after every step.

An estimate that no later step needs is let go before the next one is asked for: the network has its memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.seeds import Randomness, normal_like

Course = Generator[tuple[Tensor, float], tuple[Tensor, Any], Tensor]
Told = Callable[[float, Tensor, Tensor], None]
VARIANCES = ("small", "large", "learned")


def ddim(x: Tensor, levels: list[float], randomness: Randomness, told: Told, *, eta: float = 0.0) -> Course:
    """See `samplers.ddim`."""
    for s, t in pairwise(levels):
        x, x0 = yield x, s
        v = eta**2 * t**2 * (1 - (t / s) ** 2)
        x = torch.lerp(x0, x, math.sqrt(max(t**2 - v, 0.0)) / s)
        if v > 0:
            x = torch.add(x, normal_like(x, randomness), alpha=math.sqrt(v))
        told(s, x, x0)
        del x0
    return x


def ddpm(
    x: Tensor,
    levels: list[float],
    randomness: Randomness,
    told: Told,
    *,
    variance: Literal["small", "large", "learned"] = "small",
    unit: float = 1.0,
) -> Course:
    """See `samplers.ddpm`; with "learned" it is sent `(x, (x0, fraction))`.

    `unit` is one of the process's units in those of x: its beta depends on it.
    """
    if variance not in VARIANCES:
        raise InputError(f"variance must be 'small', 'large' or 'learned', got '{variance}'")
    for s, t in pairwise(levels):
        x, answer = yield x, s
        x0, fraction = answer if variance == "learned" else (answer, None)
        x = torch.lerp(x0, x, (t / s) ** 2)
        if t > 0:
            small = t**2 * (1 - (t / s) ** 2)
            large = (s**2 - t**2) * (unit**2 + t**2) / (unit**2 + s**2)
            z = normal_like(x, randomness)
            if fraction is not None:
                x = torch.addcmul(x, (0.5 * torch.lerp(_log(small, x), _log(large, x), fraction)).exp(), z)
            else:
                x = torch.add(x, z, alpha=math.sqrt(small if variance == "small" else large))
        told(s, x, x0)
        del x0, answer
    return x


def heun(
    x: Tensor,
    levels: list[float],
    randomness: Randomness,
    told: Told,
    *,
    churn: float = 0.0,
    churn_low: float = 0.0,
    churn_high: float = math.inf,
    noise: float = 1.0,
) -> Course:
    """See `samplers.heun`."""
    for s, t in pairwise(levels):
        gamma = min(churn / (len(levels) - 1), math.sqrt(2) - 1) if churn_low <= s <= churn_high else 0.0
        s_hat = s * (1 + gamma)
        if gamma > 0:
            x = x + math.sqrt(s_hat**2 - s**2) * noise * normal_like(x, randomness)
        x, x0 = yield x, s_hat
        d = (x - x0) / s_hat
        x_next = x + (t - s_hat) * d
        if t > 0:
            x_next, x0_next = yield x_next, t
            d_next = (x_next - x0_next) / t
            x_next = x + (t - s_hat) * (0.5 * d + 0.5 * d_next)
        x = x_next
        told(s, x, x0)
        del x0
    return x


def dpmpp_2m(x: Tensor, levels: list[float], randomness: Randomness, told: Told) -> Course:
    """See `samplers.dpmpp_2m`."""
    x0_old: Tensor | None = None
    h_old = 0.0
    for s, t in pairwise(levels):
        x, x0 = yield x, s
        if t == 0:
            x = x0
        else:
            h = math.log(s / t)
            d = x0 if x0_old is None else torch.lerp(x0_old, x0, 1 + h / h_old / 2)
            x = torch.lerp(d, x, t / s)
            x0_old, h_old = x0, h
        told(s, x, x0)
    return x


def dpmpp_2m_sde(x: Tensor, levels: list[float], randomness: Randomness, told: Told) -> Course:
    """See `samplers.dpmpp_2m_sde`."""
    x0_old: Tensor | None = None
    h_old = 0.0
    for s, t in pairwise(levels):
        x, x0 = yield x, s
        if t == 0:
            x = x0
        else:
            h = math.log(s / t)
            d = x0 if x0_old is None else torch.lerp(x0_old, x0, 1 + h / h_old / 2)
            ratio = (t / s) ** 2
            x = torch.add(torch.lerp(d, x, ratio), normal_like(x, randomness), alpha=t * math.sqrt(1 - ratio))
            x0_old, h_old = x0, h
        told(s, x, x0)
    return x


def unipc(
    x: Tensor,
    levels: list[float],
    randomness: Randomness,
    told: Told,
    *,
    order: int = 2,
    variant: Literal["bh1", "bh2"] = "bh2",
) -> Course:
    """See `samplers.unipc`."""
    if order < 1:
        raise InputError(f"the order of UniPC must be at least 1, got {order}")
    previous, p_old, steps = x, 0, len(levels) - 1
    lambdas: list[float] = []
    estimates: list[Tensor] = []
    for i, (s, t) in enumerate(pairwise(levels)):
        x, x0 = yield x, s
        if i > 0:
            x = _unipc_step(previous, x0, -math.log(s), lambdas, estimates, p_old, variant)
        lambdas, estimates, previous = [*lambdas, -math.log(s)][-order:], [*estimates, x0][-order:], x
        p_old = min(order, i + 1, steps - i)
        x = x0 if t == 0 else _unipc_step(x, None, -math.log(t), lambdas, estimates, p_old, variant)
        told(s, x, x0)
    return x


def _unipc_step(
    x: Tensor, x0_next: Tensor | None, lam: float, lambdas: list[float], x0s: list[Tensor], p: int, variant: str
) -> Tensor:
    """From x at `lambdas[-1]` to `lam`: the predictor, or with the estimate at the end the corrector.

    Both are sums of the state and of estimates; the weights are gathered first, so that each enters once.
    """
    h = lam - lambdas[-1]
    hh = -h
    phi = math.expm1(hh)
    scale = phi if variant == "bh2" else hh
    ratios = [(lambdas[-1 - j] - lambdas[-1]) / h for j in range(1, p)] + [1.0]
    rows = [[r**q for r in ratios] for q in range(p)]
    b, phi_q, factorial = [], phi / hh - 1, 1
    for q in range(1, p + 1):
        b.append(phi_q * factorial / scale)
        factorial *= q + 1
        phi_q = phi_q / hh - 1 / factorial
    if x0_next is not None:
        rho = [0.5] if p == 1 else np.linalg.solve(np.array(rows), np.array(b)).tolist()
    elif p == 2:
        rho = [0.5]
    else:
        rho = np.linalg.solve(np.array(rows)[:-1, :-1], np.array(b)[:-1]).tolist()
    # differences (x0s[-1 - j] - x0s[-1]) / ratio, each times -scale rho
    weights = [-scale * w / r for w, r in zip(rho, ratios, strict=False)]
    others = [*(x0s[-1 - j] for j in range(1, p)), *([] if x0_next is None else [x0_next])]
    out = (x * math.exp(hh)).add_(x0s[-1], alpha=-phi - sum(weights))
    for weight, other in zip(weights, others, strict=True):
        out.add_(other, alpha=weight)
    return out


def _log(value: float, like: Tensor) -> Tensor:
    return torch.full_like(like, math.log(max(value, 1e-20)))


COURSES: dict[str, Callable[..., Course]] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "heun": heun,
    "unipc": unipc,
}
"""Name of a sampler to its coroutine; Euler's two are `ddim` with `eta` 0 and 1."""
