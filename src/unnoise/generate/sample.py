"""The door of generation: `sample` draws from what a denoiser knows; `invert` and `log_likelihood` go the other way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.denoiser.derivatives import differentiable, require_gradients
from unnoise.errors import InputError, UnnoiseError, unknown
from unnoise.generate.guidance import Trace, Trajectory
from unnoise.generate.inverse import Measured
from unnoise.generate.samplers import SAMPLERS, Callback, begin, learnt_variance
from unnoise.noise.grids import check_sigmas, karras
from unnoise.noise.seeds import generator, generators, normal_like

ROWS = 256  # pictures that the exact trace has in the network at once


@dataclass(frozen=True, eq=False)
class Sampled:
    """Samples (n, *shape), what they cost, evaluations of the network for each sample (n,), and what guidance did."""

    x: Tensor
    nfe: Tensor
    trace: Trace | None = None


@torch.inference_mode()
def sample(
    denoiser: Denoiser,
    shape: Sequence[int] | None = None,
    n: int = 1,
    *,
    x_T: Tensor | None = None,
    sampler: str = "dpmpp_2m",
    steps: int = 20,
    sigmas: Tensor | Sequence[float] | None = None,
    seed: int = 0,
    first: int = 0,
    callback: Callback = None,
    options: dict[str, Any] | None = None,
    **conditions: Any,
) -> Sampled:
    """Draw samples.

    Parameters
    ----------
    denoiser : `D(y, sigma, **conditions)`, or a `Guided` one.
    shape : of one sample, (C, *spatial); not needed with `x_T`.
    n : how many; they are one batch.
    x_T : the start (n, *shape), noise of level `sigmas[0]` added to anything; when it is `None` drawn from
        `seed`, round the middle of the card's value range.
    sampler : a key of `SAMPLERS`.
    steps : of the Karras grid between the levels of the card's sigma range (0.002 and 80 where that is open).
    sigmas : a grid of your own (see `noise.grids`), instead of `steps`.
    seed, first : sample i is made from `(seed, first + i)`: the same whatever the batch.
    options : of the sampler, as `{"eta": 1.0}` for "ddim".
    conditions : of the denoiser, with one entry a sample.

    Raises
    ------
    InputError : unknown sampler, steps < 1, n < 1, sigmas that do not fall, no shape, a condition without one entry a
        sample. UnnoiseError : the denoiser gave values that are not finite; the sentence names the step.

    Examples
    --------
    >>> from unnoise.denoiser import GaussianMixture
    >>> two = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.1)
    >>> sample(two, (1,), 4, steps=10).x.abs().round().flatten().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if sampler not in SAMPLERS:
        raise unknown("sampler", sampler, SAMPLERS)
    if n < 1:
        raise InputError(f"the number of samples must be at least 1, got {n}")
    levels = check_sigmas(default_grid(denoiser, steps) if sigmas is None else sigmas)
    if x_T is None:
        if shape is None:
            raise InputError("sampling needs the shape of a sample, or a start x_T")
        x_T = start(denoiser, shape, n, levels[0], seed, first)
    for name, value in conditions.items():
        if isinstance(value, Tensor) and value.ndim and len(value) != len(x_T):
            raise InputError(f"there are {len(value)} values of {name} for {len(x_T)} samples: pass one for each")
    randomness = [generator(seed, i, 1) for i in range(first, first + len(x_T))]  # not the numbers of x_T again
    run = begin(denoiser)
    inside = run
    while isinstance(inside, Measured):
        inside = inside.denoiser
    counted = inside if isinstance(inside, Trajectory) else _Counted(run, len(x_T))
    if isinstance(counted, _Counted):
        run = counted
    elif (linear := getattr(counted.guided.policy, "linear", None)) is not None:
        linear.check(counted.guided.denoiser, sampler, counted.guided.scale)
    x = SAMPLERS[sampler](run, x_T, levels, randomness=randomness, callback=callback, **(options or {}), **conditions)
    return Sampled(x, counted.nfe, counted.trace() if isinstance(counted, Trajectory) else None)


def start(denoiser: Denoiser, shape: Sequence[int], n: int, sigma: float, seed: int = 0, first: int = 0) -> Tensor:
    """Noise of level sigma round the middle of the denoiser's value range, (n, *shape), float32, from `(seed, i)`."""
    where = next((p.device for p in denoiser.parameters()), torch.device("cpu"))
    z = normal_like(torch.empty(n, *shape, device=where), generators(seed, range(first, first + n)))
    low, high = denoiser.card.value_range or (0.0, 0.0)
    return (low + high) / 2 + sigma * z


def default_grid(denoiser: Denoiser, steps: int) -> Tensor:
    """The Karras grid over the card's sigma range; its open ends become 0.002 and 80."""
    low, high = denoiser.card.sigma_range or (0.0, math.inf)
    return karras(steps, low or 0.002, 80.0 if math.isinf(high) else high)


