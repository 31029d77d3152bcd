"""Training of the photo denoisers: crops of clean photographs, noise made on the fly."""

from __future__ import annotations

import glob
import operator
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.crops import LUMA, Crops, load_crops
from unnoise.errors import InputError, MissingData
from unnoise.nets.fast import Range, activation_ranges
from unnoise.nets.widen import widen
from unnoise.noise.camera import CameraPipeline
from unnoise.noise.seeds import generator
from unnoise.restore.photo import Photo
from unnoise.restore.photo_quality import measure as measure_set
from unnoise.training.checkpoint import is_checkpoint, read_state
from unnoise.training.loop import CHECKPOINT, Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import load, save

OWN = "scikit-image/"  # prefix of pictures that come with that library
Told = Callable[[Progress], None] | None
RANGE_BATCHES = 8  # from which the ranges of activations are taken


class NetOptions(Options):
    """Of `nets.unet.UNet`."""

    widths: tuple[int, ...] = (48, 96, 192)
    blocks: tuple[int, ...] = (2, 2, 2)
    decoder_blocks: tuple[int, ...] | None = None
    unshuffle: int = Field(default=2, gt=0)


class DataOptions(Options):
    """Photographs to train on, as folders or files under the data root or `scikit-image/<file>`.

    Attributes
    ----------
    train : what to read; `licence`: what the card says of it.
    holdout : the last n photographs of a folder, by name, kept out of training for the evaluation.
    repeat : how many times its share of pixels a folder has in training; 1 unless told. Left out of what is written
        where empty, so that studies find the networks they kept before there was one.
    crop : side of the square crops.
    downscale : half of the crops are shrunk by up to this factor, which hides noise and compression.
    soften : half of the crops lose detail finer than up to so many pixels, and with it their own noise.
    """

    train: tuple[str, ...]
    licence: str
    holdout: dict[str, int] = Field(default_factory=dict)
    repeat: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict, exclude_if=operator.not_)
    crop: int = Field(default=128, ge=16)
    downscale: float = Field(default=1.0, ge=1)
    soften: float = Field(default=1.0, ge=1)


class NoiseOptions(Options):
    """Gaussian noise, its level uniform in 0..`sigma_max` (of 255); shares of gray crops and of varying levels.

    A share `weak` has levels in 0..`sigma_max / 8`, whose errors are small in the loss and large beside the noise.
    """

    sigma_max: float = Field(default=75.0, gt=0)
    weak: float = Field(default=0.2, ge=0, le=1)
    gray: float = Field(default=0.35, ge=0, le=1)
    varying: float = Field(default=0.1, ge=0, le=1)


class CameraOptions(Options):
    """Camera noise; shares of crops left clean and of crops with Gaussian noise of level up to `sigma_max` (of 255)."""

    clean: float = Field(default=0.03, ge=0, le=1)
    gaussian: float = Field(default=0.1, ge=0, le=1)
    sigma_max: float = Field(default=25.0, gt=0)


class Preset(Options):
    """What the presets of both denoisers have in common.

    Attributes
    ----------
    loss : a key of `LOSSES`.
    int8 : store the weights of all but the finest stage's blocks in 8 bits, with the ranges of activations on training
        crops, with which they also compute in 8 bits.
    test : test sets whose PSNR the card of the weights tells.
    """

    net: NetOptions = NetOptions()
    data: DataOptions
    fit: FitOptions
    loss: Literal["l1", "rms"] = "l1"
    int8: bool = Field(default=False, exclude_if=operator.not_)  # left out where off, as `data.repeat`
    test: tuple[str, ...] = ()


class PhotoPreset(Preset):
    """One preset of `presets/photo.yaml`."""

    noise: NoiseOptions = NoiseOptions()


class PhotoRealPreset(Preset):
    """One preset of `presets/photo_real.yaml`."""

    noise: CameraOptions = CameraOptions()


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/photo"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train `photo` as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(PhotoPreset, "photo", preset, overrides)

    def pairs(x: Tensor, g: torch.Generator) -> Batch:
        return noisy_batch(x, p.noise, g)

    return _train("photo", p, preset, overrides, pairs, evaluate, data, out, resume, progress)


