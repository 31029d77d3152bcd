"""Adaptive Guidance as a guider of diffusers, for its modular pipelines."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.guiders import ClassifierFreeGuidance
from torch import Tensor

from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive
from unnoise.generate.hf.process import Process, process, read_config
from unnoise.generate.hf.wrap import compare


class AdaptiveGuidance(ClassifierFreeGuidance):
    """Classifier-free guidance until both predictions of every picture agree, conditional from there on.

    After that `num_conditions` is 1 and the pipeline makes one prediction a step. A picture that agrees before the
    others of its batch goes on without guidance, but is paid for until the last one agrees.

    Parameters
    ----------
    guidance_scale, guidance_rescale, start, stop, enabled : as in `ClassifierFreeGuidance`.
    gamma_bar, space, switch, min_steps : as in `adaptive_guidance.Adaptive`.
    scheduler : the pipeline's scheduler or its configuration: what its network predicts, and at which noise level. Only
        space "raw" does without.

    Attributes
    ----------
    nfe : evaluations of the network for each picture in this run.
    gamma : cosines (n,) of each step in which they were measured, NaN for pictures that had agreed before.

    Source: Castillo et al. 2025 (2312.12487), section 4.2.
    """

    _switched: Tensor | None
    _seen: Tensor | None
    _calls: int

    @register_to_config
    def __init__(
        self,
        guidance_scale: float = 7.5,
        gamma_bar: float = 0.991,
        space: str = "x0",
        switch: str = "next",
        min_steps: int = 1,
        scheduler: Any = None,
        guidance_rescale: float = 0.0,
        start: float = 0.0,
        stop: float = 1.0,
        enabled: bool = True,
    ) -> None:
        super().__init__(guidance_scale, guidance_rescale, False, start, stop, enabled)
        self.policy = Adaptive(gamma_bar, space, switch, min_steps)  # type: ignore[arg-type] # it checks the switch
        if scheduler is None and space != "raw":
            raise InputError(f"the cosine in space '{space}' needs the noise level: pass scheduler=, or space='raw'")
        self.process: Process | None = None
        if scheduler is not None:
            config = read_config(scheduler)
            self.register_to_config(scheduler=config)
            self.process = process(config)
        self._forget()

    def set_state(self, step: int, num_inference_steps: int, timestep: Tensor) -> None:
        """Called by the pipeline before each step; the first one begins a run."""
        if step == 0 or (self._step is not None and step < self._step):
            self._forget()
        super().set_state(step, num_inference_steps, timestep)
        self.nfe += self.num_conditions

    def prepare_models(self, denoiser: torch.nn.Module) -> None:
        """Called before each prediction: what the network is given is looked at on its way in."""
        super().prepare_models(denoiser)
        self._watch = denoiser.register_forward_pre_hook(self._see, with_kwargs=True)

    def cleanup_models(self, denoiser: torch.nn.Module) -> None:
        """Called after each prediction."""
        self._watch.remove()
        super().cleanup_models(denoiser)

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None) -> Any:
        """Both predictions, or the conditional alone, to what the scheduler gets."""
        if pred_uncond is None:
            return super().forward(pred_cond)
        n = len(pred_cond)
        switched = torch.full((n,), -1, device=pred_cond.device) if self._switched is None else self._switched
        active = switched < 0
        gamma = self._cosine(pred_cond[active], pred_uncond[active], active)
        after, guided = self.policy.decide(switched, self._calls, gamma)
        self.gamma.append(torch.full((n,), math.nan).to(gamma).masked_scatter(active, gamma))
        mask = guided.reshape(-1, *(1,) * (pred_cond.ndim - 1))
        result = super().forward(pred_cond, torch.where(mask, pred_uncond, pred_cond))
        self._switched, self._calls = after, self._calls + 1
        return result

    def _is_cfg_enabled(self) -> bool:
        done = self._switched is not None and bool((self._switched >= 0).all())
        return bool(super()._is_cfg_enabled()) and not done

    def _forget(self) -> None:
        self._switched, self._seen = None, None
        self._calls, self.nfe = 0, 0
        self.gamma: list[Tensor] = []

    def _see(self, module: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen = arguments[0] if arguments else named.get("sample", named.get("hidden_states"))
        self._seen = seen

    def _cosine(self, c: Tensor, u: Tensor, active: Tensor) -> Tensor:
        p = self.policy
        if self.process is None:
            return compare(process({"beta_schedule": "linear"}), c, 1.0, c, u, "raw", p.center)
        if self._seen is None:
            raise InputError("the guider has not seen the network's input: prepare_models must be called before it")
        t = torch.as_tensor(self._timestep, dtype=torch.float64).reshape(-1)[0].cpu()
        sigma = float(self.process.schedule.sigma(t))
        return compare(self.process, self._seen[active], sigma, c, u, p.space, p.center)
