"""ELD: does noise drawn from a calibrated sensor look like its real noise, and does a network trained on it gain?

One sensor is real (EMVA 1288 reference set 001): one half of its dark frames calibrates, the other is what drawn noise
is compared with and what networks are tested on. The frames of another are drawn with the parameters of a camera of
heavy tails, which says what such tails are worth, not that a real one has them. Photographs, taken back to linear raw,
are the clean data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unnoise.data import catalog
from unnoise.data.crops import Crops
from unnoise.data.photo import read_photo
from unnoise.denoiser import Denoiser, Tiled
from unnoise.errors import MissingData
from unnoise.metrics import psnr
from unnoise.noise.calibration import IsoFit, calibrate, synthetic_beside_real, temporal
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, SensorNoise
from unnoise.restore.eld import ELD, banding, illumination_correct, unprocess
from unnoise.restore.eld_quality import measure, pairs_of
from unnoise.restore.eld_training import ELDPreset, SensorOptions, StudyOptions, clean_pictures, train_on
from unnoise.studies.intervals import mean_interval
from unnoise.studies.kept import kept, key
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.training.loop import CHECKPOINT, Batch, fit
from unnoise.training.presets import load_preset

MODELS = {"G": "G", "G+P": "GP", "T": "PTQ", "ELD": "PTRQ", "real": "P"}
"""Name in the tables -> letters of the model that is drawn; "real" is photons drawn and dark frames measured."""
BLACK = 800.0  # DN under frames that are drawn
LIT = (0.08, 0.25, 0.45, 0.65)  # brightness of their flats, of white

Frames = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Sensor:
    """A calibrated camera, what was found, and its dark frames without fixed pattern: to learn from and to test on."""

    camera: CameraNoise
    fit: IsoFit
    train: Frames
    test: Frames
    held: Sequence[NDArray[np.generic]]


class Score(NamedTuple):
    """Means over pictures: PSNR and PSNR after illumination correction in dB, and the rows left in dark parts."""

    plain: float
    corrected: float
    rows: float


Scores = dict[tuple[str, int, float], Score]
"""Model, seed, ratio -> what was reached."""


@dataclass(eq=False)
class Networks:
    """Trains when asked, once: by everything that shapes the result. `spent` is what this run added."""

    folder: Path
    crops: Crops
    preset: ELDPreset
    seconds: float = 0.0
    spent: float = field(default=0.0)

    def get(self, name: str, seed: int, sensor: Sensor) -> ELD:
        """A network in `eval` mode, trained with the noise model `name` of a sensor."""
        p = self.preset
        shape = [name, seed, p.net.model_dump(), p.data.model_dump(), p.fit.model_dump(), p.study.trained]
        noise = repr(sensor.camera.at(sensor.fit.gain, MODELS[name]))
        out = self.folder / f"{name}-{seed}-{key([*shape, noise], sensor.train[0].tobytes())}"
        start = time.perf_counter()
        denoiser, seconds = trained(name, seed, self.crops, sensor, p, out)
        self.spent += time.perf_counter() - start
        self.seconds += seconds
        return denoiser

    def of_the_camera(self) -> ELD:
        """A network in `eval` mode, trained with the preset's own noise."""
        p, start = self.preset, time.perf_counter()
        shape = [p.net.model_dump(), p.data.model_dump(), p.noise.model_dump(), p.fit.model_dump()]
        out = self.folder / f"camera-{key(shape)}"
        denoiser, minutes, _ = train_on(self.crops, p, out, resume=(out / CHECKPOINT).exists())
        self.spent += time.perf_counter() - start
        self.seconds += 60 * minutes
        return denoiser


