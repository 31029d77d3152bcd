"""Guidance of an editing model by a picture and a text, and when it may stop."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError, unknown
from unnoise.generate.guidance import SPACES, Guided, Trajectory, cosine


class EditGuided(Guided):
    """`D(0, 0) + s_I (D(I, 0) - D(0, 0)) + s_T (D(I, c) - D(I, 0))`: three evaluations, while guidance lasts.

    Parameters
    ----------
    denoiser : takes a picture I to edit and a text c as conditions, for both of which `None` means none.
    image_scale, text_scale : s_I and s_T; with 1 and 1 it is the conditional estimate.
    image, text : names of the two conditions.
    gamma_bar : once the cosine of `D(I, c)` and `D(0, 0)` reaches it, a sample goes on with `D(I, c)` alone; above 1
        that never happens.
    until : guided evaluations at most; half of them turn 3 T evaluations into 2 T, which is the paper's saving.
    space : in what the cosine is taken (see `guidance.cosine`).

    Raises
    ------
    InputError : the denoiser takes no such conditions, a scale is not finite, `until` is below 1, unknown space.

    Source: Brooks et al. 2023, "InstructPix2Pix" (2211.09800), eq. 3; Castillo et al. 2025 (2312.12487), section 5.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        image_scale: float,
        text_scale: float,
        *,
        image: str = "image",
        text: str = "text",
        gamma_bar: float = math.inf,
        until: int | None = None,
        space: str = "x0",
    ) -> None:
        super().__init__(denoiser, text_scale)
        if missing := {image, text} - set(denoiser.card.conditions):
            raise InputError(f"this denoiser takes no {sorted(missing)}; it takes {list(denoiser.card.conditions)}")
        if not math.isfinite(image_scale) or math.isnan(gamma_bar):
            raise InputError("image_scale must be finite, and gamma_bar a number")
        if until is not None and until < 1:
            raise InputError(f"until must be at least 1 guided evaluation, got {until}")
        if space not in SPACES:
            raise unknown("space", space, SPACES)
        self.image_scale, self.image, self.text = float(image_scale), image, text
        self.gamma_bar, self.until, self.space = gamma_bar, until, space

    def trajectory(self) -> EditTrajectory:
        """The same denoiser with a memory of its own, for one run of a sampler."""
        return EditTrajectory(self)


class EditTrajectory(Trajectory):
    """One edited run; see `guidance.Trajectory`."""

    guided: EditGuided

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y (B, *shape)."""
        g = self.guided
        if conditions.get(g.image) is None or conditions.get(g.text) is None:
            raise InputError(f"editing needs both conditions, {g.image} and {g.text}")
        never = torch.full((len(y),), -1, device=y.device)
        switched = self.memory.setdefault("switched_at", never)
        active = switched < 0
        self.gamma.append(torch.full((len(y),), math.nan, dtype=torch.float64, device=y.device))
        c = self.one(y, sigma, conditions)
        if bool(active.any()):
            c = self._guide(y, sigma, conditions, c, active)
        self.i += 1
        return c

    def _guide(self, y: Tensor, sigma: Sigma, conditions: dict[str, Any], c: Tensor, active: Tensor) -> Tensor:
        """`c` with the active rows guided; marks those that need it no longer."""
        g, rows = self.guided, None if bool(active.all()) else active
        i = self.one(y, sigma, conditions | {g.text: None}, rows)
        n = self.one(y, sigma, conditions | {g.image: None, g.text: None}, rows)
        level = sigma[active] if isinstance(sigma, Tensor) and sigma.ndim and len(sigma) == len(y) else sigma
        gamma = cosine(g, y[active], level, c[active], n, g.space)
        self.gamma[-1][active] = gamma
        crossed = torch.zeros_like(active).masked_scatter(active, gamma >= g.gamma_bar)
        if g.until is not None and self.i + 1 >= g.until:
            crossed = active
        self.memory["switched_at"] = torch.where(crossed, self.i + 1, self.memory["switched_at"])
        out = c.clone()
        out[active] = n + g.image_scale * (i - n) + g.scale * (c[active] - i)
        return out
