"""ELD: does noise drawn from a calibrated sensor look like its real noise, and does a network trained on it gain?

The sensor is real (EMVA 1288 reference set 001), its dark frames are split: one half calibrates, the other is what
drawn noise is compared with and what networks are tested on. Photographs, taken back to linear raw, are the clean data.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unnoise.data import catalog
from unnoise.data.crops import Crops
from unnoise.data.photo import read_photo
from unnoise.metrics import psnr
from unnoise.noise.calibration import IsoFit, calibrate, synthetic_beside_real, temporal
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, SensorNoise
from unnoise.restore.eld import ELD, banding, illumination_correct, unprocess
from unnoise.restore.eld_training import ELDPreset, StudyOptions
from unnoise.restore.photo_training import photographs
from unnoise.studies.intervals import mean_interval
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.training.loop import Batch, fit
from unnoise.training.presets import load_preset

MODELS = {"G": "G", "G+P": "GP", "ELD": "PTRQ", "real": "P"}
"""Name in the tables -> letters of the model that is drawn; "real" is photons drawn and dark frames measured."""

Frames = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Sensor:
    """A calibrated camera, what was found, and its dark frames without fixed pattern: to learn from and to test on."""

    camera: CameraNoise
    fit: IsoFit
    train: Frames
    test: Frames
    held: Sequence[NDArray[np.generic]]


def run(preset: str = "laptop") -> Report:
    """Calibrate, compare drawn with real dark frames, train a network a noise model and seed, test on real noise."""
    start = time.perf_counter()
    p = load_preset(ELDPreset, "eld", preset)
    study = p.study
    sensor = calibrated(*_frames(study))
    found = synthetic_beside_real(sensor.camera, sensor.held)
    fidelity = Table(
        "Dark frames held out, and as many drawn after a fit on the others (DN)",
        ("frames", "std", "std of row means", "std of column means", "excess kurtosis", "KL"),
        tuple((name, f.std, f.rows, f.columns, f.kurtosis, f.divergence) for name, f in found.items()),
    )
    real, drawn, gauss = found["real"], found["Tukey-lambda and rows"], found["Gaussian"]
    checks = [
        Check("row noise of drawn frames off that of real ones", abs(drawn.rows / real.rows - 1), 0.1),
        Check("row noise that a Gaussian model has, of the real", gauss.rows / real.rows, 0.5),
        Check("standard deviation of drawn frames off that of real ones", abs(drawn.std / real.std - 1), 0.02),
        *_expected(sensor, study),
    ]
    training, held = photographs(p.data, catalog.root())
    tests = [_middle(image, study.crop) for image in (held.images or training.images)[: study.pictures]]
    scores = {
        (name, seed): evaluate(trained(name, seed, training, sensor, p), tests, sensor, study.ratios)
        for seed in range(study.seeds)
        for name in study.models
    }
    rows: list[tuple[Any, ...]] = []
    for name in study.models:
        for ratio in study.ratios:
            mine = [scores[name, seed][ratio] for seed in range(study.seeds)]
            rows.append((name, f"{ratio:g}", *(fmean(m[k] for m in mine) for k in range(3))))
    networks = Table(
        "Networks tested on real dark frames, mean over seeds and pictures",
        ("trained with", "ratio", "PSNR (dB)", "PSNR, illumination corrected (dB)", "rows left (of white)"),
        tuple(rows),
    )
    return Report(
        slug="eld",
        preset=preset,
        command=f"unnoise reproduce eld --preset {preset}",
        seeds=tuple(range(study.seeds)),
        seconds=time.perf_counter() - start,
        checks=tuple(checks),
        claims=tuple(_claims(scores, study)),
        tables=(fidelity, networks),
    )


def calibrated(dark: Sequence[NDArray[np.generic]], flats: Sequence[Sequence[NDArray[np.generic]]]) -> Sensor:
    """The sensor from the first half of its dark frames and its flats."""
    half = len(dark) // 2
    camera, [found] = calibrate({100.0: dark[:half]}, {100.0: flats}, name="study")
    return Sensor(camera, found, temporal(dark[:half]), temporal(dark[half:]), dark[half:])


def _frames(
    study: StudyOptions,
) -> tuple[Sequence[NDArray[np.generic]], Sequence[Sequence[NDArray[np.generic]]]]:
    """Dark frames and pairs of flats: those of the EMVA set, or drawn ones where no data are needed."""
    if study.frames == "emva1288":
        folder = catalog.require("emva1288")
        names = sorted({path.name[:5] for path in folder.glob("b_*_snap_*.png")})
        flats = [[read_photo(path).pixels for path in sorted(folder.glob(f"{name}_*.png"))] for name in names]
        return [read_photo(path).pixels for path in sorted(folder.glob("d_s_*.png"))], flats
    noise = SensorNoise(gain=0.28, read=2.05, shape=0.13, row=0.5, scale=3900.0, model="PTR")

    def shot(level: float, *seed: int) -> NDArray[np.float64]:
        x = torch.full((1, 1, 160, 192), level / noise.scale)
        return np.rint(noise.sample(x, generator(0, *seed))[0, 0].double().numpy() * noise.scale + 20)

    return [shot(0.0, i) for i in range(32)], [[shot(v, int(v), k) for k in (1, 2)] for v in (300, 900, 1800, 2600)]


def _expected(sensor: Sensor, study: StudyOptions) -> list[Check]:
    """What the spec's own measurement of this sensor gives."""
    f = sensor.fit
    row, shape = float(f.row.mean()), float(f.shape.mean())
    return [
        Check("K off 0.28 DN per electron", abs(f.gain - 0.28), 0.01),
        Check("row noise off 0.505 DN", abs(row - 0.505), 0.055),
        Check("lambda off 0.13", abs(shape - 0.13), 0.03),
    ]


