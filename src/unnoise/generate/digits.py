"""Handwritten digits: a small class-conditional diffusion model, shipped with the package, and its training."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.digits import load_digits
from unnoise.denoiser.base import Card, Denoiser, Sigma
from unnoise.denoiser.convert import as_denoiser
from unnoise.errors import InputError
from unnoise.nets.diffusion_unet import DiffusionUNet
from unnoise.noise.schedule import EDM
from unnoise.noise.seeds import generator
from unnoise.training.checkpoint import is_checkpoint, read_state
from unnoise.training.loop import CHECKPOINT, Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import load, save


class Digits(Denoiser):
    """`D(y, sigma, label)` on gray pictures in [0, 1], an EDM-preconditioned `DiffusionUNet`.

    Parameters
    ----------
    classes : labels are 0 to classes - 1; -1 or `None` for no condition.
    size : height and width of a picture, which it is trained for.
    widths, blocks, embedding, unshuffle : of the network.
    sigma_data : standard deviation of the data on [-1, 1].
    guided : it takes a guidance scale (B,) as a condition and gives guided estimates (see `distillation`).

    Examples
    --------
    >>> d = Digits(widths=(16, 32), blocks=(1, 1), embedding=32, size=12)
    >>> d(torch.rand(2, 1, 12, 12), 0.5, label=torch.tensor([3, -1])).shape
    torch.Size([2, 1, 12, 12])
    """

    def __init__(
        self,
        classes: int = 10,
        size: int = 28,
        widths: Sequence[int] = (32, 80),
        blocks: Sequence[int] = (2, 2),
        embedding: int = 96,
        unshuffle: int = 2,
        sigma_data: float = 0.6,
        guided: bool = False,
    ) -> None:
        super().__init__()
        self.classes, self.size, self.guided = classes, size, guided
        self.config = {
            "classes": classes,
            "size": size,
            "widths": list(widths),
            "blocks": list(blocks),
            "embedding": embedding,
            "unshuffle": unshuffle,
            "sigma_data": sigma_data,
        }
        conditions = ("label", "scale") if guided else ("label",)
        self.card = Card(kind="any", channels=1, sigma_range=(0.002, 10.0), conditions=conditions)
        self.null = {"label": -1}
        net = DiffusionUNet(1, classes, widths, blocks, embedding, unshuffle, guided)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster; torch's stubs lack it
        self.inner = as_denoiser(net, "edm", EDM(sigma_data), card=self.card, null=self.null)

    @property
    def param(self) -> str:
        """What the network predicts, for `guidance.cosine` in its raw space."""
        return "edm"

    @property
    def schedule(self) -> Any:
        """Of the network, on [-1, 1]."""
        return self.inner.schedule

    def forward(self, y: Tensor, sigma: Sigma = None, **conditions: Any) -> Tensor:
        """Clean estimate of y (B, 1, size, size), with `label` (B,) and, if guided, `scale` (B,).

        Raises `InputError` for a label out of range, `TypeError` for other conditions.
        """
        label = conditions.get("label")
        if label is not None and not bool(((label >= -1) & (label < self.classes)).all()):
            raise InputError(
                f"a class must be 0 to {self.classes - 1} (or -1 for none), got {_outside(label, self.classes)}"
            )
        x_hat: Tensor = self.inner(y, sigma, **conditions)
        return x_hat


def _outside(label: Tensor, classes: int) -> int:
    return int(label[(label < -1) | (label >= classes)][0])


class NetOptions(Options):
    """Of `Digits`."""

    widths: tuple[int, ...] = (32, 80)
    blocks: tuple[int, ...] = (2, 2)
    embedding: int = Field(default=96, ge=16)
    unshuffle: int = Field(default=2, gt=0)


class DigitsPreset(Options):
    """One preset of `presets/digits.yaml`.

    Attributes
    ----------
    data, holdout : sets of `data.digits.load_digits` to train on and to measure the loss on (or `None`).
    drop : share of the pictures trained without their class, which guidance needs.
    noise : mean and standard deviation of `log(2 sigma)`; by default those of Karras et al. 2022, table 1.
    """

    net: NetOptions = NetOptions()
    data: str
    holdout: str | None = None
    licence: str
    drop: float = Field(default=0.1, ge=0, lt=1)
    noise: tuple[float, float] = (-1.2, 1.2)
    fit: FitOptions


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/digits"),
    resume: bool | Path = False,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train `digits` as a preset says; the path of the weight file, made from the averaged weights.

    `resume` goes on from the checkpoint in `out`, from another checkpoint, or begins with the weights of a file.
    """
    p = load_preset(DigitsPreset, "digits", preset, overrides)
    images, labels = load_digits(p.data, data)
    held = load_digits(p.holdout, data) if p.holdout else None
    torch.manual_seed(p.fit.seed)
    config = p.net.model_dump(mode="json") | {"size": images.shape[-1], "classes": int(labels.max()) + 1}
    denoiser = Digits(**config)
    begun = _begun(resume if isinstance(resume, Path) else out / CHECKPOINT) if resume else None
    if isinstance(resume, Path) and not is_checkpoint(resume):
        begun, resume = {"from": resume.name, "training": _begin_with(denoiser, resume)}, False

    def batch_at(k: int) -> Batch:
        g = generator(p.fit.seed, k)
        rows = torch.randint(len(images), (p.fit.batch,), generator=g)
        return noisy_batch(images[rows], labels[rows], p.drop, p.noise, g)

    def evaluate(net: nn.Module) -> dict[str, float]:
        assert held is not None
        with torch.inference_mode():
            return {
                "holdout": float(loss_of(net, noisy_batch(held[0][:512], held[1][:512], 0.0, p.noise, generator(1))))
            }

    fitted = fit(
        denoiser,
        loss_of,
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json") | {"begun": begun},
        resume=resume,
        evaluate=evaluate if held else None,
        progress=progress,
    )
    denoiser.load_state_dict(fitted.net.state_dict())
    settings = [part for override in overrides for part in ("--set", override)]
    begin = ["--from", begun["from"]] if begun else []
    denoiser.card.training.update(
        data=p.data,
        pictures=len(images),
        command=shlex.join(["unnoise", "train", "digits", "--preset", preset, *begin, *settings]),
        minutes=round(fitted.seconds / 60, 1),
        steps=fitted.step,
        data_licence=p.licence,
        **({"earlier": begun["training"]} if begun else {}),
    )
    if held:
        (mean, std), n = p.noise, min(512, len(held[0]))
        name = f"weighted loss on {n} test digits, log 2 sigma {mean:g} ± {std:g}"
        denoiser.card.measured[name] = round(evaluate(denoiser)["holdout"], 4)
    return save(out / "digits.safetensors", denoiser, arch="digits", config=config)


