"""Networks of diffusion and flow models, turned into denoisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.schedule import EDM, Schedule

# D = a y + b out, with x_t = alpha y, sigma_t = alpha sigma (Salimans and Ho 2022, appendix D, in VE units). Free of
# division by sigma, so that sigma = 0 and very large sigma stay exact.
_WEIGHTS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "x0": lambda sigma, alpha: (0.0 * sigma, 1.0 + 0.0 * sigma),
    "eps": lambda sigma, alpha: (1.0 + 0.0 * sigma, -sigma),
    "v": lambda sigma, alpha: (1 / (1 + sigma**2), -sigma / alpha / (1 + sigma**2)),
    "flow": lambda sigma, alpha: (1 / (1 + sigma), -sigma / (1 + sigma)),
    "score": lambda sigma, alpha: (1.0 + 0.0 * sigma, sigma**2),
}
PARAMETERISATIONS = (*_WEIGHTS, "edm")


def weights(param: str, schedule: Schedule, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """`(a, b)` with `D = a y + b out` for a network's output at noise level sigma, of sigma's shape."""
    if param == "edm" and isinstance(schedule, EDM):
        return schedule.c_skip(sigma), schedule.c_out(sigma)
    a, b = _WEIGHTS[param](sigma, schedule.alpha(sigma))
    return a, b


def input_scale(param: str, schedule: Schedule, sigma: Tensor) -> Tensor:
    """What y is multiplied by before the network sees it: alpha, or `c_in` for "edm"."""
    return schedule.c_in(sigma) if param == "edm" and isinstance(schedule, EDM) else schedule.alpha(sigma)


class _Converted(Denoiser):
    """What `as_denoiser` returns."""

    def __init__(
        self,
        net: nn.Module,
        param: str,
        schedule: Schedule,
        card: Card,
        signed: bool,
        null: Mapping[str, Any] | None,
        clip: float | None,
    ) -> None:
        super().__init__()
        self.net, self.param, self.schedule, self.card, self.signed = net, param, schedule, card, signed
        self.null, self.clip = dict(null) if null is not None else None, clip
        self._known: dict[Any, tuple[Any, ...]] = {}  # coefficients at levels asked before: a sampler asks again

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        return self._estimate(y, sigma, conditions)[0]

    def with_variance(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> tuple[Tensor, Tensor]:
        """The estimate, and the learnt place of the variance between its bounds, 0 to 1 (see `samplers.ddpm`)."""
        x_hat, rest = self._estimate(y, sigma, conditions)
        if rest is y or rest.shape != y.shape:
            raise InputError("variance='learned' needs a network that learnt it: take 'small' or 'large'")
        return x_hat, (rest + 1) / 2

    def _estimate(self, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The clean estimate, and what else the network put out in further channels, y itself for nothing."""
        if conditions and (surplus := set(conditions) - set(self.card.conditions)):
            raise TypeError(f"unknown condition {sorted(surplus)}: this denoiser takes {list(self.card.conditions)}")
        scale, shift, t, a, b, c = self._at(sigma, y) if isinstance(sigma, float) else self._coefficients(sigma, y)
        out, rest = self.net(y * scale + shift if self.signed else y * scale, t, **conditions), y
        if out.shape[1] != y.shape[1]:
            out, rest = out.tensor_split([y.shape[1]], dim=1)
        if self.param == "x0" and not self.signed:
            x_hat = out
        elif isinstance(b, float):
            x_hat = torch.add(y if a == 1 else a * y, out, alpha=b)
        else:
            x_hat = torch.addcmul(a * y, b, out)
        if self.signed:
            x_hat = x_hat + c
        if self.clip is not None:
            middle, half = (0.5, self.clip / 2) if self.signed else (0.0, self.clip)
            x_hat = x_hat.clamp(middle - half, middle + half)
        return x_hat, rest

    def _at(self, sigma: float, y: Tensor) -> tuple[Any, ...]:
        """`_coefficients` of one level as Python floats, computed in float64 once."""
        key = (sigma, len(y), y.dtype, y.device)
        if key not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            scale, shift, t, a, b, c = self._coefficients(sigma, y.new_empty((1,) * y.ndim, dtype=torch.float64))
            times = t.to(y.dtype).expand(len(y)).contiguous()
            self._known[key] = (scale.item(), shift.item(), times, a.item(), b.item(), c.item())
        return self._known[key]

    def _coefficients(self, sigma: Sigma, y: Tensor) -> tuple[Any, ...]:
        """`(scale, shift, t, a, b, c)`: the network sees `scale y + shift` at time t (B,), `D = a y + b out + c`.

        A network on [-1, 1] in a denoiser on [0, 1]: its data are `2 y - 1` and its noise is `2 sigma`.
        """
        s = expand_sigma(sigma, y)
        s = 2 * s if self.signed else s
        # networks are conditioned on one time a sample
        t = self.schedule.t(s).reshape(s.shape[0], -1)[:, 0].expand(y.shape[0])
        scale, (a, b) = input_scale(self.param, self.schedule, s), weights(self.param, self.schedule, s)
        return (2 * scale, -scale, t, a, b / 2, (1 - a) / 2) if self.signed else (scale, 0 * scale, t, a, b, 0 * a)


def as_denoiser(
    net: nn.Module,
    param: str,
    schedule: Schedule,
    *,
    signed: bool = True,
    card: Card | None = None,
    null: Mapping[str, Any] | None = None,
    clip: float | None = None,
) -> Denoiser:
    """Turn a diffusion or flow network into a `Denoiser`.

    Parameters
    ----------
    net : called as `net(x_t, t, **conditions)` with `x_t = alpha y` (B, C, *spatial) and t (B,); for "edm" with
        `c_in y` instead.
    param : what it predicts: "x0", "eps" (the noise n), "v" (`alpha n - sigma_t x_0`), "flow" (`n - x_0`), "score" (the
        gradient of log p in y) or "edm" (`c_skip y + c_out net` is the estimate; the schedule is an `EDM`).
    schedule : what its time means: one of `noise.schedule`.
    signed : the network lives on [-1, 1]; the denoiser then lives on [0, 1], with sigma in its units.
    card : its card; by default any channels and sizes, global reach.
    null : for each condition the value that means none, where the network has one inside (a class index, say); guidance
        can then ask for both predictions in one batch.
    clip : the largest size of an estimate in the network's units; estimates are clamped to it.

    A network that puts out twice the channels has learnt its variance too; the second half is then `samplers.ddpm`'s.

    Raises
    ------
    InputError : unknown param, or "edm" with another schedule. TypeError : a condition that the card does not name.

    Source: Salimans and Ho 2022, "Progressive distillation", appendix D; Lipman et al. 2023, "Flow matching"; Karras
    et al. 2022, table 1.
    """
    if param not in PARAMETERISATIONS:
        raise unknown("parameterisation", param, PARAMETERISATIONS)
    if param == "edm" and not isinstance(schedule, EDM):
        raise InputError(f"the parameterisation 'edm' goes with the schedule EDM, not {type(schedule).__name__}")
    card = card or Card(value_range=(0.0, 1.0) if signed else None, sigma_range=(0.0, float("inf")))
    return _Converted(net, param, schedule, card, signed, null, clip)
