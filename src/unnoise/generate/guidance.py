"""Classifier-free guidance as a combinator: `Guided(D, scale, policy)` is a denoiser that pulls towards a condition.

`D_cfg = D_u + scale (D_c - D_u)`: scale 1 is conditional, 0 unconditional (the original paper counts from 0). The
formula is the same for eps, x0 and v because they differ by an affine map at fixed y and sigma. A policy decides,
evaluation by evaluation, which of the two estimates are made at all: that is where time is saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma, expand_sigma
from unnoise.errors import InputError, unknown


class Policy(Protocol):
    """How a trajectory is guided: stateless; what it must remember lives in the trajectory's `memory`."""

    def guide(self, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """The estimate that the sampler gets."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What guidance did in one run: evaluations of the network a sample, and the cosine where it was measured.

    Attributes
    ----------
    nfe : (n,) integers.
    gamma : (evaluations, n), NaN where only one estimate was made.
    switched_at : (n,) evaluation from which an adaptive policy went on without guidance, -1 for never.
    """

    nfe: Tensor
    gamma: Tensor
    switched_at: Tensor


class Guided(Denoiser):
    """A conditional denoiser under classifier-free guidance (Ho and Salimans 2022, eq. 6).

    Parameters
    ----------
    denoiser : takes conditions, for which `None` means none.
    scale : guidance scale; 1 asks for the conditional estimate alone, 0 for the unconditional alone.
    policy : `Full()` (both estimates at every evaluation), `Interval`, `Table`, or `adaptive_guidance.Adaptive`; in
        words, `policies.parse_policy`.
    negative : conditions of the estimate to move away from (a negative prompt); by default none at all.
    rescale : 0 to 1, how far the estimate's standard deviation is put back to that of the conditional one (Lin et al.
        2023, eq. 15; there on the network's output, here on the clean estimate).
    threshold : quantile of |x| (about the middle of the value range) to which each sample is clipped and rescaled when
        it leaves the value range: dynamic thresholding (Saharia et al. 2022, section 2.3); `None` for none.

    Notes
    -----
    Samplers call `trajectory()` and so begin with a fresh memory; called directly, every call is a first one.

    Raises
    ------
    InputError : a denoiser without conditions, a scale that is not finite, rescale or threshold out of range.

    Examples
    --------
    >>> from unnoise.denoiser import GaussianMixture
    >>> d = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], 0.1, labels=[0, 1])
    >>> y, label = torch.zeros(1, 1), torch.tensor([1])
    >>> round(d(y, 2.0, label=label).item(), 3), round(Guided(d, 3.0)(y, 2.0, label=label).item(), 3)
    (0.998, 2.993)
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float,
        policy: Policy | None = None,
        *,
        negative: Mapping[str, Any] | None = None,
        rescale: float = 0.0,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if not denoiser.card.conditions:
            raise InputError("guidance needs a denoiser that takes a condition; this one is unconditional")
        if not math.isfinite(scale):
            raise InputError(f"the guidance scale must be a finite number, got {scale:g}")
        if surplus := set(negative or {}) - set(denoiser.card.conditions):
            raise InputError(f"negative names {sorted(surplus)}; the denoiser takes {list(denoiser.card.conditions)}")
        if not 0 <= rescale <= 1 or not (threshold is None or 0 < threshold <= 1):
            raise InputError("rescale must be between 0 and 1 and threshold a quantile above 0, up to 1")
        self.denoiser, self.scale, self.policy = denoiser, float(scale), policy or Full()
        self.negative, self.rescale, self.threshold = dict(negative or {}), rescale, threshold
        self.card = denoiser.card

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Guided clean estimate of y (B, *shape)."""
        return self.trajectory()(y, sigma, **conditions)

    def trajectory(self) -> Trajectory:
        """The same denoiser with a memory of its own, for one run of a sampler."""
        return Trajectory(self)


class Trajectory(Denoiser):
    """One guided run: counts evaluations for every sample and keeps what its policy must remember.

    A used one is refused by samplers, since a stale memory would leave the next picture unguided.
    """

    def __init__(self, guided: Guided) -> None:
        super().__init__()
        self.guided, self.card = guided, guided.card
        self.i, self.nfe = 0, torch.zeros(0, dtype=torch.int64)
        self.gamma: list[Tensor] = []
        self.memory: dict[str, Any] = {}

    def trajectory(self) -> Trajectory:
        """Itself, when it has not been used."""
        if self.i:
            raise InputError(
                "this trajectory has been run already: pass the Guided denoiser, or a new trajectory of it"
            )
        return self

    def trace(self) -> Trace:
        """What happened so far."""
        n = len(self.nfe)
        switched = self.memory.get("switched_at", torch.full((n,), -1))
        return Trace(self.nfe, torch.stack(self.gamma) if self.gamma else torch.zeros(0, n), switched)

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y under the policy."""
        given = {name: value for name, value in conditions.items() if value is not None}
        if not given:
            raise InputError("guidance needs a condition: pass one, or use the denoiser as it is")
        self.gamma.append(torch.full((len(y),), math.nan, dtype=torch.float64, device=y.device))
        scale = self.guided.scale
        if scale == 1:  # full speed: the other estimate would have no weight
            x0 = self.one(y, sigma, given)
        elif scale == 0:
            x0 = self.one(y, sigma, self._away(given))
        else:
            x0 = self.guided.policy.guide(self, y, sigma, given)
        self.i += 1
        return x0

    def one(self, y: Tensor, sigma: Sigma, conditions: Mapping[str, Any], rows: Tensor | None = None) -> Tensor:
        """One estimate, of the rows of a batch that a mask names or of all of them."""
        self._count(y, True if rows is None else rows)
        if rows is None:
            return self.guided.denoiser(y, sigma, **conditions)
        return self.guided.denoiser(y[rows], _rows(sigma, rows), **{k: _rows(v, rows) for k, v in conditions.items()})

    def unconditional(self, y: Tensor, sigma: Sigma, conditions: Mapping[str, Any]) -> Tensor:
        """The estimate that guidance moves away from."""
        return self.one(y, sigma, self._away(conditions))

    def both(
        self, y: Tensor, sigma: Sigma, conditions: Mapping[str, Any], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Conditional estimate of every row, unconditional one of the rows of the mask; in one batch where possible."""
        away = self._away(conditions)
        stacked = self._stackable(conditions, away)
        if not stacked:
            return self.one(y, sigma, conditions), self.one(y, sigma, away, rows)
        mask = torch.ones(len(y), dtype=torch.bool, device=y.device) if rows is None else rows
        self._count(y, 1 + mask)
        joined = {k: torch.cat([v, _fill(away[k], v)[mask]]) for k, v in conditions.items()}
        level = sigma
        if isinstance(sigma, Tensor) and sigma.ndim and len(sigma) == len(y):
            level = torch.cat([sigma, sigma[mask]])
        x0 = self.guided.denoiser(torch.cat([y, y[mask]]), level, **joined)
        return x0[: len(y)], x0[len(y) :]

    def combine(self, c: Tensor, u: Tensor, scale: float | None = None) -> Tensor:
        """`u + scale (c - u)`, with rescaling and thresholding as the guidance asks for."""
        g = self.guided
        x0 = u + (g.scale if scale is None else scale) * (c - u)
        if g.rescale > 0:
            dims = tuple(range(1, c.ndim))
            ratio = c.std(dims, keepdim=True) / x0.std(dims, keepdim=True)
            x0 = x0 * (g.rescale * ratio + 1 - g.rescale)
        if g.threshold is not None:
            low, high = g.card.value_range or (-1.0, 1.0)
            middle, half = (low + high) / 2, (high - low) / 2
            z = (x0 - middle) / half
            size = z.abs().flatten(1).to(torch.promote_types(z.dtype, torch.float32))  # what quantile takes
            s = size.quantile(g.threshold, dim=1).to(z).clamp(min=1).reshape(-1, *(1,) * (x0.ndim - 1))
            x0 = middle + half * z.clamp(-s, s) / s
        return x0

    def cosine(self, y: Tensor, sigma: Sigma, c: Tensor, u: Tensor, space: str = "x0", center: bool = False) -> Tensor:
        """`cosine` of both estimates, one a sample."""
        return cosine(self.guided, y, sigma, c, u, space, center)

    def _count(self, y: Tensor, evaluations: Tensor | bool) -> None:
        if not len(self.nfe):
            self.nfe = torch.zeros(len(y), dtype=torch.int64, device=y.device)
        self.nfe += evaluations

    def _away(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.guided.negative.get(name) for name in conditions}

    def _stackable(self, conditions: Mapping[str, Any], away: dict[str, Any]) -> bool:
        """Whether one batch can hold both estimates; fills in the values that mean none."""
        null = self.guided.denoiser.null or {}
        for name, value in away.items():
            away[name] = null.get(name) if value is None else value
        able = all(isinstance(v, Tensor) and away[k] is not None for k, v in conditions.items())
        if not able:
            away |= {name: None for name in away if name not in self.guided.negative}
        return able


@dataclass(frozen=True)
class Full:
    """Both estimates at every evaluation: plain classifier-free guidance."""

    def guide(self, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """`D_u + scale (D_c - D_u)`."""
        c, u = run.both(y, sigma, conditions)
        run.gamma[-1] = run.cosine(y, sigma, c, u)
        return run.combine(c, u)


@dataclass(frozen=True)
class Interval:
    """Guidance at noise levels in (low, high] only (Kynkäänniemi et al. 2024, eq. 5)."""

    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"an interval of guidance needs low < high, got {self.low:g} and {self.high:g}")

    def guide(self, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """Guided inside, conditional outside."""
        if self.low < float(torch.as_tensor(sigma).max()) <= self.high:
            return Full().guide(run, y, sigma, conditions)
        return run.one(y, sigma, conditions)


OPERATIONS = ("cfg", "cond", "uncond", "cached", "linear")


@dataclass(frozen=True)
class Table:
    """What to do at each evaluation, written out.

    Attributes
    ----------
    operations : one an evaluation: "cfg"; a number, for guidance of that scale; "cond"; "uncond"; "cached", which uses
        the last difference of both noise estimates again; or "linear", which estimates the unconditional one from what
        the run has seen.
    linear : for "linear": `adaptive_guidance.LinearAG`.
    """

    operations: tuple[str | float, ...]
    linear: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for operation in self.operations:
            if isinstance(operation, str) and operation not in OPERATIONS:
                raise unknown("operation", operation, OPERATIONS)
        if "linear" in self.operations and self.linear is None:
            raise InputError("the operation 'linear' needs fitted coefficients: pass linear=")
        if self.linear is not None and not {"cfg", "cond", "linear"}.issuperset(self.operations):
            raise InputError("with LinearAG the operations are cfg, cond and linear")

    def guide(self, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """The estimate of this evaluation's operation."""
        if run.i >= len(self.operations):
            raise InputError(f"the policy has {len(self.operations)} evaluations, the sampler asks for more of them")
        operation = self.operations[run.i]
        if self.linear is not None:
            return self.linear.guide_as(operation, run, y, sigma, conditions)
        if operation == "uncond":
            return run.unconditional(y, sigma, conditions)
        if operation == "cond":
            return run.one(y, sigma, conditions)
        s = expand_sigma(sigma, y)
        if operation == "cached":
            if "difference" not in run.memory:
                raise InputError("the operation 'cached' needs a 'cfg' before it")
            c = run.one(y, sigma, conditions)
            return run.combine(c, c - s * run.memory["difference"])
        c, u = run.both(y, sigma, conditions)
        run.gamma[-1] = run.cosine(y, sigma, c, u)
        run.memory["difference"] = (c - u) / s.clamp(min=1e-12)
        return run.combine(c, u, None if operation == "cfg" else float(operation))


def first(guided: int, evaluations: int) -> Table:
    """Guidance in the first evaluations, then conditional."""
    return Table(("cfg",) * guided + ("cond",) * (evaluations - guided))


def last(guided: int, evaluations: int) -> Table:
    """Conditional, then guidance in the last evaluations."""
    return Table(("cond",) * (evaluations - guided) + ("cfg",) * guided)


def alternating(evaluations: int, until: int | None = None, other: str = "cond", linear: Any = None) -> Table:
    """Guidance at every other of the first `until` evaluations (all of them by default), `other` elsewhere."""
    until = evaluations if until is None else until
    return Table(tuple("cfg" if i < until and i % 2 == 0 else other for i in range(evaluations)), linear)


SPACES = ("x0", "eps", "v", "raw")


def cosine(
    guided: Guided, y: Tensor, sigma: Sigma, c: Tensor, u: Tensor, space: str = "x0", center: bool = False
) -> Tensor:
    """Cosine of the angle between both estimates, one a sample, (B,).

    Parameters
    ----------
    y, sigma : the noisy input and its level. c, u : both clean estimates.
    space : in what they are compared, on the scale of networks, whose data lie in [-1, 1]: "x0", "eps", "v", or "raw",
        what the network itself puts out. Near pure noise the cosine of "eps" is close to 1 whatever the condition.
    center : subtract each channel's mean first.
    """
    if space not in SPACES:
        raise unknown("space", space, SPACES)
    y, c, u = (v.to(torch.promote_types(v.dtype, torch.float32)) for v in (y, c, u))
    low, high = guided.card.value_range or (-1.0, 1.0)
    middle, half = (low + high) / 2, (high - low) / 2
    s, z = expand_sigma(sigma, y) / half, (y - middle) / half
    denoiser: Any = guided.denoiser
    kind = getattr(denoiser, "param", "x0") if space == "raw" else space

    def seen(x0: Tensor) -> Tensor:
        x0 = (x0 - middle) / half
        if kind == "x0":
            return x0
        if kind == "edm":
            return (x0 - denoiser.schedule.c_skip(s) * z) / denoiser.schedule.c_out(s)
        eps = (z - x0) / s.clamp(min=1e-12)
        if kind == "v":
            return (eps - s * x0) / (1 + s**2).sqrt()
        return eps - x0 if kind == "flow" else eps  # a score is eps times a number

    a, b = seen(c), seen(u)
    if center:
        dims = tuple(range(2, a.ndim))
        a, b = a - a.mean(dims, keepdim=True), b - b.mean(dims, keepdim=True)
    return torch.nn.functional.cosine_similarity(a.flatten(1).double(), b.flatten(1).double())


def _rows(value: Any, rows: Tensor) -> Any:
    return value[rows] if isinstance(value, Tensor) and value.ndim and len(value) == len(rows) else value


def _fill(value: Any, like: Tensor) -> Tensor:
    """The value that means none, or the negative condition, for every sample."""
    if isinstance(value, Tensor):
        return value.to(like).expand_as(like)
    return torch.full_like(like, value)


def cost(operations: Sequence[str | float]) -> int:
    """Evaluations of the network that a table of operations costs one sample."""
    return sum(1 if operation in ("cond", "uncond", "cached", "linear") else 2 for operation in operations)
