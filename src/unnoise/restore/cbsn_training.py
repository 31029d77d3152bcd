"""Training of C-BSN on noisy pictures: a data set, a folder, or the one picture that is to be cleaned."""

from __future__ import annotations

import math
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.inputs import expand_inputs
from unnoise.data.photo import read_photo
from unnoise.data.values import to_unit
from unnoise.denoiser.base import Denoiser
from unnoise.errors import InputError, MissingData
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn import CBSN, cbsn_loss, random_subsample, statistics, suggest_stride
from unnoise.restore.photo import fast_precision
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import checked, load_preset
from unnoise.zoo.files import load, save

Told = Callable[[Progress], None] | None
LARGEST = 1024  # edge of the middle part of a picture that is learnt from
LEAST_STEPS = 20


class NetOptions(Options):
    """Of `restore.cbsn.BlindSpotNet`."""

    in_channels: int = Field(default=3, gt=0)
    width: int = Field(default=128, gt=0)
    n_modules: int = Field(default=9, gt=0)
    tail: int = Field(default=64, gt=0)


class LossOptions(Options):
    """Of `restore.cbsn.cbsn_loss`; `ramp_steps` is where the weight of the unmasked losses reaches 1, `None`: never."""

    stride_blind: int = Field(default=5, ge=1)
    stride_inv: int = Field(default=2, ge=1)
    lam: float = Field(default=2.0, ge=0)
    ramp_steps: int | None = Field(default=200_000, ge=0)


class DataOptions(Options):
    """Noisy pictures, files or folders under the data root or `scikit-image/<file>`; `ending` keeps the names that end
    so (`_real` where a folder holds references too); `licence` is what the card says of them; `crop` is the side of the
    square crops."""

    train: tuple[str, ...]
    licence: str
    ending: str = ""
    crop: int = Field(default=120, ge=10)


class CBSNPreset(Options):
    """One preset of `presets/cbsn.yaml`."""

    net: NetOptions = NetOptions()
    data: DataOptions
    loss: LossOptions = LossOptions()
    fit: FitOptions


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/cbsn"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train C-BSN as a preset says, or any preset on noisy pictures of your own with `data.train`; the weight file."""
    from unnoise.restore.photo_training import place

    p = load_preset(CBSNPreset, "cbsn", preset, overrides)
    pictures = read_pictures((place(name, data) for name in p.data.train), p.net.in_channels, p.data.ending)
    settings = [part for override in overrides for part in ("--set", override)]
    command = shlex.join(["unnoise", "train", "cbsn", "--preset", preset, *settings])
    denoiser, seconds, steps = train_on(pictures, p.net, p.loss, p.fit, p.data.crop, out, resume, progress)
    denoiser.card.training.update(
        data=", ".join(p.data.train), pictures=len(pictures), command=command, minutes=round(seconds / 60, 2),
        steps=steps, data_licence=p.data.licence,
    )  # fmt: skip
    return save(out / "cbsn.safetensors", denoiser, arch="cbsn", config=p.net.model_dump(mode="json"))


def train_on(
    pictures: Sequence[Tensor],
    net: NetOptions,
    loss: LossOptions,
    options: FitOptions,
    crop: int,
    out: Path,
    resume: bool | Path = False,
    progress: Told = None,
    init: CBSN | None = None,
    evaluate: Callable[[CBSN], dict[str, float]] | None = None,
) -> tuple[CBSN, float, int]:
    """Train on noisy pictures (C, H, W) with white at 1: the denoiser, the seconds and the steps it took.

    `evaluate` is given the averaged network every `evaluate_every` steps; its numbers go into the log.

    Raises
    ------
    InputError : a crop that is no multiple of both strides, or larger than every picture.
    """
    lcm = math.lcm(loss.stride_blind, loss.stride_inv)
    if crop % lcm:
        raise InputError(
            f"a crop of {crop} must be a multiple of both strides, {loss.stride_blind} and {loss.stride_inv}: "
            f"take {max(lcm, crop // lcm * lcm)}"
        )
    if not any(min(p.shape[1:]) >= crop for p in pictures):
        largest = max(min(p.shape[1:]) for p in pictures)
        raise InputError(f"a crop of {crop} is larger than every picture (the largest has a side of {largest})")
    torch.manual_seed(options.seed)
    denoiser = CBSN(**net.model_dump(), stride_blind=loss.stride_blind)
    if init is not None:
        denoiser.load_state_dict(init.state_dict())

    def batch_at(k: int) -> Batch:
        x = noisy_crops(pictures, k, options.batch, crop, options.seed)
        _, index = random_subsample(x, loss.stride_inv, generator=generator(options.seed, k, 1))
        return {"x": x, "index": index, "step": torch.full((len(x),), k)}

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        return cbsn_loss(model, batch["x"], int(batch["step"][0]), index=batch["index"], **loss.model_dump())[0]

    def measured(averaged: nn.Module) -> dict[str, float]:
        assert evaluate is not None
        shown = CBSN(**net.model_dump(), stride_blind=loss.stride_blind)
        shown.net.load_state_dict(averaged.state_dict())
        return evaluate(shown.eval())

    config = {"net": net.model_dump(mode="json"), "loss": loss.model_dump(mode="json"), "fit": options.model_dump()}
    fitted = fit(
        denoiser.net, loss_of, batch_at, out, options, config=config, resume=resume,
        evaluate=measured if evaluate else None, progress=progress,
    )  # fmt: skip
    denoiser.net.load_state_dict(fitted.net.state_dict())
    return denoiser.eval(), fitted.seconds, fitted.step


