"""Training of `Photo`: crops of clean photographs, Gaussian noise of every level, L1 loss."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.crops import LUMA, Crops, load_crops
from unnoise.errors import InputError, MissingData
from unnoise.noise.seeds import generator
from unnoise.restore.photo import Photo
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import save

OWN = "scikit-image/"  # prefix of pictures that come with that library


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
    crop : side of the square crops.
    downscale : half of the crops are shrunk by up to this factor, which hides noise and compression.
    """

    train: tuple[str, ...]
    licence: str
    holdout: dict[str, int] = Field(default_factory=dict)
    crop: int = Field(default=128, ge=16)
    downscale: float = Field(default=1.0, ge=1)


class NoiseOptions(Options):
    """Gaussian noise, its level uniform in 0..`sigma_max` (of 255); shares of gray crops and of varying levels."""

    sigma_max: float = Field(default=75.0, gt=0)
    gray: float = Field(default=0.35, ge=0, le=1)
    varying: float = Field(default=0.1, ge=0, le=1)


class PhotoPreset(Options):
    """One preset of `presets/photo.yaml`."""

    net: NetOptions = NetOptions()
    data: DataOptions
    noise: NoiseOptions = NoiseOptions()
    fit: FitOptions


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/photo"),
    resume: bool | Path = False,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train the `photo` denoiser as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(PhotoPreset, "photo", preset, overrides)
    training, holdout = photographs(p.data, data)
    torch.manual_seed(p.fit.seed)
    config = p.net.model_dump(mode="json")
    denoiser = Photo(**config)

    def loss_of(net: nn.Module, batch: Batch) -> Tensor:
        return F.l1_loss(net(batch["y"], batch["sigma"]), batch["x"])

    def batch_at(k: int) -> Batch:
        x = training.batch(k, p.fit.batch, p.data.crop, p.fit.seed, p.data.downscale)
        return noisy_batch(x, p.noise, generator(p.fit.seed, k))

    fitted = fit(
        denoiser,
        loss_of,
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json"),
        resume=resume,
        evaluate=(lambda net: evaluate(net, holdout)) if holdout.images else None,
        progress=progress,
    )
    denoiser.load_state_dict(fitted.net.state_dict())
    settings = [part for override in overrides for part in ("--set", override)]
    denoiser.card.training.update(
        data=", ".join(p.data.train),
        pictures=len(training.images),
        command=shlex.join(["unnoise", "train", "photo", "--preset", preset, *settings]),
        minutes=round(fitted.seconds / 60, 1),
        steps=fitted.step,
        data_licence=p.data.licence,
    )
    return save(out / "photo.safetensors", denoiser, arch="photo", config=config)


def noisy_batch(x: Tensor, options: NoiseOptions, g: torch.Generator) -> Batch:
    """Clean crops (B, 3, h, w) to `x`, `y = x + sigma n` and the map `sigma` (B, 1, h, w).

    Gray crops have one noise in their three equal channels, as when a gray picture is denoised.
    """
    size = len(x)
    gray = (torch.rand(size, generator=g) < options.gray).view(-1, 1, 1, 1)
    luma = (x * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    x = torch.where(gray, luma, x)
    corners = torch.rand(size, 1, 3, 3, generator=g) * options.sigma_max / 255
    varying = (torch.rand(size, generator=g) < options.varying).view(-1, 1, 1, 1)
    corners = torch.where(varying, corners, corners[:, :, :1, :1])
    sigma = F.interpolate(corners, size=x.shape[2:], mode="bilinear", align_corners=True)
    n = torch.randn(x.shape, generator=g)
    n = torch.where(gray, n[:, :1], n)
    return {"x": x, "y": x + sigma * n, "sigma": sigma}


@torch.inference_mode()
def evaluate(net: nn.Module, holdout: Crops, side: int = 256, most: int = 16) -> dict[str, float]:
    """Mean PSNR on the centres of `most` held-out photographs, fixed noise, colour and gray, at 15, 25 and 50."""
    found: dict[str, list[float]] = {}
    net.eval()
    step = max(1, len(holdout.images) // most)
    for i, image in enumerate(holdout.images[::step]):
        top, left = ((n - min(n, side)) // 2 for n in image.shape[:2])
        colour = torch.from_numpy(image[top : top + side, left : left + side]).permute(2, 0, 1)[None].float() / 255
        gray = (colour * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        for name, x in (("colour", colour), ("gray", gray)):
            for level in (15, 25, 50):
                n = torch.randn(x.shape, generator=generator(level, i))
                error = net(x + level / 255 * n, level / 255).clamp(0, 1) - x
                found.setdefault(f"{name}{level}", []).append(float(-10 * error.square().mean().log10()))
    return {name: sum(values) / len(values) for name, values in found.items()}


def photographs(options: DataOptions, root: Path | None) -> tuple[Crops, Crops]:
    """Training and held-out photographs; raises `MissingData` naming what is not there."""
    training: list[Any] = []
    held: list[Any] = []
    for name in options.train:
        images = load_crops([_place(name, root)]).images
        kept = options.holdout.get(name, 0)
        training += images[: len(images) - kept]
        held += images[len(images) - kept :]
    stray = options.holdout.keys() - set(options.train)
    if stray:
        raise InputError(f"data.holdout names '{min(stray)}', which data.train does not: add it there or drop it")
    return Crops(training), Crops(held)


def _place(name: str, root: Path | None) -> Path:
    if name.startswith(OWN):
        import skimage

        return Path(skimage.__file__).parent / "data" / name.removeprefix(OWN)
    if root is None:
        raise MissingData(f"training needs {name}: pass --data DIR or set UNNOISE_DATA to the folder that holds it")
    if not (root / name).exists():
        raise MissingData(f"training needs {root / name}, which is not there: unnoise data says where to get it")
    return root / name
