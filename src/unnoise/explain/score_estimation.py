"""Learning the score by gradient descent on a wide two-layer network, beside the kernel regression that it follows.

Han, Razaviyayn and Xu 2024, "Neural network-based score estimation in diffusion models: optimization and
generalization" (2401.15604). Forward process `dX = -X/2 dt + dB`: `X_t = alpha X_0 + sqrt(h) eps`, with
`alpha = exp(-t/2)` and `h = 1 - exp(-t)`. The network learns `f(t, x) = E[X_0 | X_t = x]`; the score is
`(alpha f - x) / h`. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.seeds import generator

LARGEST = 20_000  # samples: the kernel matrix takes n**2 * 8 bytes
ROWS = 2048  # of a distance matrix held at once
RULES = ("holdout", "rwy", "rwy_vector", "discrepancy")


@dataclass(frozen=True, eq=False)
class Samples:
    """Noisy regression data: times t (n,), states x (n, d) and labels, the clean data x0 (n, d)."""

    t: Tensor
    x: Tensor
    x0: Tensor


def draw_samples(
    x0: Tensor, *, t_min: float = 0.1, t_max: float = 2.0, radius: float | None = None, seed: int = 0
) -> Samples:
    """One noise draw for each clean point x0 (n, d), at uniform times; states outside the radius are dropped.

    By default the radius is `max |x0| + sqrt(d) + sqrt(2 log 100)`, which a state leaves with probability under 1 %.
    Raises `InputError` for data that are not finite or not (n, d), or times that are not 0 < t_min < t_max.
    """
    x0 = torch.as_tensor(x0, dtype=torch.float64)
    if x0.ndim != 2 or not bool(torch.isfinite(x0).all()):
        raise InputError(f"clean data must be finite numbers (n, d), got {tuple(x0.shape)}")
    if not 0 < t_min < t_max:
        raise InputError(f"times must be 0 < t_min < t_max, got {t_min:g} and {t_max:g}")
    g = generator(seed, 0)  # not the stream of generator(seed), with which the clean data may have been drawn
    t = t_min + (t_max - t_min) * torch.rand(len(x0), generator=g, dtype=torch.float64)
    alpha, h = process(t)
    x = alpha[:, None] * x0 + h.sqrt()[:, None] * torch.randn(x0.shape, generator=g, dtype=torch.float64)
    inside = x.norm(dim=1) <= (default_radius(x0) if radius is None else radius)
    return Samples(t[inside], x[inside], x0[inside])


def process(t: Tensor) -> tuple[Tensor, Tensor]:
    """`alpha(t) = exp(-t/2)` and `h(t) = 1 - exp(-t)`."""
    return (-t / 2).exp(), -torch.expm1(-t)


def default_radius(x0: Tensor) -> float:
    """Radius that a state leaves with probability under 1 %."""
    return float(x0.norm(dim=1).max()) + math.sqrt(x0.shape[1]) + math.sqrt(2 * math.log(100))


def kappa(a: Tensor, b: Tensor) -> Tensor:
    """The tangent kernel of infinite width, `a.b (pi - angle) / (2 pi)`, of rows (n, p) and (m, p): (n, m)."""
    inner = a @ b.T
    norms = a.norm(dim=1)[:, None] * b.norm(dim=1)
    angle = (inner / norms.clamp(min=1e-300)).clamp(-1, 1).arccos()
    return inner * (math.pi - angle) / (2 * math.pi)


def evolved(eigenvalues: Tensor, eta: float, tau: float) -> Tensor:
    """`(1 - (1 - eta l)**tau) / l`, the filter that tau steps of gradient descent apply; eta tau where l is 0."""
    l = eigenvalues.clamp(min=0)  # noqa: E741  # the eigenvalue of the formula
    grown = -torch.expm1(tau * torch.log1p(-(eta * l).clamp(max=1 - 1e-15)))
    return torch.where(l > 1e-14, grown / l.clamp(min=1e-14), eta * tau)


def stop_rwy(eigenvalues: Tensor, eta: float, noise: float, most: int = 100_000, n: int | None = None) -> int:
    """The last step at which the local complexity stays below `1 / (2 e sigma eta_tau)` (Raskutti et al. 2014, eq. 8).

    `eigenvalues` are those of the kernel matrix H, `noise` the standard deviation of the labels in one coordinate. The
    sum of step sizes is taken in the normalisation of H / n. `n` is the number of samples where the eigenvalues that
    are not given are 0.
    """
    n = len(eigenvalues) if n is None else n
    mu = eigenvalues.clamp(min=0) / n
    low, high = 0, most

    def holds(tau: int) -> bool:
        total = eta * n * tau
        complexity = float((torch.minimum(mu, torch.full_like(mu, 1 / total)).sum() / n).sqrt())
        return complexity <= 1 / (2 * math.e * noise * total)

    while low < high:  # the rule holds up to some tau and fails beyond it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


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

        Raises `InputError` for n above 20,000 with the exact method, an unknown rule or method, or a step size that
        diverges.
        """
        if isinstance(self.stop, str) and self.stop not in RULES:
            raise unknown("stopping rule", self.stop, RULES)
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
        self.z_ = self._inputs(s.x, s.t)
        self._span()
        self.eigenvalues_, self.vectors_, self._project = _decomposed(self._features(self.z_), self.method)
        top = float(self.eigenvalues_[-1])
        self.step_size_ = 1 / top if self.step_size == "auto" else float(self.step_size)
        if self.step_size_ >= 2 / top:
            raise InputError(f"a step size of {self.step_size_:g} diverges: it must be below 2 / l_max = {2 / top:g}")
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


