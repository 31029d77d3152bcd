"""Kernel regression by gradient descent in closed form: what the network is in the limit of infinite width.

Han, Razaviyayn and Xu 2024 (2401.15604).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError, unknown
from unnoise.explain.score_estimation.samples import ROWS, Samples, default_radius, draw_samples, label_noise, process
from unnoise.explain.score_estimation.stopping import RULES, evolved, stop_rwy
from unnoise.noise.seeds import generator

LARGEST = 20_000  # samples: the kernel matrix takes n**2 * 8 bytes


def kappa(a: Tensor, b: Tensor) -> Tensor:
    """The tangent kernel of infinite width, `a.b (pi - angle) / (2 pi)`, of rows (n, p) and (m, p): (n, m)."""
    inner = a @ b.T
    norms = a.norm(dim=1)[:, None] * b.norm(dim=1)
    angle = (inner / norms.clamp(min=1e-300)).clamp(-1, 1).arccos()
    return inner * (math.pi - angle) / (2 * math.pi)


@dataclass
class KernelScoreRegressor:
    """Gradient descent in the kernel's function space, in closed form for every number of steps.

    Parameters
    ----------
    t_min, t_max, radius : as in `draw_samples`. Outside the radius f is 0 and the score -x / h.
    append_bias : add a constant input; without it f is homogeneous in (x, t).
    stop : "holdout" (least loss on a fifth of the samples), "rwy", "rwy_vector" (each coordinate its own noise, the
        common minimum), "discrepancy" (training residual down to the noise), or a number of steps.
    step_size : or "auto", one over the largest eigenvalue; 2 over it and more diverges.
    noise : (d,) standard deviation of the labels about f, for the rules; estimated from neighbours when `None`.
    most : largest number of steps a rule may choose.
    method : "exact", up to 20,000 samples, or "nystrom": the kernel restricted to what `landmarks` of the samples span,
        whose memory and time grow linearly with n.
    landmarks : number of them.
    seed : of times, noise and landmarks.

    Attributes
    ----------
    samples_ : what was regressed. eigenvalues_, vectors_ : of the kernel matrix, rising. step_size_, stopping_time_ :
        chosen.
    """

    t_min: float = 0.1
    t_max: float = 2.0
    radius: float | None = None
    append_bias: bool = True
    stop: Literal["holdout", "rwy", "rwy_vector", "discrepancy"] | int = "holdout"
    step_size: float | Literal["auto"] = "auto"
    noise: Tensor | None = None
    most: int = 3000
    method: Literal["exact", "nystrom"] = "exact"
    landmarks: int = 1000
    seed: int = 0
    samples_: Samples = field(init=False, repr=False)

    def fit(self, x0: Tensor) -> KernelScoreRegressor:
        """Regress on one noise draw of every clean point (n, d).

        Raises `InputError` for n above 20,000 with the exact method, an unknown rule or method, a negative number of
        steps, or a step size that is not above 0 or diverges.
        """
        if isinstance(self.stop, str) and self.stop not in RULES:
            raise unknown("stopping rule", self.stop, RULES)
        if self.most < 1 or self.landmarks < 1:
            raise InputError(f"most and landmarks must be at least 1, got {self.most} and {self.landmarks}")
        if self.method not in ("exact", "nystrom"):
            raise unknown("method", self.method, ("exact", "nystrom"))
        x0 = torch.as_tensor(x0, dtype=torch.float64)
        if len(x0) > LARGEST and self.method == "exact":
            raise InputError(
                f"the kernel matrix of {len(x0)} samples needs {8e-9 * len(x0) ** 2:.0f} GB: use method='nystrom', or "
                "take fewer"
            )
        self.radius_ = default_radius(x0) if self.radius is None else self.radius
        self.samples_ = draw_samples(x0, t_min=self.t_min, t_max=self.t_max, radius=self.radius_, seed=self.seed)
        s = self.samples_
        if not len(s.x):
            raise InputError(f"none of the {len(x0)} samples lies in the radius {self.radius_:g}: take a larger one")
        self.z_ = self._inputs(s.x, s.t)
        self._span()
        self.eigenvalues_, self.vectors_, self._project = _decomposed(self._features(self.z_), self.method)
        top = float(self.eigenvalues_[-1])
        self.step_size_ = 1 / top if self.step_size == "auto" else float(self.step_size)
        if not 0 < self.step_size_ < 2 / top:
            raise InputError(
                f"a step size of {self.step_size_:g} diverges or stands still: it must lie between 0 and "
                f"2 / l_max = {2 / top:g}"
            )
        self.stopping_time_ = self.stopping_time(self.stop)
        return self

    def gamma(self, tau: float, labels: Tensor | None = None) -> Tensor:
        """Coefficients after tau steps from zero, (n, d) of the kernel functions, or (landmarks, d)."""
        labels = self.samples_.x0 if labels is None else labels
        return self.vectors_ @ (evolved(self.eigenvalues_, self.step_size_, tau)[:, None] * (self._project.T @ labels))

    def predict_x0(
        self, x: Tensor, t: Tensor, tau: float | Sequence[float] | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """f (n, d) at states x (n, d) and times t (n,).

        Parameters
        ----------
        tau : steps; the stopping time by default. Of several, one f each: (len(tau), n, d).
        labels : regressed in place of the clean data; f is linear in them.
        """
        x, t = self._checked(x, t)
        rows = self._features(self._inputs(x, t)) * (x.norm(dim=1, keepdim=True) <= self.radius_)
        if isinstance(tau, Sequence):
            return torch.stack([rows @ self.gamma(each, labels) for each in tau])
        return rows @ self.gamma(self.stopping_time_ if tau is None else tau, labels)

    def score(self, x: Tensor, t: Tensor, tau: float | None = None) -> Tensor:
        """`(alpha f - x) / h`, (n, d)."""
        alpha, h = process(torch.as_tensor(t, dtype=torch.float64))
        return (alpha[:, None] * self.predict_x0(x, t, tau) - x) / h[:, None]

    def denoiser(self) -> Denoiser:
        """The learnt f as a denoiser: `D(y, sigma) = f(t, alpha y)`, `t = log(1 + sigma**2)` held in [t_min, t_max]."""
        return _Learnt(self)

    def _span(self) -> None:
        """Landmarks and the inverse square root of their kernel matrix, for the method that needs them."""
        if self.method == "nystrom":
            chosen = torch.randperm(len(self.z_), generator=generator(self.seed, 2))[: self.landmarks]
            self._anchors = self.z_[chosen]
            values, vectors = torch.linalg.eigh(kappa(self._anchors, self._anchors))
            kept = values > 1e-10 * values[-1]
            self._whiten = vectors[:, kept] / values[kept].sqrt()

    def _features(self, z: Tensor) -> Tensor:
        """Kernel with every sample, or Nystrom's features, whose inner products are close to the kernel."""
        if self.method == "exact":
            return kappa(z, self.z_)
        return torch.cat([kappa(part, self._anchors) @ self._whiten for part in z.split(ROWS)])

    def _inputs(self, x: Tensor, t: Tensor) -> Tensor:
        parts = [x, t[:, None]] + ([torch.ones_like(t)[:, None]] if self.append_bias else [])
        return torch.cat(parts, 1)

    def _checked(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, t = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(t, dtype=torch.float64)
        d = self.samples_.x0.shape[1]
        if x.ndim != 2 or x.shape[1] != d:
            raise InputError(f"states must be (n, {d}) as in fit, got {tuple(x.shape)}")
        return x, t.expand(len(x))

    def stopping_time(self, stop: str | int) -> int:
        """What a rule says of the fitted samples; a number of steps is what it is."""
        if isinstance(stop, int):
            if stop < 0:
                raise InputError(f"the number of steps must not be negative, got {stop}")
            return stop
        if stop not in RULES:
            raise unknown("stopping rule", stop, RULES)
        if stop == "holdout":
            return self._holdout()
        noise = label_noise(self.samples_, self.z_) if self.noise is None else torch.as_tensor(self.noise)
        if stop == "discrepancy":
            return self._discrepancy(float(noise.square().mean()))
        levels = noise.tolist() if stop == "rwy_vector" else [float(noise.square().mean().sqrt())]
        n = len(self.z_)
        return min(stop_rwy(self.eigenvalues_, self.step_size_, level, self.most, n) for level in levels)

    def _grid(self) -> list[int]:
        return sorted({round(10 ** (k / 12)) for k in range(int(12 * math.log10(self.most)) + 1)} | {0, self.most})

    def _holdout(self) -> int:
        """Least loss on every fifth sample, of a regression on the others."""
        if len(self.z_) < 5:
            raise InputError(f"hold-out needs 5 samples or more, got {len(self.z_)}: name a number of steps as stop")
        held = torch.arange(len(self.z_)) % 5 == 4
        features, y = self._features(self.z_), self.samples_.x0
        kept = features[~held][:, ~held] if self.method == "exact" else features[~held]
        across = features[held][:, ~held] if self.method == "exact" else features[held]
        values, vectors, project = _decomposed(kept, self.method)
        across, projected = across @ vectors, project.T @ y[~held]
        losses = {
            tau: float(
                (across @ (evolved(values, self.step_size_, tau)[:, None] * projected) - y[held]).square().mean()
            )
            for tau in self._grid()
        }
        return min(losses, key=lambda tau: losses[tau])

    def _discrepancy(self, variance: float) -> int:
        """First tau whose mean squared residual is at most the noise's variance."""
        y, l = self.samples_.x0, self.eigenvalues_.clamp(min=0)  # noqa: E741
        inside = (self._project.T @ y).square().sum(1)
        if self.method == "nystrom":
            inside = inside / l.clamp(min=1e-14)  # onto unit vectors
        total = float(y.square().sum())
        for tau in self._grid():
            left = 1 - l * evolved(l, self.step_size_, tau)
            if total - float(((1 - left**2) * inside).sum()) <= variance * y.numel():
                return tau
        return self.most


def _decomposed(features: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues (k,) of the kernel matrix, V and P such that `features V f(l) P^T y` is the regression on y.

    Exact: the features are the kernel matrix itself. Nystrom: (n, m), whose product with their transpose approaches it.
    """
    if method == "exact":
        values, vectors = torch.linalg.eigh(features)
        return values, vectors, vectors
    values, vectors = torch.linalg.eigh(features.T @ features)
    return values, vectors, features @ vectors


class _Learnt(Denoiser):
    """What `denoiser()` returns."""

    def __init__(self, regressor: KernelScoreRegressor) -> None:
        super().__init__()
        self.regressor = regressor
        self.card = Card(kind="any", value_range=None, sigma_range=(0.0, math.inf))

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        s = expand_sigma(sigma, y).double().reshape(-1, *(1,) * (y.ndim - 1))
        t = torch.log1p(s**2).clamp(self.regressor.t_min, self.regressor.t_max).flatten().expand(len(y))
        alpha = process(t)[0][:, None]
        return self.regressor.predict_x0(alpha * y.double().flatten(1), t).reshape(y.shape).to(y.dtype)
