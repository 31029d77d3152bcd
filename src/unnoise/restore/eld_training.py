"""Training of ELD: clean raw files, or photographs taken back to linear raw, and the noise of a calibrated camera drawn
anew for every step."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.crops import Crops
from unnoise.data.formats import EXTENSIONS, RAW_EXTENSIONS
from unnoise.data.inputs import expand_inputs
from unnoise.data.raw import is_raw, pack, read_raw
from unnoise.data.values import from_unit
from unnoise.errors import InputError
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, check_model
from unnoise.restore.eld import ELD, synthesise, unprocess
from unnoise.restore.photo_training import DataOptions, photographs, place
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import save

Told = Callable[[Progress], None] | None


class NetOptions(Options):
    """Of `restore.eld.ELD`."""

    channels: int = Field(default=4, gt=0)
    width: int = Field(default=32, gt=0)
    levels: int = Field(default=4, ge=1)
    clip_low: bool = True


class NoiseOptions(Options):
    """`camera` is the name of a shipped camera or a file of `unnoise calibrate`; `model` the letters of `SensorNoise`;
    `ratio` the range of low-light factors."""

    camera: str = "SonyA7S2"
    model: str = "PTRCQ"
    ratio: tuple[float, float] = (100.0, 300.0)


class SensorOptions(Options):
    """A sensor of `studies.eld`.

    Attributes
    ----------
    name : in the report.
    frames : "emva1288", the dark and lit frames of a real sensor, or the name of a camera, to draw them from.
    gain, shape : of the camera then: K in DN per electron, and lambda.
    size, dark : height and width of frames that are drawn, and how many dark ones.
    models : noise models that networks are trained with, keys of `studies.eld.MODELS`.
    """

    name: str
    frames: str = "emva1288"
    gain: float = Field(default=1.0, gt=0)
    shape: float = Field(default=0.0, gt=-0.5, lt=0.5)
    size: tuple[int, int] = (480, 640)
    dark: int = Field(default=50, ge=32)
    models: tuple[str, ...] = ("G", "G+P", "T", "ELD", "real")


class StudyOptions(Options):
    """Of `studies.eld`.

    Attributes
    ----------
    sensors : on which networks are trained and tested.
    seeds, pictures, crop : how many networks a model, pictures to test on, and their largest side.
    trained, ratios : range of low-light factors to train with, and those of the test.
    sets : names of `restore.eld_quality.SETS` to try a network on that is trained with the preset's own noise, where
        they are on this machine.
    published : set to ratio to PSNR in dB of the paper, to stand beside.
    dark : linear value (of white) under which a pixel counts as dark in the measure of rows.
    claims : what is claimed to the range that bears it out, fixed before the run.
    keep : folder in which networks stay, so that a study that was stopped goes on.
    """

    sensors: tuple[SensorOptions, ...] = ()
    seeds: int = Field(default=3, ge=1)
    pictures: int = Field(default=20, ge=1)
    crop: int = Field(default=320, ge=16)
    trained: tuple[float, float] = (200.0, 600.0)
    ratios: tuple[float, ...] = (200.0, 400.0, 600.0)
    sets: tuple[str, ...] = ()
    published: dict[str, dict[int, float]] = Field(default_factory=dict)
    dark: float = Field(default=0.05, gt=0)
    claims: dict[str, dict[str, float]] = Field(default_factory=dict)
    keep: str | None = None


class ELDPreset(Options):
    """One preset of `presets/eld.yaml`; crops are in pixels of the sensor, twice the side of packed ones."""

    net: NetOptions = NetOptions()
    data: DataOptions
    noise: NoiseOptions = NoiseOptions()
    fit: FitOptions
    study: StudyOptions = StudyOptions()


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/eld"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train ELD as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(ELDPreset, "eld", preset, overrides)
    training, _ = clean_pictures(p.data, data)
    settings = [part for override in overrides for part in ("--set", override)]
    denoiser, minutes, steps = train_on(training, p, out, resume, progress)
    denoiser.card.training.update(
        data=", ".join(p.data.train),
        pictures=training.distinct,
        data_licence=p.data.licence,
        camera=CameraNoise.load(p.noise.camera).name,
        ratio=list(p.noise.ratio),
        command=shlex.join(["unnoise", "train", "eld", "--preset", preset, *settings]),
        minutes=minutes,
        steps=steps,
    )
    return save(out / "eld.safetensors", denoiser, arch="eld", config=p.net.model_dump(mode="json"))


def clean_pictures(options: DataOptions, root: Path | None) -> tuple[Crops, Crops]:
    """Clean pictures to train on and held-out ones: photographs, or packed raw in 16 bits where they are camera files.

    Raises
    ------
    InputError : files of both kinds, or one without Bayer colours. MissingData : naming what is not there.
    """
    paths = expand_inputs([place(name, root) for name in options.train], (*RAW_EXTENSIONS, *EXTENSIONS))
    raws = sorted((path for path in paths if is_raw(path)), key=str)
    if not raws:
        return photographs(options, root)
    if len(raws) < len(paths):
        raise InputError(
            f"data.train has {len(raws)} camera files and {len(paths) - len(raws)} pictures: train on one kind"
        )
    return Crops([_packed(path) for path in raws]), Crops(())


def _packed(path: Path) -> NDArray[np.uint16]:
    raw = read_raw(path)
    if raw.pattern == "mono":
        raise InputError(f"{path} has no Bayer colours: train on files that have")
    return np.asarray(from_unit(pack(raw)[0].permute(1, 2, 0).numpy(), np.uint16))


def clean_batch(crops: Crops, k: int, p: ELDPreset) -> Tensor:
    """Packed linear raw `(B, 4, h, w)` in [0, 1] of step k, turned and mirrored, so that rows of noise stay rows."""
    packed = crops.images[0].shape[2] == 4
    side = p.data.crop // 2 if packed else p.data.crop
    x = crops.batch(k, p.fit.batch, side, p.fit.seed, p.data.downscale)
    return x if packed else unprocess(x)


def train_on(
    crops: Crops, p: ELDPreset, out: Path, resume: bool | Path = False, progress: Told = None
) -> tuple[ELD, float, int]:
    """The denoiser of a preset, trained on `clean_pictures`, the minutes and the steps it took."""
    check_model(p.noise.model)
    camera = CameraNoise.load(p.noise.camera)
    torch.manual_seed(p.fit.seed)
    denoiser = ELD(**p.net.model_dump())

    def batch_at(k: int) -> Batch:
        x = clean_batch(crops, k, p)
        g = [generator(p.fit.seed, k, i) for i in range(len(x))]
        return {"x": x, "y": synthesise(x, camera, g, p.noise.model, p.noise.ratio, p.net.clip_low)}

    def loss_of(net: nn.Module, batch: Batch) -> Tensor:
        return F.l1_loss(net(batch["y"]), batch["x"])

    config = p.model_dump(mode="json")
    fitted = fit(denoiser, loss_of, batch_at, out, p.fit, config=config, resume=resume, progress=progress)
    denoiser.load_state_dict(fitted.net.state_dict())
    return denoiser.eval(), round(fitted.seconds / 60, 2), fitted.step