@dataclass
class NTKScoreRegressor(KernelScoreRegressor):
    """The two-layer ReLU network itself, trained by full-batch gradient descent to the kernel's stopping time.

    `f_i(z) = m**-0.5 sum_r a_ri relu(w_r . z)` less its initial function; the signs a are fixed and independent for
    every output, only W (m, p) is trained, from standard normal numbers.

    Parameters
    ----------
    width : m.
    symmetric : every neuron twice with opposite signs, which makes the initial function 0.

    Attributes
    ----------
    weights_, initial_ : (m, p). signs_ : (m, d). history_ : training loss `sum |f - x0|**2 / 2` before each step.
    """

    width: int = 4096
    symmetric: bool = False

    def fit(self, x0: Tensor) -> NTKScoreRegressor:
        """Choose the stopping time in the kernel's world, then train the network that long."""
        super().fit(x0)
        g = generator(self.seed, 1)
        m, d = self.width, self.samples_.x0.shape[1]
        half = m // 2 if self.symmetric else m
        w = torch.randn(half, self.z_.shape[1], generator=g, dtype=torch.float64)
        a = torch.randn(half, d, generator=g, dtype=torch.float64).sign()
        self.initial_ = torch.cat([w, w]) if self.symmetric else w
        self.signs_ = torch.cat([a, -a]) if self.symmetric else a
        self.weights_ = self.initial_.clone()
        self.history_: list[float] = []
        self.train(self.stopping_time_)
        return self

    def train(self, steps: int) -> None:
        """Further steps of gradient descent."""
        start = self._raw(self.z_, self.initial_)
        for _ in range(steps):
            residual = self._raw(self.z_, self.weights_) - start - self.samples_.x0
            self.history_.append(0.5 * float(residual.square().sum()))
            self.weights_ = self.weights_ - self.step_size_ * self.gradient(residual)

    def gradient(self, residual: Tensor) -> Tensor:
        """Of the loss by the weights: `m**-0.5 sum_j 1{w_r . z_j > 0} (a_r . r_j) z_j`, (m, p)."""
        active = (self.z_ @ self.weights_.T > 0).double()
        return (active * (residual @ self.signs_.T)).T @ self.z_ / math.sqrt(len(self.weights_))

    def predict_x0(
        self, x: Tensor, t: Tensor, tau: float | Sequence[float] | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """f (n, d) after the steps taken so far; `tau` and `labels` belong to the kernel alone."""
        if tau is not None or labels is not None:
            raise InputError("the network is where its training left it: ask KernelScoreRegressor for other steps")
        x, t = self._checked(x, t)
        z = self._inputs(x, t)
        f = self._raw(z, self.weights_) - self._raw(z, self.initial_)
        return f * (x.norm(dim=1, keepdim=True) <= self.radius_)

    def _raw(self, z: Tensor, w: Tensor) -> Tensor:
        return (z @ w.T).relu() @ self.signs_ / math.sqrt(len(w))


@dataclass(frozen=True)
class Coupling:
    """How far network and kernel are apart after tau steps: root mean square of f, largest move of a weight, share of
    activations on the samples that have changed."""

    width: int
    tau: int
    rms: float
    move: float
    flips: float


def coupling(x0: Tensor, x: Tensor, t: Tensor, width: int, taus: list[int], **options: Any) -> list[Coupling]:
    """Train a network and compare it with its kernel at test states x (n, d), t (n,) after each of the rising taus."""
    net = NTKScoreRegressor(width=width, stop=0, **options).fit(x0)
    rows, done = [], 0
    before = net.z_ @ net.initial_.T > 0
    for tau in taus:
        net.train(tau - done)
        done = tau
        kernel = KernelScoreRegressor.predict_x0(net, x, t, tau)
        rms = float((net.predict_x0(x, t) - kernel).square().sum(1).mean().sqrt())
        move = float((net.weights_ - net.initial_).norm(dim=1).max())
        flips = float(((net.z_ @ net.weights_.T > 0) != before).double().mean())
        rows.append(Coupling(width, tau, rms, move, flips))
    return rows


@dataclass(frozen=True)
class ErrorTerms:
    """Root mean squared errors of f at test states: the whole, and four terms whose sum is at least as large.

    `coupling` network against kernel regression; `mismatch` the kernel regression on the noisy labels against that on
    labels made from f_H, the kernel's own approximation of the truth; `stopping` the latter against f_H;
    `approximation` f_H against the truth.
    """

    total: float
    coupling: float
    mismatch: float
    stopping: float
    approximation: float


Truth = Callable[[Tensor, Tensor], Tensor]


def error_terms(
    net: NTKScoreRegressor, truth: Truth, x: Tensor, t: Tensor, *, n: int = 1500, ridge: float = 1e-4
) -> ErrorTerms:
    """The paper's decomposition of the error, for a target whose posterior mean `truth(x, t)` is known.

    Parameters
    ----------
    net : fitted; its kernel regression is taken after as many steps as the network has had.
    x, t : test states (m, d) and times (m,).
    n : test states, the first of them, on whose exact labels f_H is fitted; the errors are measured on the others.
    ridge : its penalty, relative to the mean eigenvalue.

    Raises `InputError` when no test state is left.
    """
    if n >= len(x):
        raise InputError(f"f_H takes {n} test states of {len(x)}: pass a smaller n, or more states")
    z = net._inputs(x[:n], t[:n])
    h = kappa(z, z)
    penalty = ridge * float(h.diagonal().mean())
    solved = torch.linalg.solve(h + penalty * torch.eye(n, dtype=h.dtype), truth(x[:n], t[:n]))

    def f_h(x: Tensor, t: Tensor) -> Tensor:
        return kappa(net._inputs(x, t), z) @ solved

    x, t, s, tau = x[n:], t[n:], net.samples_, float(len(net.history_))
    exact, close = truth(x, t), f_h(x, t)
    off = truth(s.x, s.t) - f_h(s.x, s.t)
    f, kernel, moved = (
        net.predict_x0(x, t),
        KernelScoreRegressor.predict_x0(net, x, t, tau),
        KernelScoreRegressor.predict_x0(net, x, t, tau, labels=off),
    )

    def rms(a: Tensor) -> float:
        return float(a.square().sum(1).mean().sqrt())

    return ErrorTerms(rms(f - exact), rms(f - kernel), rms(moved), rms(kernel - moved - close), rms(close - exact))


def label_noise(samples: Samples, z: Tensor, k: int = 5) -> Tensor:
    """Standard deviation (d,) of the labels about their mean, from the k nearest samples of each."""
    k = min(k, len(z) - 1)
    nearest = torch.cat([torch.cdist(part, z).topk(k + 1, largest=False).indices for part in z.split(ROWS)])
    return samples.x0[nearest].var(1).mean(0).sqrt()


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