@torch.inference_mode()
def invert(denoiser: Denoiser, x: Tensor, sigmas: Tensor | Sequence[float], **conditions: Any) -> Tensor:
    """The noise that a deterministic sampler turns into x: the probability flow run backwards with Heun's method.

    Parameters
    ----------
    x : data (B, *shape).
    sigmas : the falling grid of the sampler; the result belongs to its first level.

    Raises `InputError` for sigmas that do not fall, `UnnoiseError` for estimates that are not finite.

    Source: Song et al. 2021, 2011.13456, appendix D.
    """
    levels = [s for s in check_sigmas(sigmas) if s > 0][::-1]
    dtype, z = x.dtype, x.double()

    def estimate(z: Tensor, s: float) -> Tensor:
        x0 = denoiser(z.to(dtype), s, **conditions).double()
        if not bool(torch.isfinite(x0).all()):
            raise UnnoiseError(f"the denoiser gave values that are not finite at sigma {s:g}: try float32")
        return x0

    # The sampler's last step replaces the state by its clean estimate; this solves D(z) = x to second order.
    z = z + (z - estimate(z, levels[0]))
    for s, t in pairwise(levels):
        d = (z - estimate(z, s)) / s
        ahead = z + (t - s) * d
        z = z + (t - s) * (d + (ahead - estimate(ahead, t)) / t) / 2
    return z.to(dtype)


def log_likelihood(
    denoiser: Denoiser,
    x: Tensor,
    sigmas: Tensor | Sequence[float],
    *,
    probes: int | None = None,
    seed: int = 0,
    **conditions: Any,
) -> Tensor:
    """Log-density (B,) of x in nats, with noise of the grid's lowest level added in law, by the probability flow.

    `log p(x) = log N(x_T; mean, sigma_T**2) + integral of (d - tr J) / sigma`, Heun's method; the trace of the
    Jacobian is exact, d products, or with `probes` Hutchinson's estimate from that many random vectors. The start is
    taken as Gaussian of the first level, which must be far above the spread of the data.

    Raises
    ------
    InputError : sigmas that do not fall, fewer probes than 1, a denoiser that computes without gradients.

    Source: Song et al. 2021, 2011.13456, eq. 39; bits a dimension are `-log p / (d log 2)`, plus 7 for 8-bit data
    scaled to [-1, 1].
    """
    levels = [s for s in check_sigmas(sigmas) if s > 0][::-1]
    if probes is not None and probes < 1:
        raise InputError(f"the trace needs at least one random vector, got probes={probes}")
    z, d = x.double(), x[0].numel()
    if probes is None:
        vectors = torch.eye(d, dtype=torch.float64, device=x.device).reshape(d, 1, *x.shape[1:]).expand(d, *x.shape)
    else:
        drawn = [normal_like(z, [generator(seed, i, p) for i in range(len(x))]) for p in range(probes)]
        vectors = torch.stack(drawn).sign() / math.sqrt(probes)

    def slope(z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        def f(u: Tensor) -> Tensor:
            return denoiser(u.to(x.dtype), s, **conditions).double()

        def along(v: Tensor) -> tuple[Tensor, Tensor]:
            pair: Any = torch.func.jvp(f, (z,), (v,))
            return pair

        estimates, moved = torch.func.vmap(along, chunk_size=max(1, ROWS // len(x)))(vectors)
        trace = (moved * vectors).flatten(2).sum((0, 2))
        return (z - estimates[0]) / s, (d - trace) / s

    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    with torch.no_grad(), differentiable(denoiser):
        require_gradients(denoiser, x, levels[0], conditions)
        for s, t in pairwise(levels):
            d1, r1 = slope(z, s)
            d2, r2 = slope(z + (t - s) * d1, t)
            z = z + (t - s) * (d1 + d2) / 2
            total += (t - s) * (r1 + r2) / 2
        last = levels[-1]
        middle = denoiser(z.to(x.dtype), last, **conditions).double()  # all but the mean of the data, at this level
    at_end = -0.5 * (((z - middle) / last) ** 2).flatten(1).sum(1) - d * (math.log(last) + 0.5 * math.log(2 * math.pi))
    return at_end + total


class _Counted(Denoiser):
    """A denoiser that counts its calls, for each sample."""

    def __init__(self, denoiser: Denoiser, batch: int) -> None:
        super().__init__()
        self.denoiser, self.card = denoiser, denoiser.card
        self.batch, self.calls = batch, 0

    @property
    def nfe(self) -> Tensor:
        return torch.full((self.batch,), self.calls, dtype=torch.int64)

    def forward(self, y: Tensor, sigma: Any = None, **conditions: Any) -> Tensor:
        self.calls += 1
        return self.denoiser(y, sigma, **conditions)

    def with_variance(self, y: Tensor, sigma: Any = None, **conditions: Any) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return learnt_variance(self.denoiser)(y, sigma, **conditions)
