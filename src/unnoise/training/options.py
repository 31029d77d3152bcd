"""The options every training shares, and the learning rate and averaging they mean."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Options(BaseModel):
    """Base of every group of options in a preset: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FitOptions(Options):
    """How `training.loop.fit` runs. Everything that shapes the curve is counted in steps, never in seconds.

    Attributes
    ----------
    steps : of the whole schedule.
    batch : samples of one step, over all processes together.
    lr : peak learning rate.
    optimizer : "adamw", or "muon" for convolutions and linear layers but the first and last, which stay with AdamW.
    warmup : steps over which the learning rate rises from zero.
    decay : last steps, over which it falls to `final_lr` along half a cosine; `None`: all after the warm-up. A value
        much smaller than `steps` keeps it constant in between, so that a decay can start from any checkpoint.
    final_lr : learning rate at the end, as a share of the peak.
    weight_decay : of AdamW, on matrices and convolutions only.
    clip : largest norm of the gradient; a few times the usual one keeps a rare crop from throwing a run back.
    beta2 : memory of AdamW for squared gradients; below its usual 0.999, it follows a sudden change before it hurts.
    ema : decay of the averaged weights per step, once warmed up.
    precision : of the arithmetic, as Lightning Fabric names it.
    seed : of the initial weights and of every batch.
    log_every, evaluate_every : steps between rows of the log and between evaluations.
    save_minutes : between checkpoints.
    max_minutes : stop after this long, saved and resumable; `None` for no limit.
    """

    steps: int = Field(gt=0)
    batch: int = Field(default=16, gt=0)
    lr: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adamw", "muon"] = "adamw"
    warmup: int = Field(default=0, ge=0)
    decay: int | None = Field(default=None, ge=0)
    final_lr: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    beta2: float = Field(default=0.99, gt=0, lt=1)
    ema: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=100, gt=0)
    evaluate_every: int = Field(default=2000, gt=0)
    save_minutes: float = Field(default=10.0, gt=0)
    max_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _phases_fit(self) -> FitOptions:
        if self.warmup + (self.decay or 0) > self.steps:
            raise ValueError(
                f"warmup ({self.warmup}) and decay ({self.decay or 0}) last longer than steps ({self.steps})"
            )
        return self


def learning_rate(k: int, options: FitOptions) -> float:
    """Learning rate of step k (from 0): linear warm-up, plateau, half a cosine over the last `decay` steps.

    >>> o = FitOptions(steps=100, lr=1.0, warmup=10, decay=40)
    >>> [round(learning_rate(k, o), 3) for k in (0, 9, 50, 60, 80, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.5, 0.002]
    """
    if k < options.warmup:
        return options.lr * (k + 1) / options.warmup
    decay = options.steps - options.warmup if options.decay is None else options.decay
    into = k - (options.steps - decay)
    if into <= 0:
        return options.lr
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, into / decay)))
    return options.lr * (options.final_lr + (1 - options.final_lr) * falling)


def ema_decay(k: int, options: FitOptions) -> float:
    """Decay of the averaged weights at step k: the average spans about the last tenth of a young run.

    Without this warm-up the average would remember the initial weights for `1 / (1 - ema)` steps.

    >>> o = FitOptions(steps=1, ema=0.999)
    >>> ema_decay(0, o), round(ema_decay(90, o), 2), ema_decay(10**6, o)
    (0.1, 0.91, 0.999)
    """
    return min(options.ema, (1 + k) / (10 + k))
