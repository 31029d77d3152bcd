"""LinearAG in the classic pipelines of diffusers: its coefficients are fitted on what a pipeline does by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import LinearAG, fingerprint, fit_steps
from unnoise.generate.guidance import Full
from unnoise.generate.hf.wrap import wrap_denoiser


def fit_linear_pipeline(pipe: Any, draw: Callable[[], Any], *, ridge: float = 1e-6) -> LinearAG:
    """Fit LinearAG on fully guided runs of a pipeline, for a `Table` that is given to `wrap_denoiser`.

    Parameters
    ----------
    pipe : as for `wrap_denoiser`.
    draw : calls the pipeline, once or several times, each time with the same steps and guidance scale: those that the
        coefficients will be for. Without negative prompts, or with one that stays.
    ridge : as in `adaptive_guidance.fit_linear`.

    Raises
    ------
    InputError : no guided run, or runs of different lengths, levels or scales.

    Source: Castillo et al. 2025 (2312.12487), section 4.3.
    """
    seen = _Seen()
    with wrap_denoiser(pipe, seen) as guided:
        draw()
    if not seen.levels or any(len(part) != len(seen.eps_c[0]) for part in (*seen.eps_c, *seen.eps_u)):
        raise InputError("LinearAG is fitted on whole guided runs of one length: draw with guidance, the same steps")
    eps_c, eps_u = ([torch.cat(step) for step in kept] for kept in (seen.eps_c, seen.eps_u))
    scale, sampler = float(pipe.guidance_scale), type(pipe.scheduler).__name__
    return LinearAG(*fit_steps(eps_c, eps_u, ridge), tuple(seen.levels), scale, sampler, fingerprint(guided.part))


@dataclass(frozen=True)
class _Seen(Full):
    """Full guidance that keeps both noise estimates of every evaluation, a list a step with one entry a run."""

    levels: list[float] = field(default_factory=list)
    eps_c: list[list[Tensor]] = field(default_factory=list)
    eps_u: list[list[Tensor]] = field(default_factory=list)

    def guide(self, run: Any, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> Tensor:
        """As `Full`."""
        u = super().guide(run, y, sigma, conditions)
        level = float(torch.as_tensor(sigma))
        if run.i == len(self.levels):
            self.levels.append(level)
            self.eps_c.append([])
            self.eps_u.append([])
        elif level != self.levels[run.i]:
            raise InputError("LinearAG is fitted on runs of the same noise levels: draw with the same steps")
        self.eps_c[run.i].append(run.noise(run.conditional, y, level) / level)
        self.eps_u[run.i].append(run.noise(u, y, level) / level)
        return u