def train_real(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/photo-real"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train the blind `photo-real` as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(PhotoRealPreset, "photo-real", preset, overrides)

    def pairs(x: Tensor, g: torch.Generator) -> Batch:
        return camera_batch(x, p.noise, g)

    return _train("photo-real", p, preset, overrides, pairs, evaluate_real, data, out, resume, progress)


def _train(
    slug: str,
    p: Preset,
    preset: str,
    overrides: Sequence[str],
    pairs: Callable[[Tensor, torch.Generator], Batch],
    measure: Callable[[nn.Module, Crops], dict[str, float]],
    data: Path | None,
    out: Path,
    resume: bool | Path,
    progress: Told,
) -> Path:
    training, holdout = photographs(p.data, data)
    torch.manual_seed(p.fit.seed)
    config = p.net.model_dump(mode="json") | {"blind": slug == "photo-real"}
    denoiser = Photo(**config)
    start: dict[str, Any] = {}  # the weights it began with and what their card says, also after stops
    if isinstance(resume, Path) and not is_checkpoint(resume):
        start = {"from": resume.name, "before": _start_from(denoiser, resume)}
        resume = False
    elif resume is not False:
        start = read_state(out / CHECKPOINT if resume is True else resume).get("config", {}).get("start", {})
        if isinstance(resume, Path):
            start.setdefault("from", resume.name)

    def batch_at(k: int) -> Batch:
        x = training.batch(k, p.fit.batch, p.data.crop, p.fit.seed, p.data.downscale, p.data.soften)
        return pairs(x, generator(p.fit.seed, k))

    fitted = fit(
        denoiser,
        lambda net, batch: LOSSES[p.loss](net(batch["y"], batch.get("sigma")), batch["x"]),
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json") | {"start": start},
        resume=resume,
        evaluate=(lambda net: measure(net, holdout)) if holdout.images else None,
        progress=progress,
    )
    denoiser.load_state_dict(fitted.net.state_dict())
    denoiser.eval()
    if p.int8:
        config["ranges"] = _ranges(denoiser, map(batch_at, range(RANGE_BATCHES)))
        trained, denoiser = denoiser.state_dict(), Photo(**config).eval()
        denoiser.load_state_dict(trained)
    denoiser.precision = "fast"
    denoiser.card.measured.update({name: measure_set(denoiser, name) for name in p.test})
    denoiser.card.training.update(
        data=", ".join(p.data.train),
        pictures=training.distinct,
        command=_command(slug, preset, overrides, start.get("from")),
        minutes=round(fitted.seconds / 60, 1),
        steps=fitted.step,
        data_licence=p.data.licence,
        **{key: value for key, value in start.items() if key == "before"},
    )
    return save(out / f"{slug}.safetensors", denoiser, arch="photo", config=config, int8=denoiser.int8_weights())


@torch.inference_mode()
def _ranges(denoiser: Photo, batches: Iterable[Batch]) -> list[Range | None]:
    """What the activations of every residual block reach on training batches."""

    def run() -> None:
        for batch in batches:
            denoiser(batch["y"], batch.get("sigma"))

    return activation_ranges(denoiser.net, run)


def _start_from(denoiser: Photo, weights: Path) -> dict[str, Any]:
    """Begin with trained weights instead of random ones; what their card says of their training.

    A blind net leaves the input of the noise level out; a wider one grows out of the narrow one.
    """
    start = load(weights)
    trained = start.state_dict()
    inputs = denoiser.net.head.weight.shape[1]
    if "net.head.weight" in trained and denoiser.card.blind:
        trained["net.head.weight"] = trained["net.head.weight"][:, :inputs]
    try:
        widen(denoiser, trained)
    except ValueError as error:
        raise InputError(
            f"the weights {weights} are of another network than the preset's ({error}): give its blocks, and widths "
            "that are not smaller"
        ) from None
    return dict(start.card.training)


def rms_loss(x_hat: Tensor, x: Tensor) -> Tensor:
    """Root mean square error of each crop, averaged over a batch: nearer to PSNR than L1, and of its scale."""
    return ((x_hat - x).float().square().mean(dim=(1, 2, 3)) + 1e-8).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "rms": rms_loss}


def noisy_batch(x: Tensor, options: NoiseOptions, g: torch.Generator) -> Batch:
    """Clean crops (B, 3, h, w) to `x`, `y = x + sigma n` and the map `sigma` (B, 1, h, w).

    Gray crops have one noise in their three equal channels, as when a gray picture is denoised.
    """
    size = len(x)
    gray = _some(options.gray, size, g)
    x = torch.where(gray, _luma(x), x)
    corners = torch.rand(size, 1, 3, 3, generator=g) * options.sigma_max / 255
    corners = torch.where(_some(options.weak, size, g), corners / 8, corners)
    corners = torch.where(_some(options.varying, size, g), corners, corners[:, :, :1, :1])
    sigma = F.interpolate(corners, size=x.shape[2:], mode="bilinear", align_corners=True)
    n = torch.randn(x.shape, generator=g)
    n = torch.where(gray, n[:, :1], n)
    return {"x": x, "y": x + sigma * n, "sigma": sigma}