def noisy_crops(pictures: Sequence[Tensor], k: int, size: int, crop: int, seed: int) -> Tensor:
    """Batch of step k: crops `(size, C, crop, crop)`, turned and mirrored at random, each normalised by itself.

    A picture is drawn with the share of pixels it has among those that are large enough.
    """
    rng = np.random.default_rng([seed, k])
    areas = np.array([p.shape[1] * p.shape[2] if min(p.shape[1:]) >= crop else 0 for p in pictures], np.float64)
    out = []
    for which in rng.choice(len(pictures), size, p=areas / areas.sum()):
        p = pictures[int(which)]
        top, left = (int(rng.integers(0, n - crop + 1)) for n in p.shape[1:])
        piece = torch.rot90(p[:, top : top + crop, left : left + crop], int(rng.integers(4)), (1, 2))
        out.append(piece.flip(2) if rng.integers(2) else piece)
    x = torch.stack(out)
    mean, deviation = statistics(x)
    return (x - mean) / deviation


def read_pictures(sources: Iterable[str | Path], channels: int, ending: str = "") -> list[Tensor]:
    """Noisy pictures (C, H, W) float32 with white at 1, in the order of their names.

    Raises
    ------
    InputError : a picture with another number of channels, or nothing with that ending.
    """
    pictures = []
    paths = [p for p in expand_inputs(sources) if p.stem.endswith(ending)]
    for path in sorted(paths, key=str):
        photo = read_photo(path)
        if photo.channels != channels:
            raise InputError(f"{path} has {photo.channels} channels, net.in_channels is {channels}: train them apart")
        pixels = torch.from_numpy(to_unit(photo.pixels, str(path)))
        pictures.append(pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous())
    if not pictures:
        raise InputError(f"no picture has a name that ends in '{ending}': change data.ending")
    return pictures


