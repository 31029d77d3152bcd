"""Guidance policies for the classic pipelines of diffusers, which make both predictions at every step.

A callback at the end of a step sees neither of them, so the network itself is wrapped: it makes the unconditional half
of its doubled batch only for the samples that still need it, and answers with the conditional one in its place, for
which the pipeline's own `u + scale (c - u)` is c.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma
from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive
from unnoise.generate.guidance import Full, Interval, Table, Trace, Trajectory, cosine
from unnoise.generate.hf.process import Process, process

PARTS = ("unet", "transformer")
_UNITS: Any = SimpleNamespace(card=Card(kind="any", value_range=None), denoiser=None)  # those of the network


def wrap_denoiser(pipe: Any, policy: Full | Interval | Adaptive | Table | None = None) -> Wrapped:
    """Let a policy decide where a pipeline pays for its unconditional predictions.

    Parameters
    ----------
    pipe : a pipeline of diffusers with a `unet` or `transformer` that is called once a step on the batch [negative,
        positive], as the Stable Diffusion ones do. Guidance scale, rescaling, negative prompts and schedulers stay the
        pipeline's; a guidance scale of 1 stays one prediction.
    policy : `Adaptive()` by default. `Interval` counts in noise levels of the network's units. A `Table` of the
        operations "cfg", "cond" and, with coefficients of `fit_linear_pipeline`, "linear", one a call of the network.

    Returns
    -------
    Wrapped : call its `remove()`, or use it in a `with` statement, to have the pipeline back as it was.

    Raises
    ------
    InputError : a pipeline of another kind, another policy or operation, LinearAG of another network or scheduler.
    """
    policy = Adaptive() if policy is None else policy
    if not isinstance(policy, (Full, Interval, Adaptive, Table)):
        raise InputError(f"a pipeline is guided by Full, Interval, Adaptive or a Table, not {type(policy).__name__}")
    if isinstance(policy, Table) and not {"cfg", "cond", "linear"}.issuperset(policy.operations):
        raise InputError("a pipeline combines both predictions itself: a Table for it holds cfg, cond and linear")
    part = next((getattr(pipe, name) for name in PARTS if isinstance(getattr(pipe, name, None), torch.nn.Module)), None)
    if part is None or not hasattr(type(pipe), "do_classifier_free_guidance"):
        raise InputError(
            f"{type(pipe).__name__} is no pipeline with classifier-free guidance over a unet or transformer: use the "
            "guider AdaptiveGuidance, or from_diffusers"
        )
    if isinstance(policy, Table) and policy.linear is not None:
        policy.linear.check(part, type(pipe.scheduler).__name__, policy.linear.scale)
    return Wrapped(pipe, part, policy)


class Wrapped:
    """The hold that a policy has on a pipeline's network.

    Attributes
    ----------
    trace : of the last run: evaluations of the network for each picture, cosines, where guidance ended.
    rows : samples that went through the network in the last run, all in all.
    """

    def __init__(self, pipe: Any, part: Any, policy: Full | Interval | Adaptive | Table) -> None:
        self.pipe, self.part, self.policy = pipe, part, policy
        self.rows = 0
        self.run: _Run | None = None
        self.last: float | None = None
        self.inner, self.own = part.forward, vars(part).get("forward")
        part.forward = self.forward

    @property
    def trace(self) -> Trace:
        """What guidance did in the last run."""
        if self.run is None:
            raise InputError("the pipeline has not been run with guidance since it was wrapped")
        return self.run.trace()

    def remove(self) -> None:
        """Give the pipeline its network back."""
        if vars(self.part).get("forward") == self.forward:
            if self.own is None:
                del self.part.forward
            else:
                self.part.forward = self.own

    def __enter__(self) -> Wrapped:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """In the network's place: the doubled batch in, both predictions out, however they were made."""
        x, t = _of(arguments, named, 0, ("sample", "hidden_states")), _of(arguments, named, 1, ("timestep",))
        time = float(torch.as_tensor(t).reshape(-1)[0])
        if self._new(time, len(x)):
            self.rows, self.run = 0, None
        self.last = time
        if not self.pipe.do_classifier_free_guidance or len(x) % 2:
            self.rows += len(x)
            return self.inner(*arguments, **named)
        n = len(x) // 2
        if self.run is None:
            self.run = _Run(self.pipe.scheduler, n)
        run = self.run

        def ask(rows: Tensor | None) -> Tensor:
            """Predictions of the rows that a mask over [negative, positive] names, of all without one."""
            self.rows += len(x) if rows is None else int(rows.sum())
            if rows is None:
                run.form = self.inner(*arguments, **named)
            else:
                run.form = self.inner(*_select(arguments, rows), **_select(named, rows))
            return run.form[0]

        run.ask = ask
        sigma = run.level(time)
        run.gamma.append(torch.full((n,), torch.nan, dtype=torch.float64, device=x.device))
        if isinstance(self.policy, Table):
            u = run.follow(self.policy, x[n:], sigma, float(self.pipe.guidance_scale))
        else:
            u = self.policy.guide(run, x[n:], sigma, {})
        run.i += 1
        out = torch.cat([u, run.conditional])
        return (out,) if isinstance(run.form, tuple) else type(run.form)(sample=out)

    def _new(self, time: float, rows: int) -> bool:
        """Whether a run begins: at the scheduler's first time, at one above the last, or with another batch."""
        times = getattr(self.pipe.scheduler, "timesteps", None)
        begin = getattr(self.pipe.scheduler, "begin_index", None) or 0
        at_first = times is not None and len(times) > begin and time == float(times[begin])
        other = self.run is not None and len(self.run.nfe) and 2 * len(self.run.nfe) != rows
        return self.last is None or at_first or time > self.last or bool(other)