def camera_batch(x: Tensor, options: CameraOptions, g: torch.Generator) -> Batch:
    """Clean crops (B, 3, h, w) to `y`, photographed, and `x`, what the same camera makes without noise."""
    size = len(x)
    clean, gaussian = _some(options.clean, size, g), _some(options.gaussian, size, g)
    level = torch.rand(size, 1, 1, 1, generator=g) * options.sigma_max / 255
    noisy = ((x + level * torch.randn(x.shape, generator=g)).clamp(0, 1) * 255).round() / 255
    y, target = CameraPipeline().pair(x, g)
    y, target = torch.where(gaussian, noisy, y), torch.where(gaussian, x, target)
    return {"x": torch.where(clean, x, target), "y": torch.where(clean, x, y)}


def evaluate(net: nn.Module, holdout: Crops) -> dict[str, float]:
    """Mean PSNR on held-out photographs with fixed noise, in colour and gray, at levels 15, 25 and 50."""
    found: dict[str, list[float]] = {}
    for i, colour in _centres(holdout):
        for name, x in (("colour", colour), ("gray", _luma(colour))):
            for level in (15, 25, 50):
                n = torch.randn(x.shape, generator=generator(level, i))
                found.setdefault(f"{name}{level}", []).append(_psnr(net, x + level / 255 * n, x, level / 255))
    return {name: sum(values) / len(values) for name, values in found.items()}


def evaluate_real(net: nn.Module, holdout: Crops) -> dict[str, float]:
    """Mean PSNR on held-out photographs through fixed cameras, of the noisy and of the denoised."""
    noisy, denoised = [], []
    for i, colour in _centres(holdout):
        y, x = CameraPipeline().pair(colour, generator(0, i))
        noisy.append(_psnr(nn.Identity(), y, x))
        denoised.append(_psnr(net, y, x))
    return {"noisy": sum(noisy) / len(noisy), "denoised": sum(denoised) / len(denoised)}


@torch.inference_mode()
def _psnr(net: nn.Module, y: Tensor, x: Tensor, *sigma: float) -> float:
    net.eval()
    return float(-10 * (net(y, *sigma).clamp(0, 1) - x).square().mean().log10())


def _centres(holdout: Crops, side: int = 256, most: int = 16) -> Iterator[tuple[int, Tensor]]:
    """Centres of up to `most` photographs spread over the held-out ones, (1, 3, side, side)."""
    step = max(1, len(holdout.images) // most)
    for i, image in enumerate(holdout.images[::step]):
        top, left = ((n - min(n, side)) // 2 for n in image.shape[:2])
        yield i, torch.from_numpy(image[top : top + side, left : left + side]).permute(2, 0, 1)[None].float() / 255


def _luma(x: Tensor) -> Tensor:
    return (x * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _some(share: float, size: int, g: torch.Generator) -> Tensor:
    """A random choice of that share of the samples, broadcastable to their pixels."""
    return (torch.rand(size, generator=g) < share).view(-1, 1, 1, 1)


def _command(slug: str, preset: str, overrides: Sequence[str], start: str | None) -> str:
    settings = [part for override in overrides for part in ("--set", override)]
    begin = ["--from", start] if start else []
    return shlex.join(["unnoise", "train", slug, "--preset", preset, *begin, *settings])


def photographs(options: DataOptions, root: Path | None, channels: int = 3) -> tuple[Crops, Crops]:
    """Training and held-out photographs; raises `MissingData` naming what is not there."""
    for key, named in (("holdout", options.holdout), ("repeat", options.repeat)):
        stray = named.keys() - set(options.train)
        if stray:
            raise InputError(f"data.{key} names '{min(stray)}', which data.train does not: add it there or drop it")
    training: list[Any] = []
    held: list[Any] = []
    for name in options.train:
        images = list(load_crops([place(name, root)], channels).images)
        kept = options.holdout.get(name, 0)
        training += list(images[: len(images) - kept]) * options.repeat.get(name, 1)
        held += images[len(images) - kept :]
    return Crops(training), Crops(held)


def place(name: str, root: Path | None) -> Path:
    """Where a preset's pictures are; raises `MissingData` naming what is not there."""
    if name.startswith(OWN):
        import skimage

        return Path(skimage.__file__).parent / "data" / name.removeprefix(OWN)
    if root is None:
        raise MissingData(f"training needs {name}: pass --data DIR or set UNNOISE_DATA to the folder that holds it")
    if not ((root / name).exists() or any(glob.iglob(str(root / name), recursive=True))):  # noqa: PTH207
        raise MissingData(f"training needs {root / name}, which is not there: unnoise data says where to get it")
    return root / name