def run(preset: str = "laptop") -> Report:
    """Calibrate, compare drawn with real dark frames, train a network a noise model and seed, test on real noise."""
    start = time.perf_counter()
    p = load_preset(ELDPreset, "eld", preset)
    study = p.study
    training, held = clean_pictures(p.data, catalog.root())
    shown = (held.images or training.images)[: study.pictures] if study.sensors else ()
    tests = [_middle(image, study.crop) for image in shown]
    checks, claims, tables = list(round_trip(preset != "smoke")), [], []
    with kept(study.keep) as folder:
        networks = Networks(folder, training, p)
        for options in study.sensors:
            sensor = calibrated(*_frames(options))
            more, fidelity = _faithful(sensor, options)
            checks += more
            scores: Scores = {}
            for seed in range(study.seeds):
                for name in options.models:
                    net = networks.get(name, seed, sensor)
                    for ratio in study.ratios:
                        scores[name, seed, ratio] = evaluate(net, tests, sensor, ratio, study.dark)
            claims += _claims(scores, options, study)
            tables += [fidelity, _scores(scores, options, study)]
        if study.sets:
            tables.append(_on_sets(networks))
    return Report(
        slug="eld",
        preset=preset,
        command=f"unnoise reproduce eld --preset {preset}",
        seeds=tuple(range(study.seeds)),
        seconds=time.perf_counter() - start - networks.spent + networks.seconds,
        checks=tuple(checks),
        claims=tuple(claims),
        tables=tuple(tables),
    )


def calibrated(
    dark: Sequence[NDArray[np.generic]], flats: Sequence[Sequence[NDArray[np.generic]]], white: float | None = None
) -> Sensor:
    """The sensor from the first half of its dark frames and its flats."""
    half = len(dark) // 2
    camera, [found] = calibrate({100.0: dark[:half]}, {100.0: flats}, name="study", white=white)
    return Sensor(camera, found, temporal(dark[:half]), temporal(dark[half:]), dark[half:])


def _frames(
    options: SensorOptions,
) -> tuple[Sequence[NDArray[np.generic]], Sequence[Sequence[NDArray[np.generic]]], float | None]:
    """Dark frames, pairs of flats, and white where the frames do not tell: of the EMVA set, or drawn."""
    if options.frames == "emva1288":
        folder = catalog.require("emva1288")
        names = sorted({path.name[:5] for path in folder.glob("b_*_snap_*.png")})
        flats = [[read_photo(path).pixels for path in sorted(folder.glob(f"{name}_*.png"))] for name in names]
        return [read_photo(path).pixels for path in sorted(folder.glob("d_s_*.png"))], flats, None
    noise = _truth(options)
    dark = [shot(noise, 0.0, options.size, i) for i in range(options.dark)]
    flats = [[shot(noise, level, options.size, round(1000 * level), k) for k in (1, 2)] for level in LIT]
    return dark, flats, noise.scale + BLACK


def _truth(options: SensorOptions) -> SensorNoise:
    """Of frames that are drawn: the camera at its gain, without colours; rounding comes with the numbers."""
    camera = CameraNoise.load(options.frames)
    return replace(camera.at(options.gain, "PTR"), shape=options.shape, bias=(0.0,))


def shot(noise: SensorNoise, level: float, size: tuple[int, int], *seed: int) -> NDArray[np.float64]:
    """A frame in whole DN of an even surface at `level` of white."""
    y = noise.sample(torch.full((1, 1, *size), level), generator(0, *seed))[0, 0].double().numpy()
    return np.rint(y * noise.scale + BLACK)