def _begun(checkpoint: Path) -> dict[str, Any] | None:
    """With which weights the run of a checkpoint began, if with any."""
    begun: dict[str, Any] | None = read_state(checkpoint)["config"].get("begun") if is_checkpoint(checkpoint) else None
    return begun


def _begin_with(denoiser: Digits, weights: Path) -> dict[str, Any]:
    """Trained weights instead of random ones; how they were trained."""
    trained = load(weights)
    if {k: v.shape for k, v in trained.state_dict().items()} != {k: v.shape for k, v in denoiser.state_dict().items()}:
        raise InputError(f"the weights {weights} are of another network than the preset's: give its widths and blocks")
    denoiser.load_state_dict(trained.state_dict())
    return dict(trained.card.training)


def noisy_batch(images: Tensor, labels: Tensor, drop: float, noise: tuple[float, float], g: torch.Generator) -> Batch:
    """uint8 images to `x` in [0, 1], `y = x + sigma n`, `sigma` (B,), and `label`, -1 for a share `drop`.

    `log(2 sigma)` is normal with mean `noise[0]` and standard deviation `noise[1]`.
    """
    x = images.float() / 255
    mean, std = noise
    sigma = (std * torch.randn(len(x), generator=g) + mean).exp() / 2
    n = torch.randn(x.shape, generator=g)
    label = torch.where(torch.rand(len(x), generator=g) < drop, -1, labels)
    return {"x": x, "y": x + sigma[:, None, None, None] * n, "sigma": sigma, "label": label}


def loss_of(net: nn.Module, batch: Batch) -> Tensor:
    """The error of D weighted by `1 / c_out**2` (Karras et al. 2022, eq. 8), a mean over pixels, on [-1, 1]."""
    sigma = 2 * batch["sigma"]
    weight = EDM(0.6).weight(sigma)[:, None, None, None]
    error = 2 * (net(batch["y"], batch["sigma"], label=batch["label"]) - batch["x"])
    return (weight * error.square()).mean()
