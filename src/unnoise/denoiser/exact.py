"""Denoisers that are exact: the posterior mean of Gaussian mixtures and of finite sets of points, in closed form.

They are the ground truth against which samplers, guidance and learnt scores are judged.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError
from unnoise.noise.seeds import Randomness, normal_like, uniform_like

_CARD = Card(kind="any", value_range=None, sigma_range=(0.0, float("inf")), conditions=("label",))


class GaussianMixture(Denoiser):
    """`D(y, sigma) = E[x | y]` for x from a mixture of Gaussians; optionally conditional on a class.

    Parameters
    ----------
    weights : (K,) positive, normalised here.
    means : (K, d) of the components.
    covariance : standard deviations (K,) or a number (isotropic), or matrices (K, d, d).
    labels : (K,) class of each component; the condition `label` (B,) then restricts a sample to its class, and -1 or
        `None` to none. Without them the condition is refused.

    Notes
    -----
    With `S_k = C_k + sigma**2 I`: `r_k ~ w_k N(y; mu_k, S_k)` and `D = sum_k r_k (mu_k + C_k S_k^-1 (y - mu_k))`.
    The computation runs in the dtype of `y`; use float64 for reference values. One sigma a sample.

    Raises
    ------
    InputError : shapes that do not fit, weights that are not positive, an unknown label.

    Examples
    --------
    >>> d = GaussianMixture([1.0], [[0.5]], 1.0)
    >>> d(torch.tensor([[2.5]]), 1.0).item()
    1.5
    """

    def __init__(self, weights: Any, means: Any, covariance: Any, labels: Any = None) -> None:
        super().__init__()
        w = torch.as_tensor(weights, dtype=torch.float64)
        mu = torch.as_tensor(means, dtype=torch.float64)
        c = torch.as_tensor(covariance, dtype=torch.float64)
        if mu.ndim != 2 or w.shape != mu.shape[:1] or not bool((w > 0).all()):
            raise InputError(
                f"a mixture needs positive weights (K,) and means (K, d), got {tuple(w.shape)}, {tuple(mu.shape)}"
            )
        count, d = mu.shape
        if c.ndim < 3:
            if not bool((c >= 0).all()) or c.ndim > 1 or (c.ndim == 1 and len(c) != count):
                raise InputError(f"standard deviations must be a number or ({count},) and not negative")
            values, vectors = c.expand(count)[:, None].square().expand(count, d), None
        else:
            if c.shape != (count, d, d):
                raise InputError(f"covariances must be ({count}, {d}, {d}), got {tuple(c.shape)}")
            values, vectors = torch.linalg.eigh(c)
        self.register_buffer("log_w", (w / w.sum()).log())
        self.register_buffer("means", mu)
        self.register_buffer("values", values.clamp(min=0))
        self.register_buffer("vectors", vectors)
        self.register_buffer("labels", None if labels is None else torch.as_tensor(labels))
        if labels is not None and self.labels.shape != (count,):
            raise InputError(f"labels must be one for each of the {count} components")
        self.card = _CARD if labels is not None else Card(**{**vars(_CARD), "conditions": ()})
        self.null = {"label": -1} if labels is not None else None

    log_w: Tensor
    means: Tensor
    values: Tensor
    vectors: Tensor | None
    labels: Any

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Posterior mean of `y` (B, *any) with d numbers a sample; `label` (B,) integers."""
        flat, s = y.flatten(1), _one_level(sigma, y)
        r, centred, values = self._posterior(flat, s, conditions)
        shrunk = centred * (values / (values + s[:, None, None] ** 2))
        mean = self.means.to(y.dtype) + self._back(shrunk)
        return (r[..., None] * mean).sum(1).reshape(y.shape)

    def log_prob(self, y: Tensor, sigma: Sigma = 0.0, **conditions: Any) -> Tensor:
        """Log-density (B,) of noisy data at noise level sigma, in nats."""
        flat, s = y.flatten(1), _one_level(sigma, y)
        centred, values = self._coordinates(flat)
        return torch.logsumexp(self._log_joint(centred, values, s, conditions), 1)

    def posterior_cov(self, y: Tensor, sigma: Sigma, **conditions: Any) -> Tensor:
        """Covariance (B, d, d) of x given y: sigma**2 times the Jacobian of D."""
        flat, s = y.flatten(1), _one_level(sigma, y)
        r, centred, values = self._posterior(flat, s, conditions)
        gain = values / (values + s[:, None, None] ** 2)
        m = self.means.to(y.dtype) + self._back(centred * gain)
        inner = torch.diag_embed(gain * s[:, None, None] ** 2)
        if self.vectors is not None:
            v = self.vectors.to(y.dtype)
            inner = v @ inner @ v.mT
        centred_means = m - (r[..., None] * m).sum(1, keepdim=True)
        between = centred_means[..., :, None] * centred_means[..., None, :]
        return (r[..., None, None] * (inner + between)).sum(1)

    def sample(self, n: int, randomness: Randomness = None, label: int | None = None) -> Tensor:
        """n draws of clean data (n, d), float64; of one class when `label` is given."""
        like = self.means.new_empty(n, 1 + self.means.shape[1])
        u = uniform_like(like[:, :1], randomness)
        given = {} if label is None else {"label": torch.full((n,), label, device=self.means.device)}
        w = self._masked(n, given).softmax(1).cumsum(1)
        k = torch.searchsorted(w.contiguous(), u * w[:, -1:]).clamp(max=w.shape[1] - 1)[:, 0]
        z = normal_like(like[:, 1:], randomness) * self.values[k].sqrt()
        return self.means[k] + (z if self.vectors is None else (self.vectors[k] @ z[..., None])[..., 0])

    def _coordinates(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """`y - mu_k` in the eigenbasis of C_k (B, K, d), and the eigenvalues (K, d)."""
        centred = flat[:, None] - self.means.to(flat.dtype)
        if self.vectors is not None:
            centred = (centred[..., None, :] @ self.vectors.to(flat.dtype))[..., 0, :]
        return centred, self.values.to(flat.dtype)

    def _back(self, coordinates: Tensor) -> Tensor:
        if self.vectors is None:
            return coordinates
        return (self.vectors.to(coordinates.dtype) @ coordinates[..., None])[..., 0]

    def _posterior(self, flat: Tensor, s: Tensor, conditions: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        centred, values = self._coordinates(flat)
        return self._log_joint(centred, values, s, conditions).softmax(1), centred, values

    def _log_joint(self, centred: Tensor, values: Tensor, s: Tensor, conditions: dict[str, Any]) -> Tensor:
        variance = values + s[:, None, None] ** 2
        log_n = -0.5 * (centred**2 / variance + variance.log() + math.log(2 * math.pi)).sum(-1)
        return log_n + self._masked(len(s), conditions).to(log_n.dtype)

    def _masked(self, batch: int, conditions: dict[str, Any]) -> Tensor:
        """Log-weights (B, K), those of other classes minus infinity."""
        label = _label(conditions, self.labels)
        if label is None:
            return self.log_w.expand(batch, -1)
        other = (self.labels != label[:, None]) & (label[:, None] >= 0)
        return self.log_w.masked_fill(other, -math.inf).log_softmax(1)


class Empirical(Denoiser):
    """`D(y, sigma) = E[x | y]` for x uniform on the rows of `data`: the softmax-weighted mean of the points.

    The denoiser that has memorised its training set; sampling it to zero noise lands on a point.

    Parameters
    ----------
    data : (N, *shape) points.
    labels : (N,) class of each point, for the condition `label` as in `GaussianMixture`.
    """

    def __init__(self, data: Any, labels: Any = None) -> None:
        super().__init__()
        x = torch.as_tensor(data)
        self.register_buffer("data", x.flatten(1))
        self.register_buffer("labels", None if labels is None else torch.as_tensor(labels))
        if labels is not None and len(self.labels) != len(x):
            raise InputError(f"there are {len(self.labels)} labels for {len(x)} points")
        self.card = _CARD if labels is not None else Card(**{**vars(_CARD), "conditions": ()})
        self.null = {"label": -1} if labels is not None else None

    data: Tensor
    labels: Any

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Posterior mean of `y` (B, *shape); at sigma = 0 the nearest point."""
        return (self.weights(y, sigma, **conditions) @ self.data.to(y.dtype)).reshape(y.shape)

    def weights(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Posterior probability (B, N) of each point."""
        x, flat, s = self.data.to(y.dtype), y.flatten(1), _one_level(sigma, y)
        distance = (x**2).sum(1) - 2 * flat @ x.T  # |y|**2 is the same for every point
        label = _label(conditions, self.labels)
        if label is not None:
            distance = distance.masked_fill((self.labels != label[:, None]) & (label[:, None] >= 0), math.inf)
        distance = distance - distance.amin(1, keepdim=True)
        tiny = torch.finfo(y.dtype).tiny ** 0.5
        return (-distance / (2 * s[:, None].clamp(min=tiny) ** 2)).softmax(1)

    def posterior_cov(self, y: Tensor, sigma: Sigma, **conditions: Any) -> Tensor:
        """Covariance (B, d, d) of x given y."""
        r, x = self.weights(y, sigma, **conditions), self.data.to(y.dtype)
        mean = r @ x
        return torch.einsum("bn,ni,nj->bij", r, x, x) - mean[:, :, None] * mean[:, None, :]


def _one_level(sigma: Sigma, y: Tensor) -> Tensor:
    """The noise level of each sample, (B,)."""
    s = expand_sigma(sigma, y)
    if s[0].numel() > 1:
        raise InputError("an exact denoiser takes one noise level a sample, not a map")
    return s.flatten().expand(y.shape[0])


def _label(conditions: dict[str, Any], labels: Any) -> Tensor | None:
    if surplus := set(conditions) - ({"label"} if labels is not None else set()):
        raise TypeError(f"unknown condition {sorted(surplus)}")
    label = conditions.get("label")
    if label is None:
        return None
    label = torch.as_tensor(label, device=labels.device)
    if bool((label < -1).any()) or not bool((torch.isin(label, labels) | (label == -1)).all()):
        raise InputError(f"unknown label: this denoiser knows {sorted(set(labels.tolist()))}, and -1 for none")
    return label
