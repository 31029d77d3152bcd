"""What a scheduler's configuration says of the noise process, in this library's terms: schedule, prediction, grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.convert import input_scale, weights
from unnoise.errors import InputError, unknown
from unnoise.noise.grids import karras, uniform_lambda
from unnoise.noise.schedule import EDM, DiscreteVP, Flow, Schedule

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0", "flow_prediction": "flow"}
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SCHEDULER_FILE = "scheduler_config.json"
FULL_NOISE = 1e-7  # a flow starts this far below time 1, where sigma is infinite


@dataclass(frozen=True)
class Process:
    """A noise process and what its networks predict.

    Attributes
    ----------
    schedule : what the network's time means.
    param : what it predicts, as in `as_denoiser`.
    sign : of the network's output: -1 for EDM networks of "v_prediction", whose output is negated.
    sigma_range : smallest and largest noise level, in the network's units.
    clip : largest size of an estimate, where the scheduler clips it.
    """

    schedule: Schedule
    param: str
    sigma_range: tuple[float, float]
    sign: float = 1.0
    clip: float | None = None

    def clean(self, out: Tensor, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """The clean estimate of a network's output on `x_t` (B, C, *spatial) at one level, or (B, 1, ...); float64."""
        a, b, scale = self._coefficients(sigma)
        return a * (x_t.double() / scale) + b * out.double()

    def output(self, x_hat: Tensor, x_t: Tensor, sigma: float | Tensor) -> Tensor:
        """The output whose clean estimate is x_hat: the inverse of `clean`, at levels above zero; float64."""
        a, b, scale = self._coefficients(sigma)
        return (x_hat.double() - a * (x_t.double() / scale)) / b

    def scale(self, sigma: float | Tensor) -> Tensor:
        """`x_t / y`: what a network's input is of the data with noise of level sigma."""
        return input_scale(self.param, self.schedule, torch.as_tensor(sigma, dtype=torch.float64))

    def _coefficients(self, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = weights(self.param, self.schedule, torch.as_tensor(sigma, dtype=torch.float64))
        return a, self.sign * b, self.scale(sigma)


def read_config(scheduler: Any) -> dict[str, Any]:
    """The configuration of a scheduler of diffusers: the object, its configuration, or a folder that holds it.

    Raises `InputError` for a folder without one, or for JSON that is none.
    """
    if isinstance(scheduler, (str, Path)):
        folder = Path(scheduler)
        tries = [folder, folder / SCHEDULER_FILE, folder / "scheduler" / SCHEDULER_FILE]
        file = next((p for p in tries if p.is_file()), None)
        if file is None:
            raise InputError(f"{folder} holds no scheduler: {SCHEDULER_FILE} is missing there and in scheduler/")
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{file} is not JSON: copy or download it again") from None
        if not isinstance(found, dict):
            raise InputError(f"{file} describes no scheduler: copy or download it again")
        return found
    if isinstance(scheduler, Mapping):
        return dict(scheduler)
    if not hasattr(scheduler, "config"):
        raise InputError(f"a scheduler of diffusers or its configuration is needed, not a {type(scheduler).__name__}")
    name = {"_class_name": type(scheduler).__name__}
    return {**scheduler.config, **name}


def process(scheduler: Any) -> Process:
    """The noise process of a scheduler of diffusers, by its configuration.

    Parameters
    ----------
    scheduler : the object, its configuration, or a folder that holds it.

    Raises
    ------
    InputError : a prediction type, beta schedule or scheduler that has no counterpart here.

    >>> process({"_class_name": "DDIMScheduler", "beta_schedule": "linear", "prediction_type": "epsilon"}).param
    'eps'
    """
    config = read_config(scheduler)
    kind, prediction = _kind(config), config.get("prediction_type", "epsilon")
    if kind == "edm":
        signs = {"epsilon": 1.0, "v_prediction": -1.0}
        if prediction not in signs:
            raise unknown("prediction type", str(prediction), signs)
        levels = float(config.get("sigma_min", 0.002)), float(config.get("sigma_max", 80.0))
        return Process(EDM(float(config.get("sigma_data", 0.5))), "edm", levels, signs[prediction])
    if kind == "flow":
        scale = float(config.get("num_train_timesteps", 1000))
        return Process(Flow(scale), "flow", (1 / scale, scale))
    if prediction not in PREDICTIONS:
        raise unknown("prediction type", str(prediction), PREDICTIONS)
    schedule = _discrete(config)
    clip = float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None
    levels = float(schedule.sigmas[0]), float(schedule.sigmas[-1])
    return Process(schedule, PREDICTIONS[prediction], levels, clip=clip)


def grid(scheduler: Any, steps: int, **arguments: Any) -> Tensor:
    """The noise levels that a scheduler of diffusers visits in so many steps, and where it ends: float64.

    Levels of whole or fractional network steps are looked up in float64, where its own float32 tables lose digits;
    levels it computes otherwise are taken over. In the network's units: halve them for a denoiser on [0, 1].

    Parameters
    ----------
    scheduler : the object, its configuration, or a folder; it is not changed.
    arguments : more of its `set_timesteps`, as `mu=` for flows with dynamic shifting.
    """
    import diffusers

    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    config = read_config(scheduler)
    found = process(config)
    name = str(config.get("_class_name"))
    cls: Any = type(scheduler) if hasattr(scheduler, "set_timesteps") else getattr(diffusers, name, None)
    if cls is None:
        raise InputError(f"diffusers has no scheduler {name}: pass the scheduler itself")
    fresh = cls.from_config({k: v for k, v in config.items() if k != "_class_name"})
    kind = _kind(config)
    if kind == "edm" and config.get("sigma_schedule", "karras") == "karras":
        levels = karras(steps, *found.sigma_range, rho=float(config.get("rho", 7.0)))
    elif kind == "edm":
        levels = uniform_lambda(steps, *found.sigma_range)
    else:
        fresh.set_timesteps(steps, **arguments)
        levels = _visited(fresh, found, kind, config)
    if config.get("final_sigmas_type") == "sigma_min":
        levels[-1] = found.sigma_range[0]
    keep = torch.cat([torch.tensor([True]), levels[1:] < levels[:-1]])  # what an end repeats is no step
    return levels[keep]


def _visited(scheduler: Any, found: Process, kind: str, config: Mapping[str, Any]) -> Tensor:
    if kind == "flow":
        t = torch.as_tensor(scheduler.sigmas).double().clamp(max=1 - FULL_NOISE)
        return torch.unique_consecutive(t / (1 - t))
    spaced = any(config.get(f"use_{name}_sigmas") for name in ("karras", "exponential", "beta", "lu"))
    if spaced or config.get("use_lu_lambdas"):
        return torch.unique_consecutive(torch.as_tensor(scheduler.sigmas).double())
    assert isinstance(found.schedule, DiscreteVP)
    table = found.schedule.sigmas
    t = torch.unique_consecutive(torch.as_tensor(scheduler.timesteps).double())
    k = t.floor().long().clamp(0, len(table) - 2)
    levels = torch.lerp(table[k], table[k + 1], t - k)
    ends_clean = config.get("set_alpha_to_one", True)
    return torch.cat([levels, levels.new_zeros(1) if ends_clean else table[:1]])


def _kind(config: Mapping[str, Any]) -> str:
    """ "edm", "flow" or "vp"."""
    if "process" in config:  # our own scheduler says it
        return str(config["process"])
    name = str(config.get("_class_name", ""))
    if name.startswith("EDM"):
        return "edm"
    if (
        name.startswith("FlowMatch")
        or config.get("use_flow_sigmas")
        or config.get("prediction_type") == ("flow_prediction")
    ):
        return "flow"
    if "beta_schedule" not in config and "beta_start" not in config:
        raise InputError(
            f"the scheduler {name or 'without a name'} has no counterpart here: it must be of betas, flow or EDM"
        )
    return "vp"


def _discrete(config: Mapping[str, Any]) -> DiscreteVP:
    steps = int(config.get("num_train_timesteps", 1000))
    first, last = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    name = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is not None:
        betas = torch.as_tensor(config["trained_betas"], dtype=torch.float64)
        schedule = DiscreteVP(torch.cumprod(1 - betas, 0))
    elif name == "linear":
        schedule = DiscreteVP.linear(steps, first, last)
    elif name == "scaled_linear":
        schedule = DiscreteVP.scaled_linear(steps, first, last)
    elif name == "squaredcos_cap_v2":
        schedule = DiscreteVP.cosine(steps)
    else:
        raise unknown("beta schedule", str(name), BETAS)
    return schedule.zero_snr() if config.get("rescale_betas_zero_snr") else schedule
