"""Distributions whose posterior mean is known exactly: four blobs in the plane, digits, numeric tables."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.denoiser import Empirical, GaussianMixture
from unnoise.errors import MissingExtra, unknown
from unnoise.explain.score_estimation import KernelScoreRegressor, Samples, draw_samples, process
from unnoise.noise.seeds import generator

T_MAX = 2.0
NEVER = 1e12  # steps, after which every label is met


@dataclass(frozen=True, eq=False)
class Target:
    """Clean data with its exact denoiser; states beyond `radius` are dropped, times begin at `t_min`."""

    exact: GaussianMixture | Empirical
    radius: float
    t_min: float

    def sample(self, n: int, seed: int) -> Tensor:
        """n independent clean points (n, d), float64."""
        g = generator(seed)
        if isinstance(self.exact, GaussianMixture):
            return self.exact.sample(n, g)
        return self.exact.data[torch.randint(len(self.exact.data), (n,), generator=g)]

    def truth(self, x: Tensor, t: Tensor) -> Tensor:
        """`E[X_0 | X_t = x]`, (n, d): x / alpha is clean data with noise of sqrt(h) / alpha."""
        alpha, h = process(t)
        return self.exact(x / alpha[:, None], h.sqrt() / alpha)

    def noise(self, s: Samples) -> Tensor:
        """Standard deviation (d,) of the labels about the truth, from the posterior's exact covariance."""
        alpha, h = process(s.t)
        covariance = self.exact.posterior_cov(s.x / alpha[:, None], h.sqrt() / alpha)
        return covariance.diagonal(dim1=1, dim2=2).mean(0).sqrt()

    def states(self, n: int, seed: int = 99) -> Samples:
        """Fresh states to test with, inside the radius."""
        return draw_samples(self.sample(n, seed), t_min=self.t_min, t_max=T_MAX, radius=self.radius, seed=seed)

    def fitted(self, n: int, seed: int) -> KernelScoreRegressor:
        """A kernel regression on n points, not yet stopped anywhere."""
        regressor = KernelScoreRegressor(t_min=self.t_min, t_max=T_MAX, radius=self.radius, stop=0, seed=seed)
        return regressor.fit(self.sample(n, seed))


def blobs(t_min: float = 0.1) -> Target:
    """Four Gaussians of width 0.15 on the axes of the plane, of unequal weights."""
    means = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    return Target(GaussianMixture([0.4, 0.3, 0.2, 0.1], means, 0.15), 3.0, t_min)


def digits(d: int) -> Target:
    """scikit-learn's 1,797 digits on their first d principal components, the farthest at distance 1."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as e:
        raise MissingExtra("learn") from e
    x = torch.as_tensor(load_digits().data, dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.svd(x, full_matrices=False)[2][:d].T
    x = x / x.norm(dim=1).max()
    return Target(Empirical(x), 1 + d**0.5 + 3.0, 0.05)


TABLES = ("breast_cancer", "diabetes", "wine")


def table(name: str) -> Target:
    """The rows of one of scikit-learn's numeric `TABLES`, columns standardised.

    The farthest twentieth of the rows is drawn in to the distance of the others, which is then made 1: the theorems ask
    for bounded data, and a few outliers would set the scale of all.
    """
    try:
        from sklearn import datasets
    except ImportError as e:
        raise MissingExtra("learn") from e
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    x = torch.as_tensor(getattr(datasets, f"load_{name}")().data, dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0)
    norm = x.norm(dim=1, keepdim=True)
    bound = norm.quantile(0.95)
    x = x / norm.clamp(min=float(bound))
    return Target(Empirical(x), 1 + x.shape[1] ** 0.5 + 3.0, 0.05)


def error(f: Tensor, truth: Tensor) -> float:
    """Mean squared distance of f (n, d) and the truth."""
    return float((f - truth).square().sum(1).mean())


def grid(most: int) -> list[int]:
    """Numbers of steps, twelve a decade, zero first."""
    tau, steps = 1.0, {0, most}
    while tau < most:
        steps.add(round(tau))
        tau *= 10 ** (1 / 12)
    return sorted(steps)
