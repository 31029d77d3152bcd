"""Adaptive Guidance: guidance only while it matters, by a threshold on the cosine of the two estimates; and LinearAG.

Castillo et al. 2025, "Adaptive Guidance: Training-free Acceleration of Conditional Diffusion Models" (2312.12487).
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unnoise.data.files import write_whole
from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma, expand_sigma
from unnoise.errors import InputError, unknown
from unnoise.generate.guidance import SPACES, Guided, Trajectory
from unnoise.generate.samplers import SAMPLERS
from unnoise.noise.grids import check_sigmas


@dataclass(frozen=True)
class Adaptive:
    """Guidance until the cosine of both estimates reaches `gamma_bar`, then conditional; each sample for itself.

    Attributes
    ----------
    gamma_bar : above 1 means always guided; -1 or less, one guided evaluation.
    space : in what the cosine is taken (see `guidance.cosine`). The paper writes eps, but for networks that predict the
        noise that cosine is near 1 from the first step and the rule would stop guidance at once; in "x0" it rises from
        0.9 to 1 as in the paper's figures.
    switch : "next": the crossing evaluation itself is still guided, for both estimates are there. "now": it is not,
        which is the equation read literally.
    min_steps : guided evaluations before the rule may stop them.
    center : subtract each channel's mean before the cosine.

    Notes
    -----
    The switch is one-way, as no unconditional estimate is made after it. A sample costs 2 k + (T - k) evaluations, k of
    them guided. Source: section 4.2, eq. 7 of the paper.
    """

    gamma_bar: float = 0.991
    space: str = "x0"
    switch: Literal["next", "now"] = "next"
    min_steps: int = 1
    center: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.gamma_bar):
            raise InputError("gamma_bar must be a number: above 1 never stops guidance, -1 stops it after one step")
        if self.space not in SPACES:
            raise unknown("space", self.space, SPACES)
        if self.switch not in ("next", "now"):
            raise unknown("switch", self.switch, ("next", "now"))
        if self.min_steps < 1:
            raise InputError(f"min_steps must be at least 1, got {self.min_steps}")

    def guide(self, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """Guided for the samples that have not crossed the threshold, conditional for the others."""
        never = torch.full((len(y),), -1, device=y.device)
        switched = run.memory.setdefault("switched_at", never)
        active = switched < 0
        if not bool(active.any()):
            return run.one(y, sigma, conditions)
        whole = bool(active.all())
        c, u = run.both(y, sigma, conditions, None if whole else active)
        rows = slice(None) if whole else active  # a view where all are guided, the usual case of the first steps
        level = sigma[rows] if isinstance(sigma, Tensor) and sigma.ndim and len(sigma) == len(y) else sigma
        gamma = run.cosine(y[rows], level, c[rows], u, self.space, self.center)
        run.gamma[-1] = run.gamma[-1].masked_scatter(active, gamma)
        run.memory["switched_at"], guided = self.decide(switched, run.i, gamma)
        x0 = run.combine(c[rows], u)
        if not whole:
            x0 = c.index_put((active,), x0)
        if self.switch == "next":  # whatever was guided stays guided in this evaluation
            return x0
        return torch.where(guided.reshape(-1, *(1,) * (y.ndim - 1)), x0, c)

    def decide(self, switched: Tensor, i: int, gamma: Tensor) -> tuple[Tensor, Tensor]:
        """The rule at evaluation i.

        Takes for each sample the evaluation from which it goes on alone, -1 for not yet (n,), and the cosines of those
        that do not yet; returns the former after this evaluation, and the mask of the samples that are guided in it.
        """
        if i == 0 and self.min_steps == 1 and float(gamma.min()) >= max(0.999, self.gamma_bar):
            mend = "center=True may tell them apart" if self.space == "x0" else "choose space='x0'"
            warnings.warn(
                f"the cosine in space '{self.space}' is {float(gamma.min()):.5f} at the first step, so guidance stops "
                f"at once: {mend}",
                stacklevel=2,
            )
        active = switched < 0
        crossed = torch.zeros_like(active).masked_scatter(active, gamma >= self.gamma_bar)
        crossed &= i + 1 >= self.min_steps
        guided = active & ~crossed if self.switch == "now" else active
        return torch.where(crossed, i + (self.switch == "next"), switched), guided


def evaluations(gamma: Tensor, gamma_bar: float, min_steps: int = 1) -> Tensor:
    """Evaluations of the network that `Adaptive` would cost each sample, (n,), from the cosines of full guidance.

    `gamma` (T, n) is `Trace.gamma` of a fully guided run: until a sample switches, its run is that one, so a single
    run tells what every threshold costs.

    >>> evaluations(torch.tensor([[0.5], [0.9], [0.99]]), 0.9).tolist()
    [5]
    """
    crossed = gamma >= gamma_bar
    crossed[: min_steps - 1] = False
    guided = torch.where(crossed.any(0), crossed.int().argmax(0) + 1, len(gamma))
    return len(gamma) + guided


def threshold(gamma: Tensor, nfe: float) -> float:
    """The largest `gamma_bar` that costs at most `nfe` evaluations on average over the samples; see `evaluations`.

    Raises `InputError` when even a single guided evaluation costs more.

    >>> threshold(torch.tensor([[0.5], [0.75], [0.875]]), 5.0)
    0.75
    """
    if nfe < len(gamma) + 1:
        raise InputError(f"{len(gamma)} evaluations and a guided one cost {len(gamma) + 1}: {nfe:g} are too few")
    values = gamma.flatten().double().unique()
    low, high = 0, len(values) - 1  # values[low] is affordable: at the least of all, every sample switches at once
    while low < high:
        middle = (low + high + 1) // 2
        if float(evaluations(gamma, float(values[middle])).double().mean()) <= nfe:
            low = middle
        else:
            high = middle - 1
    return float(values[low])


@dataclass(frozen=True, eq=False)
class LinearAG:
    """Unconditional noise estimates as linear combinations of what a run has seen (section 4.3 of the paper).

    `eps_u(x_i) = sum_{j<=i} b_c[i,j] eps_c(x_j) + sum_{j<i} b_u[i,j] eps_u(x_j)`, scalars fitted by least squares once
    for a network, sampler, grid and scale; they are refused for any other. Made by `fit_linear`; used as the operation
    "linear" of a `Table`, where estimates stand in for the values that were not computed.

    Attributes
    ----------
    coefficients : for each evaluation i, 2 i + 1 numbers: those of eps_c, then those of eps_u.
    residuals : root mean square of what each fit left, relative to eps_u.
    sigmas : noise level of each evaluation.
    scale, sampler, network : what they belong to.
    """

    coefficients: tuple[tuple[float, ...], ...]
    residuals: tuple[float, ...]
    sigmas: tuple[float, ...]
    scale: float
    sampler: str
    network: str

    def save(self, path: str | Path) -> Path:
        """Write JSON."""
        return write_whole(Path(path), json.dumps(vars(self)).encode())

    @classmethod
    def load(cls, path: str | Path) -> LinearAG:
        """Read what `save` wrote; raises `InputError` for anything else."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            values["coefficients"] = tuple(tuple(map(float, row)) for row in values["coefficients"])
            values["residuals"], values["sigmas"] = tuple(values["residuals"]), tuple(values["sigmas"])
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path} holds no LinearAG coefficients: fit them again with fit_linear") from None

    def check(self, denoiser: nn.Module, sampler: str, scale: float) -> None:
        """Raise `InputError` unless the coefficients were fitted for this network, sampler and scale."""
        for what, mine, theirs in (
            ("sampler", self.sampler, sampler),
            ("guidance scale", self.scale, scale),
            ("network", self.network, fingerprint(denoiser)),
        ):
            if mine != theirs:
                raise InputError(
                    f"these LinearAG coefficients belong to the {what} {mine}, not {theirs}: fit them again"
                )

    def guide_as(
        self, operation: str | float, run: Trajectory, y: Tensor, sigma: Sigma, conditions: dict[str, Any]
    ) -> Tensor:
        """One evaluation under a `Table` with these coefficients."""
        if run.guided.negative:
            raise InputError("LinearAG was fitted on the estimate without a condition: leave the negative ones out")
        self.check_step(run.i, _level(sigma), run.guided.scale)
        if operation == "cfg":
            c, u = run.both(y, sigma, conditions)
            run.gamma[-1] = run.cosine(y, sigma, c, u)
            self.keep(run, y - c, y - u)
            return run.combine(c, u)
        c = run.one(y, sigma, conditions)
        noise_u = self.keep(run, y - c)
        return c if operation == "cond" else run.combine(c, y - noise_u)

    def check_step(self, i: int, sigma: float, scale: float) -> None:
        """Raise `InputError` unless evaluation i is at the noise level and scale it was fitted for."""
        if i >= len(self.sigmas) or not math.isclose(sigma, self.sigmas[i], rel_tol=1e-5):
            raise InputError("the noise levels are not those the LinearAG coefficients were fitted on: fit them again")
        if scale != self.scale:
            raise InputError(f"LinearAG was fitted for guidance of scale {self.scale:g}: fit it again for another")

    def keep(self, run: Trajectory, noise_c: Tensor, noise_u: Tensor | None = None) -> Tensor:
        """Remember what a run's estimates take from y, `sigma eps`, conditional and not; returns the latter.

        Where it is not given it is estimated. All lie in one buffer, c and u of each evaluation in turn, so that the
        combination is one product and nothing is gathered.
        """
        i = run.i
        if i == 0:
            run.memory["noise"] = noise_c.new_empty(2 * len(self.sigmas), noise_c.numel())
        known = run.memory["noise"]
        known[2 * i] = noise_c.flatten()
        if noise_u is None:
            b, ratio = self.coefficients[i], [self.sigmas[i] / s for s in self.sigmas[: i + 1]]
            weights = [0.0] * (2 * i + 1)
            weights[::2] = [w * r for w, r in zip(b[: i + 1], ratio, strict=True)]
            weights[1::2] = [w * r for w, r in zip(b[i + 1 :], ratio[:-1], strict=True)]
            noise_u = (known.new_tensor(weights) @ known[: 2 * i + 1]).view_as(noise_c)
        known[2 * i + 1] = noise_u.flatten()
        return noise_u


