"""Samplers as flat functions of one signature: from noise to data along falling noise levels.

Each takes `(denoiser, x, sigmas, *, randomness, callback, **conditions)` and returns data of x's shape and dtype.

denoiser : `D(y, sigma, **conditions)`, in the units `y = x + sigma n`.
x : the start (B, *shape), noise of level `sigmas[0]`. Its dtype is what the denoiser is called in. Coefficients are
    float64; the state is float32 or x's own wider dtype, float64 in `heun`, which divides differences by sigma (the
    others only ever mix the state with estimates, which loses nothing).
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
from typing import Any, Literal

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.errors import InputError, UnnoiseError
from unnoise.generate import courses
from unnoise.noise.grids import check_sigmas
from unnoise.noise.seeds import Randomness

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


def _follow(
    course: Callable[..., courses.Course],
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Sigmas,
    randomness: Randomness,
    callback: Callback,
    conditions: dict[str, Any],
    state: torch.dtype = torch.float32,
    **options: Any,
) -> Tensor:
    """Take a course to its end: the state in `state` or x's wider dtype, calls counted and checked, the callback."""
    levels, denoiser, dtype = check_sigmas(sigmas), begin(denoiser), x.dtype
    state = torch.promote_types(dtype, state)
    ask = learnt_variance(denoiser) if options.get("variance") == "learned" else denoiser
    i = nfe = 0

    def told(sigma: float, x: Tensor, x0: Tensor) -> None:
        nonlocal i
        if callback is not None:
            callback(Step(i, sigma, x.to(dtype), x0.to(dtype), nfe))
        i += 1

    steps = course(x.to(state), levels, randomness, told, **options)
    x, sigma = next(steps)
    while True:
        answer = ask(x.to(dtype), sigma, **conditions)
        nfe += 1
        estimate = answer[0] if isinstance(answer, tuple) else answer
        # infinities of both signs add up to NaN; a sum in float16 would itself overflow
        if not math.isfinite(estimate.detach().sum(dtype=torch.promote_types(estimate.dtype, torch.float32)).item()):
            raise UnnoiseError(
                f"the denoiser gave values that are not finite at step {i} (sigma {sigma:g}): try float32, or a "
                "smaller largest sigma"
            )
        sent = tuple(a.to(state) for a in answer) if isinstance(answer, tuple) else answer.to(state)
        try:
            x, sigma = steps.send((x, sent))
        except StopIteration as end:
            result: Tensor = end.value
            return result.to(dtype)
        del answer, estimate, sent  # so that the network has their memory


def learnt_variance(denoiser: Denoiser) -> Callable[..., tuple[Tensor, Tensor]]:
    """The denoiser's own account of estimate and variance, of a network that learnt both."""
    both: Any = getattr(denoiser, "with_variance", None)
    if not callable(both):
        raise InputError("variance='learned' needs a network that learnt it: take 'small' or 'large'")
    return both


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
    return _follow(courses.ddim, denoiser, x, sigmas, randomness, callback, conditions, eta=eta)


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
    variance: Literal["small", "large", "learned"] = "small",
    randomness: Randomness = None,
    callback: Callback = None,
    **conditions: Any,
) -> Tensor:
    """Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2), on any grid.

    Mean `x0 + (t/s)**2 (x - x0)`; variance "small" is that of the posterior, `t**2 (1 - t**2 / s**2)` (the same as
    `euler_ancestral`), "large" the beta of the variance-preserving process, `(s**2 - t**2) (1 + t**2) / (1 + s**2)` on
    the scale of networks, whose data lie in [-1, 1];
    "learned" lies between both where the network says, in logarithms (Nichol and Dhariwal 2021, eq. 15): the denoiser
    then has a method `with_variance(y, sigma, **conditions)` that returns the estimate and that fraction.
    """
    low, high = denoiser.card.value_range or (-1.0, 1.0)
    options: dict[str, Any] = {"variance": variance, "unit": (high - low) / 2}
    return _follow(courses.ddpm, denoiser, x, sigmas, randomness, callback, conditions, **options)


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
    return _follow(
        courses.heun,
        denoiser,
        x,
        sigmas,
        randomness,
        callback,
        conditions,
        churn=churn,
        churn_low=churn_low,
        churn_high=churn_high,
        noise=noise,
        state=torch.float64,
    )


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
    return _follow(courses.dpmpp_2m, denoiser, x, sigmas, randomness, callback, conditions)


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
    return _follow(courses.dpmpp_2m_sde, denoiser, x, sigmas, randomness, callback, conditions)


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
    return _follow(courses.unipc, denoiser, x, sigmas, randomness, callback, conditions, order=order, variant=variant)


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