def adapt(
    pictures: Sequence[Tensor],
    minutes: float = 5.0,
    *,
    weights: str | Path | Denoiser | None = None,
    steps: int | None = None,
    stride_blind: int | None = None,
    stride_inv: int = 2,
    lam: float = 2.0,
    width: int = 32,
    n_modules: int = 3,
    crop: int = 120,
    batch: int = 2,
    lr: float = 1.2e-3,
    seed: int = 0,
    progress: Told = None,
) -> dict[str, Denoiser]:
    """Learn to clean pictures from nothing but themselves; the options for method "cbsn".

    Parameters
    ----------
    pictures : (C, H, W) float32, all with the same number of channels; of large ones the middle is used.
    minutes : time to learn; a few steps are timed first, so that the schedule ends with it. steps : instead, for runs
        that can be repeated anywhere.
    weights : where to start, a C-BSN of the same channels; from scratch by default.
    stride_blind : of the blind loss; by default what `suggest_stride` measures.
    stride_inv, lam, width, n_modules, crop, batch, lr, seed : as in the presets; the crop is made to fit.

    Raises
    ------
    InputError : no pictures, mixed channels, pictures or a crop that are too small, minutes that are not above 0, an
        option outside its range.
    """
    if not pictures:
        raise InputError("there is no picture to learn from: give one or a folder of them")
    channels = {p.shape[0] for p in pictures}
    if len(channels) > 1:
        raise InputError(f"the pictures have {' and '.join(map(str, sorted(channels)))} channels: adapt to them apart")
    if not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"minutes must be a number > 0, got {minutes:g}")
    pictures = [_middle(p) for p in pictures]
    if stride_blind is None:
        # the noise that reaches furthest decides; a stride too large costs detail, one too small leaves the noise
        stride_blind = max(suggest_stride(p[None]) for p in pictures)
    given = "an option of method cbsn"
    loss = checked(LossOptions, {"stride_blind": stride_blind, "stride_inv": stride_inv, "lam": lam}, given)
    crop = _fitting(crop, max(min(p.shape[1:]) for p in pictures), math.lcm(stride_blind, stride_inv))
    init = _start(weights)
    if init is not None and {init.in_channels} != channels:
        raise InputError(f"the weights are for {init.in_channels} channels, the pictures have {channels.pop()}")
    net = {"in_channels": channels.pop(), "width": width, "n_modules": n_modules, "tail": 32}
    shape = checked(NetOptions, net if init is None else init.config, given)
    options = checked(FitOptions, {
        "steps": LEAST_STEPS if steps is None else steps, "batch": batch, "lr": lr, "clip": 10.0, "beta2": 0.999,
        "ema": 0.995, "seed": seed, "precision": "bf16-mixed" if fast_precision() == "bfloat16" else "32-true",
        "save_minutes": 1e6,
    }, given)  # fmt: skip
    if steps is None:
        steps = _affordable(pictures, shape, loss, crop, batch, minutes)
    loss = loss.model_copy(update={"ramp_steps": int(0.4 * steps)})
    options = options.model_copy(update={"steps": steps, "warmup": min(50, steps // 10)})
    with tempfile.TemporaryDirectory() as folder:
        denoiser, _, _ = train_on(pictures, shape, loss, options, crop, Path(folder), False, progress, init)
    return {"weights": denoiser}


def _fitting(crop: int, side: int, lcm: int) -> int:
    """The largest crop up to `crop` that a picture of that side holds and both strides divide."""
    least = max(2 * lcm, 16)
    if side < least:
        raise InputError(f"a side of {side} pixels is too small to learn from: give a picture of {least} or more")
    if crop < least:
        raise InputError(f"a crop of {crop} is too small for these strides: take {-(-least // lcm) * lcm} or more")
    return min(crop, side) // lcm * lcm


def _affordable(
    pictures: Sequence[Tensor], net: NetOptions, loss: LossOptions, crop: int, batch: int, minutes: float
) -> int:
    """Steps that fit in the minutes, from a few timed ones with all three losses."""
    model = CBSN(**net.model_dump()).net
    seconds = []
    for k in range(4):
        start = time.perf_counter()
        x = noisy_crops(pictures, k, batch, crop, 0)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_precision() == "bfloat16"):
            total = cbsn_loss(model, x, 1, **loss.model_dump())[0]
        total.backward()
        seconds.append(time.perf_counter() - start)
    # four tenths of the run have part of the losses only, but the optimiser and averaging cost about as much
    return max(LEAST_STEPS, int(60 * minutes / sorted(seconds[1:])[1]))


def _start(weights: str | Path | Denoiser | None) -> CBSN | None:
    if weights is None:
        return None
    found = load(weights) if isinstance(weights, (str, Path)) else weights
    if not isinstance(found, CBSN):
        raise InputError(f"the weights are of a {type(found).__name__}, adaptation starts from those of a C-BSN")
    return found


def _middle(p: Tensor) -> Tensor:
    top, left = (max(0, (n - LARGEST) // 2) for n in p.shape[1:])
    return p[:, top : top + LARGEST, left : left + LARGEST]


def trained(weights: str | Path | Denoiser | None = None, mode: str = "unmasked") -> Denoiser:
    """C-BSN from a weight file of `unnoise train cbsn` or from `adapt`; `mode` as for `CBSN`.

    Raises
    ------
    MissingData : no weights, for none are shipped: noise is that of one camera or microscope.
    """
    if weights is None:
        raise MissingData(
            "cbsn has no weights of its own, it learns from your pictures: pass --adapt, or --set weights=FILE from "
            "unnoise train cbsn"
        )
    found = _start(weights)
    assert found is not None
    found.set_mode(mode)
    return found
