"""The method and its ablations, trained on one set of noisy pictures, and what their outputs are worth."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from unnoise.data.pairs import Pair
from unnoise.metrics import psnr, ssim
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn import CBSN
from unnoise.restore.cbsn_training import LossOptions, NetOptions, train_on
from unnoise.studies.cbsn.pictures import PictureOptions, middle, planes
from unnoise.studies.kept import key
from unnoise.training.loop import CHECKPOINT, LOG, Progress
from unnoise.training.options import FitOptions, Options

WATCHED, WATCHED_SIDE = 15, 240  # pictures of the learning curves, and the side of their middle part
SHORT = {"unmasked": "open", "blind": "blind", "blind-pd": "sub-images"}
TRAININGS = ("cbsn", "plain", "no invariance")
OUTPUTS = {
    "C-BSN": ("cbsn", "unmasked"),
    "C-BSN, blind on sub-images": ("cbsn", "blind-pd"),
    "C-BSN, blind on the whole": ("cbsn", "blind"),
    "plain blind-spot": ("plain", "blind"),
    "without invariance loss": ("no invariance", "unmasked"),
}
"""Name in the tables -> which training, and which of its outputs."""


class SetOptions(PictureOptions):
    """Pictures, and what is compared on them.

    Attributes
    ----------
    stride_blind : of the blind loss: 5 for the noise of cameras, 1 where noise is independent.
    seeds : networks of each kind.
    trainings : which of `TRAININGS`.
    above_noisy : least gain in dB over the noisy pictures that bears the claim out; `None`: no claims on this set.
    peers : methods of `unnoise denoise` to show beside.
    """

    stride_blind: int = Field(default=5, ge=1)
    seeds: int = Field(default=1, ge=1)
    trainings: tuple[str, ...] = TRAININGS
    above_noisy: float | None = None
    peers: tuple[str, ...] = ()


class Study(Options):
    """One preset of `presets/cbsn_study.yaml`; `keep` is a folder in which trained networks stay."""

    net: NetOptions
    crop: int = Field(ge=10)
    loss: LossOptions
    fit: FitOptions
    sets: dict[str, SetOptions]
    keep: str | None = None


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, the processor's milliseconds a step, the steps, and its learning curve as rows of the log."""

    denoiser: CBSN
    seconds: float
    milliseconds: float
    steps: int
    curve: tuple[dict[str, float], ...]


class Score(NamedTuple):
    """Means over the pictures of a set."""

    psnr: float
    ssim: float


def loss_of(name: str, loss: LossOptions) -> LossOptions:
    """The ablations differ from the method in the loss alone: one of `TRAININGS`."""
    changes: dict[str, dict[str, Any]] = {
        "cbsn": {},
        "plain": {"stride_blind": 1, "ramp_steps": None},
        "no invariance": {"lam": 0.0},
    }
    return loss.model_copy(update=changes[name])


def train_one(study: Study, name: str, which: str, seed: int, pairs: Sequence[Pair], folder: Path) -> Trained:
    """Train on the noisy pictures of set `which`, or go on where an earlier run was cut off."""
    noisy = [planes(pair.noisy) for pair in pairs]
    net = study.net.model_copy(update={"in_channels": noisy[0].shape[0]})
    loss = loss_of(name, study.loss.model_copy(update={"stride_blind": study.sets[which].stride_blind}))
    options = study.fit.model_copy(update={"seed": seed})
    shape = [part.model_dump() for part in (net, loss, options)] + [study.crop, which]
    digest = key(shape, *(y.numpy().tobytes() for y in noisy))
    out = folder / f"{which}-{name.replace(' ', '-')}-{seed}-{digest}"
    watch = _Watch(name, pairs)
    resume = (out / CHECKPOINT).exists()
    denoiser, seconds, steps = train_on(
        noisy, net, loss, options, study.crop, out, resume, watch.count, evaluate=watch.evaluate
    )
    with (out / LOG).open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    curve = tuple(row for row in rows if "milliseconds" in row)
    return Trained(denoiser, seconds, fmean(row["milliseconds"] for row in curve), steps, curve)


class _Watch:
    """Measures the outputs of a training as it goes on, and the processor time of its steps without the measuring."""

    def __init__(self, name: str, pairs: Sequence[Pair]) -> None:
        self.modes = [mode for training, mode in OUTPUTS.values() if training == name]
        self.noisy = [planes(middle(pair.noisy, WATCHED_SIDE)) for pair in pairs[:WATCHED]]
        self.clean = [planes(middle(pair.clean, WATCHED_SIDE)) for pair in pairs[:WATCHED]]
        self.steps, self.since = 0, time.process_time()

    def count(self, progress: Progress) -> None:
        self.steps += not progress.evaluation  # the step that ended in an evaluation was counted there

    @torch.inference_mode()
    def evaluate(self, denoiser: CBSN) -> dict[str, float]:
        found = {"milliseconds": 1e3 * (time.process_time() - self.since) / (self.steps + 1)}
        for mode in self.modes:
            denoiser.set_mode(mode)
            done = [denoiser(y[None])[0] for y in self.noisy]
            found[SHORT[mode]] = fmean(psnr(x_hat, x) for x_hat, x in zip(done, self.clean, strict=True))
        self.steps, self.since = 0, time.process_time()
        return found


@torch.inference_mode()
def score(denoiser: CBSN, mode: str, pairs: Sequence[Pair]) -> Score:
    """PSNR in dB and SSIM of one output, clipped to [0, 1]; white is 1."""
    denoiser.set_mode(mode)
    return mean_score([(denoiser(planes(p.noisy)[None])[0], planes(p.clean)) for p in pairs])


def mean_score(results: Sequence[tuple[Tensor, Tensor]]) -> Score:
    """Means over (estimate, truth), each (C, H, W)."""
    return Score(fmean(psnr(*r) for r in results), fmean(ssim(*r) for r in results))


def own_gradient(denoiser: CBSN) -> float:
    """Largest gradient of blind outputs with respect to the input at their own pixel: exactly 0."""
    x = torch.rand(1, denoiser.in_channels, 16, 16, generator=generator(0)).requires_grad_()
    out = denoiser.net(x, masked=True)
    worst = 0.0
    for at in ((0, 0), (7, 8), (15, 3)):
        [g] = torch.autograd.grad(out[0, :, at[0], at[1]].sum(), x, retain_graph=True)
        worst = max(worst, float(g[0, :, at[0], at[1]].abs().max()))
    return worst
