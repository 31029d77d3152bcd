"""The primitive: a denoiser `D(y, sigma) -> x_hat`, its card, and the one interpreter of `sigma`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unnoise.errors import InputError

Sigma = float | Tensor | None


@dataclass(frozen=True)
class Card:
    """What a denoiser is for and what it promises; stored as JSON beside its weights.

    Attributes
    ----------
    kind : "photo", "raw", "cube", "video", "points" or "any".
    channels : number of channels taken, `None` for any.
    value_range : nominal range of clean data, `None` for any.
    sigma_range : noise levels it was made for, in data units; `None` for a blind denoiser, which ignores sigma.
    conditions : names of the keyword arguments that `forward` takes.
    reach : receptive-field radius in pixels; `None` when every output depends on the whole input.
    stride : pixel grid on which it is equivariant: shifting the input by a multiple of it shifts the output.
    precision : dtype of the arithmetic inside.
    training : data, command, minutes, steps.
    measured : results measured by the project's own reports.
    licence : of the weights, with that of the training data.
    """

    kind: str = "photo"
    channels: int | None = None
    value_range: tuple[float, float] | None = (0.0, 1.0)
    sigma_range: tuple[float, float] | None = None
    conditions: tuple[str, ...] = ()
    reach: int | None = None
    stride: int = 1
    precision: str = "float32"
    training: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    @property
    def blind(self) -> bool:
        """True when the denoiser needs no noise level."""
        return self.sigma_range is None

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Card:
        """Inverse of `to_dict` after a trip through JSON (lists become tuples again)."""
        tuples = {"value_range", "sigma_range", "conditions"}
        known: dict[str, Any] = {k: tuple(v) if k in tuples and v is not None else v for k, v in values.items()}
        return cls(**known)


class Denoiser(nn.Module):
    """Estimates clean `x` from `y = x + sigma * n`.

    A subclass sets `card` and writes `forward(y, sigma=None, *, <conditions>)`, which returns a tensor of y's
    shape and dtype. Noise-aware denoisers pass `sigma` through `expand_sigma`, which refuses `None`.

    `null` names, for each condition, the value that means none for one sample of a batch, where there is one: guidance
    can then ask for the conditional and the unconditional estimate in one call.
    """

    card: Card
    null: dict[str, Any] | None = None

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of y, same shape and dtype."""
        raise TypeError(f"{type(self).__name__} does not define forward(y, sigma)")


def expand_sigma(sigma: Sigma, y: Tensor) -> Tensor:
    """Bring a noise level into a shape that broadcasts against `y`: the only interpreter of `sigma`.

    Parameters
    ----------
    sigma : standard deviation in the data's units: a float or 0-d tensor (one level), a 1-D tensor of length
        `y.shape[0]` (one a sample), or a tensor of y's rank with broadcastable sizes (`(1, C, 1, 1)` a band, a map).
    y : the noisy data, `(batch, channels, *spatial)`.

    Returns
    -------
    Tensor of y's rank, dtype and device, not yet expanded to its sizes.

    Raises
    ------
    InputError : sigma is `None`, negative, not finite, or of a shape that does not fit.

    Examples
    --------
    >>> expand_sigma(torch.tensor([0.1, 0.2]), torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    if sigma is None:
        raise InputError("this denoiser needs the noise level: pass sigma, or wrap it in Blind to estimate it")
    if not isinstance(sigma, Tensor):
        level = float(sigma)  # a bound check on a Python float costs nothing; tensors are checked below
        if not (math.isfinite(level) and level >= 0):
            raise InputError(f"sigma must be a finite number >= 0, got {level:g}")
        return y.new_full((1,) * y.ndim, level)
    s = sigma.to(dtype=y.dtype, device=y.device)
    if s.ndim == 0:
        s = s.reshape((1,) * y.ndim)
    elif s.ndim == 1 and len(s) == y.shape[0]:
        s = s.reshape(-1, *(1,) * (y.ndim - 1))
    elif s.ndim != y.ndim or any(a not in (1, b) for a, b in zip(s.shape, y.shape, strict=True)):
        raise InputError(
            f"sigma of shape {tuple(sigma.shape)} fits no sample, channel or pixel of data of shape {tuple(y.shape)}"
        )
    if not bool(((s >= 0) & torch.isfinite(s)).all()):
        raise InputError("sigma must be finite and >= 0 everywhere")
    return s


def score(denoiser: Denoiser, y: Tensor, sigma: Sigma, **conditions: Any) -> Tensor:
    """Gradient of the log-density of the noisy data, by Tweedie's formula `(D(y, sigma) - y) / sigma**2`.

    Shape of y, units of one over the data's. Raises `InputError` where sigma is zero. Source: Efron 2011,
    "Tweedie's formula and selection bias", eq. 2.4.
    """
    s = expand_sigma(sigma, y)
    if not bool((s > 0).all()):
        raise InputError("the score is undefined at sigma = 0")
    return (denoiser(y, sigma, **conditions) - y) / s**2
