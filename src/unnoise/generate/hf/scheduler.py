"""Our samplers as a scheduler of diffusers, so that its pipelines take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerOutput
from torch import Tensor

from unnoise.errors import InputError, unknown
from unnoise.generate.courses import COURSES, Course
from unnoise.generate.hf.process import Process, process
from unnoise.noise.grids import SPACINGS, check_sigmas, discrete, flow, karras
from unnoise.noise.schedule import DiscreteVP

PROCESSES = ("vp", "flow", "edm")
NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in COURSES},
    "euler": ("ddim", {"eta": 0.0}),
    "euler_ancestral": ("ddim", {"eta": 1.0}),
}


class Scheduler(SchedulerMixin, ConfigMixin):
    """A sampler of this library behind the interface of diffusers' schedulers.

    `pipe.scheduler = Scheduler.from_config(pipe.scheduler.config, sampler="unipc")`. State is float64 inside; the
    samples that go in and out are those of the process itself (`x_t`), so that pipelines which never scale their input
    are served too. A pipeline may change a sample between two steps.

    Parameters
    ----------
    sampler : a key of `generate.samplers.SAMPLERS`.
    options : of the sampler, as {"eta": 1.0} for "ddim".
    process : "vp" (betas), "flow" or "edm".
    timestep_spacing : as in `noise.grids.network_steps`; or `use_karras_sigmas`, a Karras grid between the first and
        the last level of the betas.
    shift : of a flow grid.
    sigma_min, sigma_max, sigma_data, rho : of "edm".
    num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, rescale_betas_zero_snr, steps_offset,
        prediction_type : as in diffusers.

    Raises
    ------
    InputError : an unknown sampler, process, prediction type, spacing or beta schedule.
    """

    _compatibles = [e.name for e in KarrasDiffusionSchedulers]  # noqa: RUF012 (as every scheduler of diffusers has it)
    order = 1
    _begin: int | None
    _given: Tensor | None
    _state: Tensor

    @register_to_config
    def __init__(
        self,
        sampler: str = "dpmpp_2m",
        options: dict[str, Any] | None = None,
        process: str = "vp",
        num_train_timesteps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: list[float] | None = None,
        rescale_betas_zero_snr: bool = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "trailing",
        steps_offset: int = 0,
        use_karras_sigmas: bool = False,
        shift: float = 1.0,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        rho: float = 7.0,
    ) -> None:
        if sampler not in NAMES:
            raise unknown("sampler", sampler, NAMES)
        if (options or {}).get("churn"):
            raise InputError("churn adds noise before a prediction that a pipeline has made by then: leave it out")
        if process not in PROCESSES:
            raise unknown("process", process, PROCESSES)
        if timestep_spacing not in SPACINGS:
            raise unknown("spacing", timestep_spacing, SPACINGS)
        name, fixed = NAMES[sampler]
        self._course, self._options = COURSES[name], {**fixed, **(options or {})}
        self._process = _process_of(self)
        self._levels: list[float] = []
        self._steps: Course | None = None
        self.set_timesteps(min(50, num_train_timesteps))

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the noise a pipeline starts from."""
        return self._levels[0] if self.config.process == "edm" else 1.0

    @property
    def step_index(self) -> int | None:
        """Number of the next call, `None` before the first."""
        return self._i if self._steps is not None else self._begin

    @property
    def begin_index(self) -> int | None:
        """The call that a pipeline begins with, when it begins in the middle."""
        return self._begin

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin in the middle, as image-to-image pipelines do."""
        self._begin, self._steps = begin_index, None

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        *,
        sigmas: Sequence[float] | Tensor | None = None,
    ) -> None:
        """Choose the grid: a number of steps, or falling noise levels in the network's units. Forgets the last run."""
        if sigmas is not None:
            self._levels = check_sigmas(sigmas)
        else:
            if num_inference_steps is None:
                raise InputError("set_timesteps needs a number of steps, or sigmas")
            self._levels = check_sigmas(self._grid(num_inference_steps))
        self.num_inference_steps = len(self._levels) - 1
        self._asked = _requests(self._course, self._levels, self._options)
        t = self._process.schedule.t(torch.tensor(self._asked, dtype=torch.float64))
        whole = bool((t == t.round()).all()) and self.config.process == "vp"
        self.timesteps = (t.long() if whole else t.float()).to(device)
        sigmas = torch.tensor([*self._asked, self._levels[-1]], dtype=torch.float64)
        self.sigmas = (sigmas / (1 + sigmas) if self.config.process == "flow" else sigmas).float()  # as diffusers does
        self._steps, self._i, self._begin, self._given = None, 0, None, None

    def noise_level(self, timestep: Any) -> float:
        """The noise level of a time of this run, `x_t / alpha` being data with that noise; not rounded to float32."""
        return self._asked[self._nearest(timestep)]

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
        """The sample as the network takes it: itself, but `c_in` times it for "edm"."""
        if self.config.process != "edm":
            return sample
        i = self._index(timestep) if self._steps is None else self._i
        return (sample * self._process.scale(self._asked[i])).to(sample.dtype)

    def step(
        self,
        model_output: Tensor,
        timestep: Any,
        sample: Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> Any:
        """The network's output at `timestep` in, the sample of the next call out."""
        if self._steps is None:
            self._i = self._index(timestep)
            y = self._to_ve(sample, self._asked[self._i])
            rest = self._levels[self._levels.index(self._asked[self._i]) :] if self._i else self._levels
            self._steps = self._course(y, rest, generator, lambda *told: None, **self._options)
            next(self._steps)
            self._state, self._given = y, sample
        if self._i >= len(self._asked):
            raise InputError("this run has ended: call set_timesteps before another")
        sigma = self._asked[self._i]
        y = self._state if sample is self._given else self._to_ve(sample, sigma)
        out, rest_of_it = model_output.tensor_split([sample.shape[1]], dim=1)
        x_t = y * self._process.scale(sigma)
        x0 = self._process.clean(out, x_t, sigma)
        answer = (x0, (rest_of_it.double() + 1) / 2) if self._options.get("variance") == "learned" else x0
        self._i += 1
        try:
            self._state, sigma = self._steps.send((y, answer))
        except StopIteration as end:
            self._state, sigma = end.value, self._levels[-1]
        self._given = self._from_ve(self._state, sigma).to(sample.dtype)
        return SchedulerOutput(prev_sample=self._given) if return_dict else (self._given,)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """`x_t` of clean samples (B, *shape) at times (B,)."""
        t = timesteps.double().reshape(-1)
        sigma = self._process.schedule.sigma(t).reshape(-1, *(1,) * (original_samples.ndim - 1))
        return self._from_ve(original_samples.double() + sigma * noise, sigma).to(original_samples.dtype)

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    def _to_ve(self, sample: Tensor, sigma: float | Tensor) -> Tensor:
        return sample.double() if self.config.process == "edm" else sample.double() / self._process.scale(sigma)

    def _from_ve(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        return y if self.config.process == "edm" else y * self._process.scale(sigma)

    def _index(self, timestep: Any) -> int:
        if self._begin is not None:
            return self._begin
        if timestep is None:
            return 0
        return self._nearest(timestep)

    def _nearest(self, timestep: Any) -> int:
        t = torch.as_tensor(timestep).double().cpu().reshape(-1)[0]
        return int((self.timesteps.double().cpu() - t).abs().argmin())

    def _grid(self, steps: int) -> Tensor:
        c, schedule = self.config, self._process.schedule
        if c.process == "edm":
            return karras(steps, c.sigma_min, c.sigma_max, c.rho)
        if c.process == "flow":
            return flow(steps, c.shift, 1 - 1e-7 if c.shift == 1 else 1 - 1e-7 / c.shift, 1 / c.num_train_timesteps)
        assert isinstance(schedule, DiscreteVP)
        if c.use_karras_sigmas:
            return karras(steps, *self._process.sigma_range, c.rho)
        return discrete(schedule, steps, c.timestep_spacing, c.steps_offset)


def _process_of(scheduler: Scheduler) -> Process:
    return process(scheduler)


def _requests(course: Any, levels: list[float], options: dict[str, Any]) -> list[float]:
    """The noise levels at which a course asks the network, found by following it once with a single number."""
    x = torch.zeros(1, 1, dtype=torch.float64)
    answer: Any = (x, x) if options.get("variance") == "learned" else x
    steps, asked = course(x, levels, torch.Generator(), lambda *told: None, **options), []
    _, sigma = next(steps)
    while True:
        asked.append(sigma)
        try:
            _, sigma = steps.send((x, answer))
        except StopIteration:
            return asked
