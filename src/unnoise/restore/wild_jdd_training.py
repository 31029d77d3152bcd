"""Training of Wild-JDD on imperfect references, adaptation without any, and use on raw files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.crops import Crops
from unnoise.data.values import to_unit
from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.jdd import network
from unnoise.restore.photo_training import DataOptions, photographs
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, bound_loss, local_variance, prior
from unnoise.restore.wild_jdd_quality import jdd_psnr
from unnoise.restore.wild_jdd_quality import measure as measure_set
from unnoise.training.checkpoint import is_checkpoint
from unnoise.training.loop import Batch, Fitted, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import save

Told = Callable[[Progress], None] | None


class NetOptions(Options):
    """Of `restore.wild_jdd.WildJDD`."""

    width: int = Field(default=64, gt=0)
    groups: int = Field(default=3, ge=0)
    blocks: int = Field(default=4, gt=0)
    convs: int = Field(default=4, gt=0)
    growth: int = Field(default=32, gt=0)
    window: int = Field(default=7, ge=3)
    lam: float = Field(default=300.0, gt=0)
    heads: Literal["shared", "separate"] = "separate"


class NoiseOptions(Options):
    """Noise of the inputs, and what is wrong with the references.

    Attributes
    ----------
    sigma_max : the level varies over a crop between two levels of 0 to this (of 255).
    weak : share of the crops with an eighth of that.
    photons : share of the crops with the noise of counted light, which has the drawn level at white and goes with the
        square root of brightness.
    imperfect : share of the references that are the bilinear interpolation of their own mosaic, with white noise of one
        of `residual` (of 1).
    """

    sigma_max: float = Field(default=20.0, ge=0)
    weak: float = Field(default=0.0, ge=0, le=1)
    photons: float = Field(default=0.0, ge=0, le=1)
    imperfect: float = Field(default=0.0, ge=0, le=1)
    residual: tuple[float, ...] = (0.0,)


class Range(Options):
    """Values that bear a claim out."""

    at_least: float | None = None
    at_most: float | None = None


class StudyOptions(Options):
    """Of `studies.wild_jdd`.

    Attributes
    ----------
    data : a clean set of `data.pairs`, of which each `every`-th picture is taken, or "samples".
    crop : largest side of the test pictures.
    levels, seeds : noise levels (of 255) and networks of each kind.
    weak : the strongest noise that the networks to be adapted have seen; photons : variance over value of what they are
        adapted to, in `adapt_steps` steps of `adapt_lr` with `mask_k` deviations.
    claims : name to the range that bears it out, fixed before the run.
    keep : folder in which networks stay, so that a study that was stopped goes on.
    """

    data: str = "cbsd68"
    every: int = Field(default=6, ge=1)
    crop: int = Field(default=256, ge=32)
    levels: tuple[float, ...] = (0, 5, 10, 15, 20)
    seeds: int = Field(default=3, ge=1)
    weak: float = Field(default=10.0, gt=0)
    photons: float = Field(default=0.02, gt=0)
    adapt_steps: int = Field(default=100, ge=1)
    adapt_lr: float = Field(default=1e-4, gt=0)
    mask_k: float = Field(default=2.0, gt=0)
    claims: dict[str, Range] = Field(default_factory=dict)
    keep: str | None = None


class JDDPreset(Options):
    """One preset of `presets/wild_jdd.yaml`.

    Attributes
    ----------
    loss : "elbo"; "mse" or "l1" of the mean alone, for comparison; "l1-elbo": the mean learns by l1, as references
        without defects allow, and the noise map by the bound, for separate heads; "map": the noise map alone, where
        the mean has learnt already.
    kl_ig_warmup : steps over which the weight of KL_IG rises to 1.
    test : test sets whose PSNR the card of the weights tells.
    """

    net: NetOptions = NetOptions()
    data: DataOptions
    noise: NoiseOptions = NoiseOptions()
    loss: Literal["elbo", "mse", "l1", "l1-elbo", "map"] = "elbo"
    kl_ig_warmup: int = Field(default=5000, ge=0)
    fit: FitOptions
    test: tuple[str, ...] = ()
    study: StudyOptions = StudyOptions()


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/wild_jdd"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train Wild-JDD as a preset says; the path of the weight file, made from the averaged weights.

    `resume` may be a weight file: then training begins with it, and the card tells what it had behind it.
    """
    p = load_preset(JDDPreset, "wild_jdd", preset, overrides)
    training, holdout = photographs(p.data, data)
    begin: WildJDD | None = None
    if isinstance(resume, Path) and not is_checkpoint(resume):
        begin, resume = network(resume), False
    net, fitted = train_on(training, p, out, resume, progress, holdout, begin)
    settings = [part for override in overrides for part in ("--set", override)]
    net.card.measured.update({name: measure_set(net, name) for name in p.test})
    net.card.training.update(
        data=", ".join(p.data.train),
        pictures=training.distinct,
        command=shlex.join(["unnoise", "train", "wild_jdd", "--preset", preset, *settings]),
        minutes=round(fitted.seconds / 60, 1),
        steps=fitted.step,
        data_licence=p.data.licence,
    )
    if begin is not None:
        before = begin.card.training
        net.card.training["before"] = {key: before.get(key) for key in ("command", "minutes", "steps")}
    return save(out / "wild_jdd.safetensors", net, arch="wild_jdd", config=p.net.model_dump(mode="json"))