def fit_linear(
    denoiser: Denoiser,
    x_T: Tensor,
    sigmas: Tensor | Sequence[float],
    scale: float,
    *,
    sampler: str = "dpmpp_2m",
    ridge: float = 1e-6,
    **conditions: Any,
) -> LinearAG:
    """Fit LinearAG on fully guided runs from x_T (n, *shape) under the given conditions.

    `ridge` times the mean eigenvalue of the normal matrix is added to its diagonal. The rows of the least squares are
    all entries of all samples; only its normal equations, (2 i + 1)**2 numbers, are kept. The paper takes 200 runs.
    """
    if sampler not in SAMPLERS:
        raise unknown("sampler", sampler, SAMPLERS)
    recorder = _Recorder(Guided(denoiser, scale))
    with torch.no_grad():
        SAMPLERS[sampler](recorder, x_T, check_sigmas(sigmas), **conditions)
    fits = fit_steps(recorder.eps_c, recorder.eps_u, ridge)
    return LinearAG(*fits, tuple(recorder.levels), float(scale), sampler, fingerprint(denoiser))


def fit_steps(
    eps_c: Sequence[Tensor], eps_u: Sequence[Tensor], ridge: float
) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Coefficients and relative residuals for each evaluation, from both estimates of fully guided runs."""
    coefficients, residuals = [], []
    for i, target in enumerate(eps_u):
        b, residual = least_squares(torch.stack([*eps_c[: i + 1], *eps_u[:i]]), target, ridge)
        coefficients.append(tuple(b.tolist()))
        residuals.append(residual)
    return tuple(coefficients), tuple(residuals)


def least_squares(regressors: Tensor, target: Tensor, ridge: float = 0.0) -> tuple[Tensor, float]:
    """Coefficients (k,) with `sum_k b_k regressors[k] ~ target` by normal equations, and the relative residual."""
    a, t = regressors.flatten(1).double(), target.flatten().double()
    gram = a @ a.T
    gram = gram + ridge * gram.trace() / len(gram) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    b = torch.linalg.lstsq(gram, a @ t, driver="gelsd").solution  # regressors may be linearly dependent
    return b, float((t - b @ a).norm() / t.norm())


class _Recorder(Denoiser):
    """A fully guided run that keeps both noise estimates."""

    def __init__(self, guided: Guided) -> None:
        super().__init__()
        self.run, self.card = guided.trajectory(), guided.card
        self.eps_c: list[Tensor] = []
        self.eps_u: list[Tensor] = []
        self.levels: list[float] = []

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        c, u = self.run.both(y, sigma, conditions)
        s = expand_sigma(sigma, y)
        self.levels.append(float(s.max()))
        self.eps_c.append(((y - c) / s).double())
        self.eps_u.append(((y - u) / s).double())
        return self.run.combine(c, u)


def _level(sigma: Sigma) -> float:
    return sigma if isinstance(sigma, float) else float(torch.as_tensor(sigma).max())


def fingerprint(denoiser: nn.Module) -> str:
    """A short hash of a network's class and weights."""
    total = hashlib.sha256(type(denoiser).__name__.encode())
    for name, value in denoiser.state_dict().items():
        total.update(f"{name}{tuple(value.shape)}{float(value.double().sum()):.9e}".encode())
    return total.hexdigest()[:16]
