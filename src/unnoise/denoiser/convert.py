"""Networks of diffusion and flow models, turned into denoisers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.errors import InputError, unknown
from unnoise.noise.schedule import EDM, Schedule

# Network output -> D, with x_t = alpha y, sigma_t = alpha sigma (Salimans and Ho 2022, appendix D, in VE units).
# Each is free of division by sigma, so that sigma = 0 and very large sigma stay exact.
_TO_X0: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "x0": lambda out, y, sigma, alpha: out,
    "eps": lambda out, y, sigma, alpha: y - sigma * out,
    "v": lambda out, y, sigma, alpha: (y - sigma / alpha * out) / (1 + sigma**2),
    "flow": lambda out, y, sigma, alpha: (y - sigma * out) / (1 + sigma),
    "score": lambda out, y, sigma, alpha: y + sigma**2 * out,
}
PARAMETERISATIONS = (*_TO_X0, "edm")


class _Converted(Denoiser):
    """What `as_denoiser` returns."""

    def __init__(
        self,
        net: nn.Module,
        param: str,
        schedule: Schedule,
        card: Card,
        signed: bool,
        null: Mapping[str, int] | None,
    ) -> None:
        super().__init__()
        self.net, self.param, self.schedule, self.card, self.signed = net, param, schedule, card, signed
        self.null = dict(null) if null is not None else None

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        if surplus := set(conditions) - set(self.card.conditions):
            raise TypeError(f"unknown condition {sorted(surplus)}: this denoiser takes {list(self.card.conditions)}")
        s = expand_sigma(sigma, y)
        if self.signed:
            y, s = 2 * y - 1, 2 * s  # [0, 1] -> [-1, 1] doubles the noise too
        # networks are conditioned on one time a sample
        t = self.schedule.t(s).reshape(s.shape[0], -1)[:, 0].expand(y.shape[0])
        if isinstance(self.schedule, EDM) and self.param == "edm":
            p = self.schedule
            x_hat = p.c_skip(s) * y + p.c_out(s) * self.net(p.c_in(s) * y, t, **conditions)
        else:
            alpha = self.schedule.alpha(s)
            x_hat = _TO_X0[self.param](self.net(alpha * y, t, **conditions), y, s, alpha)
        return (x_hat + 1) / 2 if self.signed else x_hat


def as_denoiser(
    net: nn.Module,
    param: str,
    schedule: Schedule,
    *,
    signed: bool = True,
    card: Card | None = None,
    null: Mapping[str, int] | None = None,
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
    return _Converted(net, param, schedule, card or Card(sigma_range=(0.0, float("inf"))), signed, null)