def _faithful(sensor: Sensor, options: SensorOptions) -> tuple[list[Check], Table]:
    """Whether calibration finds what is known of a sensor, and drawn dark frames resemble those that were held out."""
    found = synthetic_beside_real(sensor.camera, sensor.held)
    table = Table(
        f"{options.name}: dark frames held out, and as many drawn after a fit on the others (DN)",
        ("frames", "std", "std of row means", "std of column means", "excess kurtosis", "KL"),
        tuple((name, f.std, f.rows, f.columns, f.kurtosis, f.divergence) for name, f in found.items()),
    )
    real, drawn, gauss = found["real"], found["Tukey-lambda and rows"], found["Gaussian"]
    row, shape = float(sensor.fit.row.mean()), float(sensor.fit.shape.mean())
    checks = [
        Check(f"{options.name}: row noise of drawn frames off the held out", abs(drawn.rows / real.rows - 1), 0.1)
    ]
    if options.frames == "emva1288":
        checks += [
            Check(f"{options.name}: row noise that a Gaussian model has, of the real", gauss.rows / real.rows, 0.3),
            Check(f"{options.name}: std of drawn frames off the held out", abs(drawn.std / real.std - 1), 0.02),
            Check(f"{options.name}: K off 0.28 DN per electron", abs(sensor.fit.gain - 0.28), 0.01),
            Check(f"{options.name}: row noise off 0.505 DN", abs(row - 0.505), 0.055),
            Check(f"{options.name}: lambda off 0.13", abs(shape - 0.13), 0.03),
        ]
    else:
        truth = _truth(options)
        checks += [
            Check(f"{options.name}: K off the true one, of it", abs(sensor.fit.gain / truth.gain - 1), 0.03),
            Check(f"{options.name}: row noise off the true one, of it", abs(row / truth.row - 1), 0.1),
            Check(f"{options.name}: lambda off the true one", abs(shape - truth.shape), 0.02),
        ]
    return checks, table


def round_trip(full: bool) -> Iterator[Check]:
    """Calibration of frames drawn with the released parameters of the SonyA7S2, at nine gains or, shorter, at three."""
    sony = CameraNoise.load("SonyA7S2")
    at = range(9) if full else (0, 4, 8)
    dark, flats, shapes = {}, {}, []
    for i in at:
        gain = math.exp(math.log(sony.gains[0]) + i / 8 * math.log(sony.gains[1] / sony.gains[0]))
        noise = replace(sony.at(gain, "PTR"), shape=sony.shapes[2 * i], bias=(0.0,))
        iso = 100.0 * 2**i
        dark[iso] = [shot(noise, 0.0, (320, 400), i, k) for k in range(4)]
        flats[iso] = [[shot(noise, v, (320, 400), i, round(1000 * v), k) for k in (1, 2)] for v in LIT[:3]]
        shapes.append(noise.shape)
    camera, fits = calibrate(dark, flats, black=BLACK, white=sony.white)
    for name in ("read", "row"):
        ours, theirs = getattr(camera, name), getattr(sony, name)
        yield Check(f"round trip: slope of the {name} noise off", abs(ours.slope - theirs.slope), 0.05)
        yield Check(f"round trip: intercept of the {name} noise off", abs(ours.intercept - theirs.intercept), 0.05)
    off = max(abs(float(f.shape.mean()) - s) for f, s in zip(fits, shapes, strict=True))
    yield Check("round trip: largest error of lambda", off, 0.02)


def trained(name: str, seed: int, crops: Crops, sensor: Sensor, p: ELDPreset, out: Path) -> tuple[ELD, float]:
    """A network of the preset, trained with one noise model, and the seconds it took; goes on where `out` stopped.

    Crops and exposures depend on the seed and step alone, so that networks of a seed differ in the noise only.
    """
    torch.manual_seed(seed)
    denoiser = ELD(**p.net.model_dump())
    options = p.fit.model_copy(update={"seed": seed})
    low, high = p.study.trained

    def batch_at(k: int) -> Batch:
        x = unprocess(crops.batch(k, options.batch, p.data.crop, seed, p.data.downscale))
        g = generator(seed, k)
        ratios = low + (high - low) * torch.rand(len(x), generator=g, dtype=torch.float64)
        y = [expose(c[None], name, float(r), sensor, sensor.train, g) for c, r in zip(x, ratios, strict=True)]
        return {"x": x, "y": torch.cat(y)}

    def loss_of(net: nn.Module, batch: Batch) -> Tensor:
        return F.l1_loss(net(batch["y"]), batch["x"])

    fitted = fit(denoiser, loss_of, batch_at, out, options, resume=(out / CHECKPOINT).exists())
    denoiser.load_state_dict(fitted.net.state_dict())
    return denoiser.eval(), fitted.seconds


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
def evaluate(net: ELD, pictures: Sequence[Tensor], sensor: Sensor, ratio: float, dark: float = math.inf) -> Score:
    """What a network reaches on dark frames that were held out; the same noise for every network."""
    found = []
    for i, x in enumerate(pictures):
        x_hat = net(expose(x, "real", ratio, sensor, sensor.test, generator(1, i, round(ratio))))[0]
        fixed = illumination_correct(x_hat, x[0])
        truth = x[0].numpy()
        found.append((psnr(x_hat.numpy(), truth), psnr(fixed.numpy(), truth), banding(fixed, x[0], dark)))
    # pictures without dark parts have no rows to speak of
    return Score(fmean(f[0] for f in found), fmean(f[1] for f in found), float(np.nanmean([f[2] for f in found])))


