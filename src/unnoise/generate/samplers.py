"""Samplers as flat functions of one signature: from noise to data along falling noise levels.

Each takes `(denoiser, x, sigmas, *, randomness, callback, **conditions)` and returns data of x's shape and dtype.

denoiser : `D(y, sigma, **conditions)`, in the units `y = x + sigma n`.
x : the start (B, *shape), noise of level `sigmas[0]`. Its dtype is what the denoiser is called in; the state of
    the sampler is float64, because near zero noise differences of large numbers decide.
sigmas : falling noise levels (see `noise.grids`), the last usually zero.
randomness : of the stochastic samplers: one generator a sample (`noise.seeds.generators`) makes a sample the same in
    any batch.
callback : called with a `Step` after every step.

They raise `InputError` for levels that do not fall, and name the step at which a network gave a value that is not
finite. They keep gradients; `sample` switches them off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.errors import InputError, UnnoiseError
from unnoise.noise.grids import check_sigmas
from unnoise.noise.seeds import Randomness, normal_like

Sigmas = Tensor | Sequence[float]


@dataclass(frozen=True, eq=False)
class Step:
    """A step that was taken: its number from 0, the level it began at, the state after it, the clean estimate it
    used, and how often the denoiser has been called so far.
    """

    i: int
    sigma: float
    x: Tensor
    x0: Tensor
    nfe: int


Callback = Callable[[Step], None] | None


def begin(denoiser: Denoiser) -> Denoiser:
    """The denoiser for one trajectory: a `Guided` one gives a fresh object whose policy remembers this run alone."""
    fresh: Any = getattr(denoiser, "trajectory", None)
    return fresh() if callable(fresh) else denoiser


class _Run:
    """The parts all samplers share: float64 state, calls of the denoiser counted and checked, the callback."""

    def __init__(
        self, denoiser: Denoiser, x: Tensor, sigmas: Sigmas, callback: Callback, conditions: dict[str, Any]
    ) -> None:
        self.levels = check_sigmas(sigmas)
        self.denoiser = begin(denoiser)
        self.dtype, self.callback, self.conditions = x.dtype, callback, conditions
        self.start, self.nfe, self.i = x.double(), 0, 0

    def steps(self) -> list[tuple[int, float, float]]:
        return [(i, s, t) for i, (s, t) in enumerate(pairwise(self.levels))]

    def x0(self, x: Tensor, sigma: float) -> Tensor:
        estimate = self.denoiser(x.to(self.dtype), sigma, **self.conditions)
        self.nfe += 1
        if not math.isfinite(float(estimate.detach().sum())):  # infinities of both signs add up to NaN
            raise UnnoiseError(
                f"the denoiser gave values that are not finite at step {self.i} (sigma {sigma:g}): try float32, or a "
                "smaller largest sigma"
            )
        return estimate.double()

    def told(self, sigma: float, x: Tensor, x0: Tensor) -> None:
        if self.callback is not None:
            self.callback(Step(self.i, sigma, x.to(self.dtype), x0.to(self.dtype), self.nfe))
        self.i += 1


def ddim(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    eta: float = 0.0,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """DDIM: with `eta` 0 deterministic, with 1 as stochastic as DDPM (Song et al. 2021, 2010.02502, eq. 12 and 16).

    In the units used here `v = eta**2 t**2 (1 - t**2 / s**2)` and `x <- x0 + sqrt(t**2 - v) (x - x0) / s + sqrt(v) z`:
    the signal scales of a variance-preserving process cancel.
    """
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x = run.start
    for _, s, t in run.steps():
        x0 = run.x0(x, s)
        v = eta**2 * t**2 * (1 - (t / s) ** 2)
        x = torch.lerp(x0, x, math.sqrt(max(t**2 - v, 0.0)) / s)
        if v > 0:
            x = x + math.sqrt(v) * normal_like(x, randomness)
        run.told(s, x, x0)
    return x.to(run.dtype)


def euler(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """Euler's method on the probability-flow equation `dx/dsigma = (x - D) / sigma`: `ddim` with `eta` 0."""
    return ddim(denoiser, x, sigmas, randomness=randomness, callback=callback, **conditions)


