"""The two-layer network of fixed signs, trained by full-batch gradient descent as long as its kernel says.

Han, Razaviyayn and Xu 2024 (2401.15604).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.explain.score_estimation.kernel import KernelScoreRegressor
from unnoise.noise.seeds import generator


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