def _claims(scores: Mapping[tuple[str, int, float], Score], options: SensorOptions, study: StudyOptions) -> list[Claim]:
    """ELD against the Poisson-Gaussian model and the real frames, paired by seed; criteria are in the preset."""
    found = []
    for name, goal in study.claims.items():
        measure, _, other = name.partition(": ")
        if not {"ELD", other} <= set(options.models):
            continue
        for ratio in study.ratios:
            pairs = [(scores["ELD", s, ratio], scores[other, s, ratio]) for s in range(study.seeds)]
            if measure == "rows":
                text, unit = f"rows left by ELD over those by {other}", ""
                values = [ours.rows / theirs.rows for ours, theirs in pairs]
            else:
                text, unit = f"ELD above {other}", "dB"
                values = [ours.corrected - theirs.corrected for ours, theirs in pairs]
            value, interval = mean_interval(values)
            found.append(
                Claim(f"{options.name}: {text}, ratio {ratio:g}", value, Criterion(**goal), interval, unit=unit)
            )
    return found


def _scores(scores: Mapping[tuple[str, int, float], Score], options: SensorOptions, study: StudyOptions) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name in options.models:
        for ratio in study.ratios:
            mine = [scores[name, seed, ratio] for seed in range(study.seeds)]
            rows.append((name, f"{ratio:g}", *(fmean(each) for each in zip(*mine, strict=True))))
    return Table(
        f"{options.name}: networks tested on dark frames held out, mean over seeds and pictures",
        ("trained with", "ratio", "PSNR (dB)", "corrected (dB)", "rows (of white)"),
        tuple(rows),
        "corrected: after illumination correction; rows: standard deviation of the means of sensor rows of what is "
        f"left, where the truth is below {study.dark:g}",
    )


def _on_sets(networks: Networks) -> Table:
    """Real low-light photographs, as far as they are here: what was measured beside what the paper measured."""
    study = networks.preset.study
    rows: list[tuple[Any, ...]] = []
    missing = []
    denoiser: Denoiser | None = None
    for name in study.sets:
        try:
            for ratio, read in pairs_of(name).items():
                pairs = read()
                first = next(pairs)  # raises where the set is not there, before a network is trained for it
                denoiser = denoiser or Tiled(networks.of_the_camera(), 512)
                paper = study.published.get(name, {}).get(ratio)
                rows.append((name, ratio, *measure(denoiser, chain([first], pairs)), paper))
        except MissingData:
            missing.append(name)
    skipped = f"Skipped, as not on this machine: {', '.join(missing)}; unnoise data says where to get them."
    return Table(
        f"Low-light photographs, a network trained on noise of the {networks.preset.noise.camera}; corrected: after "
        "illumination correction, as in the paper",
        ("set", "ratio", "PSNR (dB)", "SSIM", "corrected (dB)", "SSIM, corrected", "paper (dB)"),
        tuple(rows),
        skipped if missing else "",
    )


def _middle(image: NDArray[np.uint8], crop: int) -> Tensor:
    """The middle of a photograph as clean packed raw, (1, 4, crop / 2, crop / 2) or less."""
    sides = [min(n, crop) // 8 * 8 for n in image.shape[:2]]
    top, left = ((n - s) // 2 for n, s in zip(image.shape[:2], sides, strict=True))
    part = image[top : top + sides[0], left : left + sides[1]]
    return unprocess(torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255)
