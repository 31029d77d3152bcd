"""C-BSN: is a network with switchable blindness better than a plain blind-spot network, with noisy pictures alone?

Every network of a seed has the same size, steps and crops, and learns from the noisy pictures it is then tested on.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.data.pairs import Pair, microscopy_pairs, real_pairs
from unnoise.data.samples import sample_photo
from unnoise.errors import unknown
from unnoise.metrics import psnr
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator, normal_like
from unnoise.restore.cbsn import CBSN, suggest_stride
from unnoise.restore.cbsn_training import CBSNPreset, LossOptions, StudyOptions, train_on
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.training.presets import load_preset

NEVER = 10**12  # a ramp so long that the unmasked losses do not act
SETS = ("samples", "isp", "cc15", "polyu", "w2s")
OUTPUTS = {
    "C-BSN": ("cbsn", "unmasked"),
    "C-BSN, blind on sub-images": ("cbsn", "blind-pd"),
    "plain blind-spot": ("plain", "blind"),
    "without invariance loss": ("no invariance", "unmasked"),
}
"""Name in the tables -> which training, and which of its outputs."""


def run(preset: str = "laptop") -> Report:
    """Train and test every network of a preset of presets/cbsn.yaml."""
    start = time.perf_counter()
    p = load_preset(CBSNPreset, "cbsn", preset)
    study = p.study
    pairs = list(study_pairs(study))
    noisy = [_planes(pair.noisy) for pair in pairs]
    net = p.net.model_copy(update={"in_channels": noisy[0].shape[0]})
    scores: dict[str, list[float]] = {name: [] for name in OUTPUTS}
    blind = 0.0
    for seed in range(study.seeds):
        trained = {}
        for name, loss in trainings(p.loss).items():
            options = p.fit.model_copy(update={"seed": seed})
            with tempfile.TemporaryDirectory() as folder:
                trained[name], _, _ = train_on(noisy, net, loss, options, p.data.crop, Path(folder))
            blind = max(blind, own_gradient(trained[name]))
        for shown, (name, mode) in OUTPUTS.items():
            trained[name].set_mode(mode)
            scores[shown].append(_score(trained[name], noisy, pairs))
    before = fmean(psnr(pair.noisy.clip(0, 1), pair.clean) for pair in pairs)
    rows: list[tuple[Any, ...]] = [("noisy", round(before, 2), None)]
    for name, values in scores.items():
        mean, interval = mean_interval(values)
        rows.append((name, round(mean, 2), None if interval is None else round(interval[1] - mean, 2)))
    strides = [suggest_stride(y[None]) for y in noisy]
    return Report(
        slug="cbsn",
        preset=preset,
        command=f"unnoise reproduce cbsn --preset {preset}",
        seeds=tuple(range(study.seeds)),
        seconds=time.perf_counter() - start,
        checks=(
            Check("gradient of a blind output at its own pixel", blind, 0.0),
            Check("pictures", len(pairs), 1, ">="),
        ),
        claims=tuple(_claims(scores, before, study)),
        tables=(
            Table(
                f"PSNR in dB over {len(pairs)} pictures of {study.data}, mean over seeds",
                ("output", "PSNR", "±, 95 %"),
                tuple(rows),
                f"Stride suggested by the noise: {min(strides)} to {max(strides)}; used: {p.loss.stride_blind}.",
            ),
        ),
    )


def trainings(loss: LossOptions) -> dict[str, LossOptions]:
    """The method and its ablations: they differ in the loss alone."""
    return {
        "cbsn": loss,
        "plain": loss.model_copy(update={"stride_blind": 1, "ramp_steps": NEVER}),
        "no invariance": loss.model_copy(update={"lam": 0.0}),
    }


def own_gradient(denoiser: CBSN) -> float:
    """Largest gradient of blind outputs with respect to the input at their own pixel: exactly 0."""
    x = torch.rand(1, denoiser.in_channels, 16, 16, generator=generator(0)).requires_grad_()
    out = denoiser.net(x, masked=True)
    worst = 0.0
    for at in ((0, 0), (7, 8), (15, 3)):
        [g] = torch.autograd.grad(out[0, :, at[0], at[1]].sum(), x, retain_graph=True)
        worst = max(worst, float(g[0, :, at[0], at[1]].abs().max()))
    return worst


def study_pairs(study: StudyOptions) -> Iterator[Pair]:
    """Noisy pictures and their truth; "isp" and "samples" are real pictures through `camera_noise`."""
    if study.data not in SETS:
        raise unknown("set of pictures", study.data, SETS)
    if study.data == "samples":
        source: Iterator[Pair] = (Pair(n, x, x) for n in ("astronaut", "coffee") for x in [sample_photo(n)])
    elif study.data == "w2s":
        source = microscopy_pairs("test")
    else:
        source = real_pairs("cc15" if study.data == "isp" else study.data)
    for i, pair in enumerate(source):
        if i == study.pictures:
            return
        top, left = (max(0, (n - study.crop) // 2) for n in pair.clean.shape[:2])
        part = (slice(top, top + study.crop), slice(left, left + study.crop))
        noisy, clean = pair.noisy[part], pair.clean[part]
        if study.data in ("isp", "samples"):
            noisy = camera_noise(_planes(clean)[None], study.a, study.b, generator(0, i))[0].permute(1, 2, 0).numpy()
        yield Pair(pair.name, np.ascontiguousarray(noisy), np.ascontiguousarray(clean))


def camera_noise(x: Tensor, a: float, b: float, g: torch.Generator) -> Tensor:
    """Noise as a simple camera leaves it: on the linear mosaic with variance `a x + b`, then demosaicked bilinearly.

    x is sRGB `(B, 3, H, W)` in [0, 1]; gamma 2.2 on the way in and out; the result is clipped.
    """
    raw = mosaic(x.clamp(0, 1) ** 2.2)
    raw = raw + (a * raw + b).sqrt() * normal_like(raw, g)
    return demosaick(raw, "bilinear").clamp(0, 1) ** (1 / 2.2)


@torch.inference_mode()
def _score(denoiser: CBSN, noisy: list[Tensor], pairs: list[Pair]) -> float:
    values = []
    for y, pair in zip(noisy, pairs, strict=True):
        x_hat = denoiser(y[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
        values.append(psnr(x_hat.reshape(pair.clean.shape), pair.clean))
    return fmean(values)


def _claims(scores: dict[str, list[float]], before: float, study: StudyOptions) -> Iterator[Claim]:
    """What the paper says of its parts, seed by seed; its own numbers are of other data."""
    ours = scores["C-BSN"]
    for name, values in scores.items():
        if name != "C-BSN":
            value, interval = mean_interval([a - b for a, b in zip(ours, values, strict=True)])
            yield Claim(f"C-BSN above {name}", value, Criterion(at_least=0.0), interval, unit="dB")
    value, interval = mean_interval([a - before for a in ours])
    yield Claim("C-BSN above the noisy pictures", value, Criterion(at_least=study.above_noisy), interval, unit="dB")


def _planes(picture: Any) -> Tensor:
    t = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
    return t[None] if t.ndim == 2 else t.permute(2, 0, 1).contiguous()