def euler_ancestral(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """Euler to `dn = t**2 / s`, then noise of level `up = t sqrt(1 - t**2 / s**2)`: `ddim` with `eta` 1."""
    return ddim(denoiser, x, sigmas, eta=1.0, randomness=randomness, callback=callback, **conditions)


def ddpm(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    variance: Literal["small", "large"] = "small",
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2), on any grid.

    Mean `x0 + (t/s)**2 (x - x0)`; variance "small" is that of the posterior, `t**2 (1 - t**2 / s**2)` (the same as
    `euler_ancestral`), "large" the beta of the variance-preserving process, `(s**2 - t**2) (1 + t**2) / (1 + s**2)`.
    """
    if variance not in ("small", "large"):
        raise InputError(f"variance must be 'small' or 'large', got '{variance}'")
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x = run.start
    for _, s, t in run.steps():
        x0 = run.x0(x, s)
        x = torch.lerp(x0, x, (t / s) ** 2)
        if t > 0:
            v = t**2 * (1 - (t / s) ** 2) if variance == "small" else (s**2 - t**2) * (1 + t**2) / (1 + s**2)
            x = x + math.sqrt(v) * normal_like(x, randomness)
        run.told(s, x, x0)
    return x.to(run.dtype)


def heun(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    churn: float = 0.0,
    churn_low: float = 0.0,
    churn_high: float = math.inf,
    noise: float = 1.0,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """Heun's method with churn, second order, 2N - 1 calls for N steps (Karras et al. 2022, algorithm 2).

    `churn` (S_churn) is the amount of noise added over all steps, between the levels `churn_low` and `churn_high`;
    `noise` (S_noise) inflates it. With `churn` 0 it is deterministic.
    """
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x = run.start
    for _, s, t in run.steps():
        gamma = min(churn / (len(run.levels) - 1), math.sqrt(2) - 1) if churn_low <= s <= churn_high else 0.0
        s_hat = s * (1 + gamma)
        if gamma > 0:
            x = x + math.sqrt(s_hat**2 - s**2) * noise * normal_like(x, randomness)
        x0 = run.x0(x, s_hat)
        d = (x - x0) / s_hat
        x_next = x + (t - s_hat) * d
        if t > 0:
            d_next = (x_next - run.x0(x_next, t)) / t
            x_next = x + (t - s_hat) * (d + d_next) / 2
        x = x_next
        run.told(s, x, x0)
    return x.to(run.dtype)


def dpmpp_2m(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """DPM-Solver++(2M), second order with one call a step (Lu et al. 2022, 2211.01095, algorithm 2)."""
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x = run.start
    x0_old: Tensor | None = None
    h_old = 0.0
    for _, s, t in run.steps():
        x0 = run.x0(x, s)
        if t == 0:
            x = x0
        else:
            h = math.log(s / t)
            d = x0 if x0_old is None else x0 + (h / h_old / 2) * (x0 - x0_old)
            x = torch.lerp(d, x, t / s)
            x0_old, h_old = x0, h
        run.told(s, x, x0)
    return x.to(run.dtype)


def dpmpp_2m_sde(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """SDE-DPM-Solver++(2M), the stochastic sibling (Lu et al. 2022, 2211.01095, section 5, midpoint form)."""
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x = run.start
    x0_old: Tensor | None = None
    h_old = 0.0
    for _, s, t in run.steps():
        x0 = run.x0(x, s)
        if t == 0:
            x = x0
        else:
            h = math.log(s / t)
            d = x0 if x0_old is None else x0 + (h / h_old / 2) * (x0 - x0_old)
            ratio = (t / s) ** 2
            x = torch.lerp(d, x, ratio) + t * math.sqrt(1 - ratio) * normal_like(x, randomness)
            x0_old, h_old = x0, h
        run.told(s, x, x0)
    return x.to(run.dtype)


def unipc(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    *,
    order: int = 2,
    variant: Literal["bh1", "bh2"] = "bh2",
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """UniPC, predictor and corrector of one order with one call a step (Zhao et al. 2023, algorithms 1 and 2).

    The corrector of a step uses the estimate that the next step needs anyway. The order rises over the first steps
    and falls over the last.
    """
    if order < 1:
        raise InputError(f"the order of UniPC must be at least 1, got {order}")
    run = _Run(denoiser, x, sigmas, callback, conditions)
    x, previous, p_old = run.start, run.start, 0
    lambdas: list[float] = []
    estimates: list[Tensor] = []
    steps = run.steps()
    for i, s, t in steps:
        x0 = run.x0(x, s)
        if i > 0:
            x = _unipc_step(previous, x0, -math.log(s), lambdas, estimates, p_old, variant)
        lambdas.append(-math.log(s))
        estimates.append(x0)
        lambdas, estimates, previous = lambdas[-order:], estimates[-order:], x
        p_old = min(order, i + 1, len(steps) - i)
        x = x0 if t == 0 else _unipc_step(x, None, -math.log(t), lambdas, estimates, p_old, variant)
        run.told(s, x, x0)
    return x.to(run.dtype)


def _unipc_step(
    x: Tensor, x0_next: Tensor | None, lam: float, lambdas: list[float], x0s: list[Tensor], p: int, variant: str
) -> Tensor:
    """From x at `lambdas[-1]` to `lam`: the predictor, or with the estimate at the end the corrector."""
    h = lam - lambdas[-1]
    hh = -h
    phi = math.expm1(hh)
    scale = phi if variant == "bh2" else hh
    ratios = [(lambdas[-1 - j] - lambdas[-1]) / h for j in range(1, p)] + [1.0]
    differences = [(x0s[-1 - j] - x0s[-1]) / ratios[j - 1] for j in range(1, p)]
    rows = [[r**q for r in ratios] for q in range(p)]
    b, phi_q, factorial = [], phi / hh - 1, 1
    for q in range(1, p + 1):
        b.append(phi_q * factorial / scale)
        factorial *= q + 1
        phi_q = phi_q / hh - 1 / factorial
    out = x * math.exp(hh) - phi * x0s[-1]
    if x0_next is not None:
        rho = np.array([0.5]) if p == 1 else np.linalg.solve(np.array(rows), np.array(b))
        differences = [*differences, x0_next - x0s[-1]]
    elif p == 2:
        rho = np.array([0.5])
    else:
        rho = np.linalg.solve(np.array(rows)[:-1, :-1], np.array(b)[:-1])
    for weight, difference in zip(rho.tolist(), differences, strict=True):
        out = out - scale * weight * difference
    return out


SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "unipc": unipc,
}
"""Name of a sampler to its function."""