def train_on(
    crops: Crops,
    p: JDDPreset,
    out: Path,
    resume: bool | Path = False,
    progress: Told = None,
    holdout: Crops | None = None,
    begin: WildJDD | None = None,
) -> tuple[WildJDD, Fitted]:
    """The network of a preset, trained on photographs from `begin` on, and how far that came."""
    torch.manual_seed(p.fit.seed)
    net = WildJDD(**p.net.model_dump())
    if begin is not None:
        if {k: t.shape for k, t in begin.state_dict().items()} != {k: t.shape for k, t in net.state_dict().items()}:
            raise InputError("the weights to begin with are of another network than the preset's: give its net options")
        net.load_state_dict(begin.state_dict())

    def batch_at(k: int) -> Batch:
        x = crops.batch(k, p.fit.batch, p.data.crop, p.fit.seed, p.data.downscale)
        return noisy_batch(x, p.noise, generator(p.fit.seed, k)) | {"step": torch.full((len(x),), k)}

    if begin is None:
        first = batch_at(0)
        with torch.no_grad():
            xi = local_variance(demosaick(first["mosaic"], "bilinear"), first["y"], p.net.window)
            net.log_beta.fill_(float(prior(xi, p.net.window)[1].mean().log()))

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        return jdd_loss(model(batch["mosaic"]), batch, p)

    fitted = fit(
        net,
        loss_of,
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json"),
        resume=resume,
        evaluate=(lambda trained: evaluate(trained, holdout)) if holdout is not None and holdout.images else None,
        progress=progress,
    )
    net.load_state_dict(fitted.net.state_dict())
    return net.eval(), fitted


def jdd_loss(output: JDDOutput, batch: Batch, p: JDDPreset) -> Tensor:
    """Minus the mean bound, or the plain losses on the mean."""
    y = batch["y"]
    error = output.mean.float() - y
    if p.loss == "mse":
        return error.square().mean()
    if p.loss == "l1":
        return error.abs().mean()
    x_tilde = demosaick(batch["mosaic"], "bilinear")
    alpha, beta = prior(local_variance(x_tilde, y, p.net.window), p.net.window)
    warm = min(1.0, 0.1 + 0.9 * int(batch["step"][0]) / p.kl_ig_warmup) if p.kl_ig_warmup else 1.0
    if p.loss in ("l1-elbo", "map"):
        output = output._replace(mean=output.mean.detach())
    bound = bound_loss(x_tilde, y, output, p.net.lam, alpha, beta, warm, p.net.window).mean()
    return error.abs().mean() + bound if p.loss == "l1-elbo" else bound


def noisy_batch(clean: Tensor, options: NoiseOptions, g: torch.Generator) -> Batch:
    """Clean crops (B, 3, P, P), P even, to references `y` and noisy mosaics `mosaic`."""
    size = len(clean)
    y = clean
    if options.imperfect > 0:
        levels = torch.tensor(options.residual)[torch.randint(len(options.residual), (size,), generator=g)]
        poor = demosaick(mosaic(clean), "bilinear")
        poor = poor + levels[:, None, None, None] * torch.randn(clean.shape, generator=g)
        which = torch.rand(size, generator=g) < options.imperfect
        y = torch.where(which[:, None, None, None], poor, clean)
    raw = mosaic(y)
    sigma = sigma_map(size, clean.shape[-1], options.sigma_max / 255, g)
    for share, changed in ((options.weak, sigma / 8), (options.photons, sigma * raw.clamp(min=0).sqrt())):
        if share > 0:
            sigma = torch.where(torch.rand(size, 1, 1, 1, generator=g) < share, changed, sigma)
    return {"y": y, "mosaic": raw + sigma * torch.randn(raw.shape, generator=g)}


def evaluate(net: nn.Module, holdout: Crops) -> dict[str, float]:
    """Mean PSNR on the centres of held-out photographs with fixed noise, at levels 0, 10 and 20."""
    pictures = [centre(image) for image in holdout.images[:: max(1, len(holdout.images) // 16)]]
    return {f"sigma{level}": float(np.mean(jdd_psnr(net, pictures, level))) for level in (0, 10, 20)}


def centre(image: NDArray[np.uint8], side: int = 192) -> NDArray[np.float32]:
    """The middle of a photograph, `side` x `side` or less, white at 1."""
    top, left = ((n - min(n, side)) // 2 for n in image.shape[:2])
    return to_unit(image[top : top + side, left : left + side])


def sigma_map(size: int, edge: int, largest: float, g: torch.Generator) -> Tensor:
    """Noise levels `(size, 1, edge, edge)`: a Gaussian bump at a random place, between two levels of 0 to `largest`.

    Source: Yue et al. 2019, "Variational denoising network", section 4.1.
    """
    centre = torch.rand(size, 2, generator=g) * edge
    spread = edge * (0.25 + 0.5 * torch.rand(size, 1, 1, generator=g))
    at = torch.arange(edge, dtype=torch.float32)
    squared = (at[None, :, None] - centre[:, :1, None]) ** 2 + (at[None, None] - centre[:, 1:, None]) ** 2
    bump = torch.exp(-squared / (2 * spread**2))
    low, high = bump.amin((1, 2), keepdim=True), bump.amax((1, 2), keepdim=True)
    ends = (torch.rand(size, 2, 1, 1, generator=g) * largest).sort(1).values
    return (ends[:, 0] + (ends[:, 1] - ends[:, 0]) * (bump - low) / (high - low))[:, None]