class _Run(Trajectory):
    """A run of a pipeline as policies see it. What they combine is the prediction in the unconditional place: the
    pipeline does the rest, so that a run in which nothing is left out equals the pipeline's own bit for bit.
    """

    def __init__(self, scheduler: Any, n: int) -> None:
        Denoiser.__init__(self)
        self.card = Card(kind="any", value_range=None, sigma_range=(0.0, float("inf")))
        self.i, self.nfe = 0, torch.zeros(0, dtype=torch.int64)
        self.gamma, self.memory = [], {}
        self.process: Process = process(scheduler)
        self.scheduler, self.n = scheduler, n
        self.ask: Any = None
        self.form: Any = None
        self.conditional = torch.zeros(0)

    def level(self, time: float) -> float:
        """Noise level at a time of the scheduler."""
        return float(self.process.schedule.sigma(torch.tensor(time, dtype=torch.float64)))

    def one(self, y: Tensor, sigma: Sigma, conditions: Any, rows: Tensor | None = None) -> Tensor:
        """The conditional predictions alone."""
        self._count(y, True)
        none = torch.zeros(self.n, dtype=torch.bool, device=y.device)
        self.conditional = self.ask(torch.cat([none, ~none]))
        return self.conditional

    def both(self, y: Tensor, sigma: Sigma, conditions: Any, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The conditional predictions, and the unconditional ones of the rows of a mask."""
        mask = torch.ones(self.n, dtype=torch.bool, device=y.device) if rows is None else rows
        self._count(y, 1 + mask)
        out = self.ask(None if rows is None else torch.cat([mask, torch.ones_like(mask)]))
        u, self.conditional = out[: -self.n], out[-self.n :]
        return self.conditional, u

    def combine(self, c: Tensor, u: Tensor, scale: float | None = None) -> Tensor:
        """What goes into the unconditional place."""
        return u

    def follow(self, table: Table, x_t: Tensor, sigma: float, scale: float) -> Tensor:
        """What a table's next operation puts there."""
        if self.i >= len(table.operations):
            raise InputError(f"the policy has {len(table.operations)} evaluations, the pipeline makes more of them")
        operation, linear = table.operations[self.i], table.linear
        if linear is not None:
            linear.check_step(self.i, sigma, scale)
        if operation == "cfg":
            u = Full().guide(self, x_t, sigma, {})
            if linear is not None:
                linear.keep(self, self.noise(self.conditional, x_t, sigma), self.noise(u, x_t, sigma))
            return u
        c = self.one(x_t, sigma, {})
        if linear is None:
            return c
        noise_u = linear.keep(self, self.noise(c, x_t, sigma))
        if operation == "cond":
            return c
        y = x_t.double() / self.process.scale(sigma)
        u = self.process.output(y - noise_u, x_t, sigma).to(c.dtype)
        return torch.cat([u, c[:, u.shape[1] :]], 1)  # a learnt variance is the conditional one's

    def noise(self, out: Tensor, x_t: Tensor, sigma: float) -> Tensor:
        """What an output of the network takes from y, `sigma eps`, float64."""
        return x_t.double() / self.process.scale(sigma) - self.process.clean(out[:, : x_t.shape[1]], x_t, sigma)

    def cosine(self, y: Tensor, sigma: Sigma, c: Tensor, u: Tensor, space: str = "x0", center: bool = False) -> Tensor:
        """Of both predictions; `y` is the network's input here."""
        return compare(self.process, y, float(torch.as_tensor(sigma)), c, u, space, center)


def compare(found: Process, x_t: Tensor, sigma: float, c: Tensor, u: Tensor, space: str, center: bool) -> Tensor:
    """`guidance.cosine` of two outputs of a network of diffusers on `x_t`, one a sample."""
    channels = x_t.shape[1]
    c, u = c[:, :channels], u[:, :channels]
    if space == "raw":
        a, b = (z - z.mean(tuple(range(2, z.ndim)), keepdim=True) if center else z for z in (c, u))
        return torch.nn.functional.cosine_similarity(a.flatten(1).double(), b.flatten(1).double())
    y = x_t.double() / found.scale(sigma)
    return cosine(_UNITS, y, sigma, found.clean(c, x_t, sigma), found.clean(u, x_t, sigma), space, center)


def _of(arguments: tuple[Any, ...], named: dict[str, Any], place: int, names: tuple[str, ...]) -> Any:
    """An argument by its place or by one of its names."""
    if len(arguments) > place:
        return arguments[place]
    return next(named[name] for name in names if name in named)


def _select(value: Any, rows: Tensor) -> Any:
    """The rows of every tensor that has the batch's length, however deep it lies."""
    if isinstance(value, Tensor):
        return value[rows.to(value.device)] if value.ndim and len(value) == len(rows) else value
    if isinstance(value, dict):
        return {k: _select(v, rows) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_select(v, rows) for v in value)
    return value