def trained(name: str, seed: int, crops: Crops, sensor: Sensor, p: ELDPreset) -> ELD:
    """A network of the preset, trained with one noise model; crops and exposures depend on the seed and step alone."""
    torch.manual_seed(seed)
    denoiser = ELD(**p.net.model_dump())
    options = p.fit.model_copy(update={"seed": seed})
    low, high = p.noise.ratio

    def batch_at(k: int) -> Batch:
        x = unprocess(crops.batch(k, options.batch, p.data.crop, seed, p.data.downscale))
        g = generator(seed, k)
        ratios = low + (high - low) * torch.rand(len(x), generator=g, dtype=torch.float64)
        y = [expose(c[None], name, float(r), sensor, sensor.train, g) for c, r in zip(x, ratios, strict=True)]
        return {"x": x, "y": torch.cat(y)}

    def loss_of(net: nn.Module, batch: Batch) -> Tensor:
        return F.l1_loss(net(batch["y"]), batch["x"])

    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(denoiser, loss_of, batch_at, Path(folder), options)
    denoiser.load_state_dict(fitted.net.state_dict())
    return denoiser.eval()


def expose(x: Tensor, name: str, ratio: float, sensor: Sensor, frames: Frames, g: torch.Generator) -> Tensor:
    """Clean packed raw (1, 4, h, w) exposed `ratio` times too short by a model of `MODELS`, amplified, in [0, 1]."""
    noise = replace(sensor.camera.at(sensor.fit.gain, MODELS[name]), ratio=ratio, bias=(0.0,))
    y = noise.sample(x, g)
    if name == "real":
        y = y + _dark(x, frames, g) * (ratio / noise.scale)
    return y.clamp(0, 1)


def _dark(x: Tensor, frames: Frames, g: torch.Generator) -> Tensor:
    """A random part of a real dark frame in DN, packed like x; it begins on even rows, so that rows stay whole."""
    frame = frames[int(torch.randint(len(frames), (), generator=g))]
    h, w = 2 * x.shape[2], 2 * x.shape[3]
    top, left = (
        2 * int(torch.randint((have - want) // 2 + 1, (), generator=g))
        for have, want in zip(frame.shape, (h, w), strict=True)
    )
    return F.pixel_unshuffle(torch.from_numpy(frame[top : top + h, left : left + w]).float()[None, None], 2)


@torch.inference_mode()
def evaluate(
    net: ELD, pictures: Sequence[Tensor], sensor: Sensor, ratios: Sequence[float]
) -> dict[float, tuple[float, float, float]]:
    """PSNR, PSNR after illumination correction and rows left, for each ratio, on held-out real dark frames."""
    found = {}
    for ratio in ratios:
        rows = []
        for i, x in enumerate(pictures):
            y = expose(x, "real", ratio, sensor, sensor.test, generator(1, i, round(ratio)))
            x_hat = net(y)[0]
            fixed = illumination_correct(x_hat, x[0])
            rows.append((psnr(x_hat.numpy(), x[0].numpy()), psnr(fixed.numpy(), x[0].numpy()), banding(fixed, x[0])))
        found[ratio] = tuple(fmean(r[k] for r in rows) for k in range(3))
    return found  # type: ignore[return-value]  # three of them


def _claims(scores: dict[tuple[str, int], dict[float, tuple[float, float, float]]], study: StudyOptions) -> list[Claim]:
    """Corrected PSNR of ELD against the Poisson-Gaussian model and the real frames, paired by seed."""
    claims = []
    for ratio in study.ratios:
        for other, criterion in (("G+P", study.above_gp), ("real", study.above_real)):
            if not {other, "ELD"} <= set(study.models):
                continue
            gains = [scores["ELD", s][ratio][1] - scores[other, s][ratio][1] for s in range(study.seeds)]
            value, interval = mean_interval(gains)
            claims.append(
                Claim(f"ELD above {other}, ratio {ratio:g}", value, Criterion(at_least=criterion), interval, unit="dB")
            )
    return claims


def _middle(image: NDArray[np.uint8], crop: int) -> Tensor:
    """The middle of a photograph as clean packed raw, (1, 4, crop / 2, crop / 2) or less."""
    sides = [min(n, crop) // 8 * 8 for n in image.shape[:2]]
    top, left = ((n - s) // 2 for n, s in zip(image.shape[:2], sides, strict=True))
    part = image[top : top + sides[0], left : left + sides[1]]
    return unprocess(torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255)
