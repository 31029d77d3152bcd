"""Training of Wild-JDD on imperfect references, adaptation without any, and use on raw files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from unnoise.data.crops import Crops
from unnoise.data.files import write_whole
from unnoise.data.raw import Raw, flips, pack
from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.photo_training import DataOptions, photographs
from unnoise.restore.wild_jdd import JDDOutput, WildJDD, local_variance, nig_elbo, prior, tiled
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset

Told = Callable[[Progress], None] | None
OFFSETS = tuple((dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0))
"""Neighbours of the same colour of the mosaic: nearer ones share samples through the interpolation."""


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
    """Noise of the inputs varies over a crop between two levels of 0 to `sigma_max` (of 255); of the references, a
    share `imperfect` is the bilinear interpolation of their own mosaic with white noise of one of `residual` (of 1)."""

    sigma_max: float = Field(default=20.0, ge=0)
    imperfect: float = Field(default=0.0, ge=0, le=1)
    residual: tuple[float, ...] = (0.0,)


class JDDPreset(Options):
    """One preset of `presets/wild_jdd.yaml`; `loss` is elbo, or mse or l1 for comparison; `kl_ig_warmup` in steps."""

    net: NetOptions = NetOptions()
    data: DataOptions
    noise: NoiseOptions = NoiseOptions()
    loss: Literal["elbo", "mse", "l1"] = "elbo"
    kl_ig_warmup: int = Field(default=5000, ge=0)
    fit: FitOptions


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/wild_jdd"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train Wild-JDD as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(JDDPreset, "wild_jdd", preset, overrides)
    training, _ = photographs(p.data, data)
    net = train_on(training, p, out, resume, progress)
    settings = [part for override in overrides for part in ("--set", override)]
    command = shlex.join(["unnoise", "train", "wild_jdd", "--preset", preset, *settings])
    return save_jdd(out / "wild_jdd.safetensors", net, p.net, {"command": command, "data_licence": p.data.licence})


def train_on(crops: Crops, p: JDDPreset, out: Path, resume: bool | Path = False, progress: Told = None) -> WildJDD:
    """The network of a preset, trained on photographs."""
    torch.manual_seed(p.fit.seed)
    net = WildJDD(**p.net.model_dump())

    def batch_at(k: int) -> Batch:
        x = crops.batch(k, p.fit.batch, p.data.crop, p.fit.seed, p.data.downscale)
        return noisy_batch(x, p.noise, generator(p.fit.seed, k)) | {"step": torch.full((len(x),), k)}

    first = batch_at(0)
    with torch.no_grad():
        beta = prior(local_variance(demosaick(first["mosaic"], "bilinear"), first["y"], p.net.window), p.net.window)[1]
        net.log_beta.fill_(float(beta.mean().log()))

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        return jdd_loss(model(batch["mosaic"]), batch, p)

    fitted = fit(net, loss_of, batch_at, out, p.fit, config=p.model_dump(mode="json"), resume=resume, progress=progress)
    net.load_state_dict(fitted.net.state_dict())
    return net.eval()


def jdd_loss(output: JDDOutput, batch: Batch, p: JDDPreset) -> Tensor:
    """Minus the mean bound, or the plain losses on the mean for comparison."""
    y = batch["y"]
    if p.loss != "elbo":
        error = output.mean.float() - y
        return error.square().mean() if p.loss == "mse" else error.abs().mean()
    x_tilde = demosaick(batch["mosaic"], "bilinear")
    alpha, beta = prior(local_variance(x_tilde, y, p.net.window), p.net.window)
    warm = min(1.0, 0.1 + 0.9 * int(batch["step"][0]) / p.kl_ig_warmup) if p.kl_ig_warmup else 1.0
    return -nig_elbo(x_tilde, y, output, p.net.lam, alpha, beta, warm).elbo.mean()


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
    sigma = sigma_map(size, clean.shape[-1], options.sigma_max / 255, g)
    raw = mosaic(y)
    return {"y": y, "mosaic": raw + sigma * torch.randn(raw.shape, generator=g)}


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


def shifted(x: Tensor, offset: tuple[Tensor, Tensor]) -> Tensor:
    """Values of x `(B, C, H, W)` at the offsets dy, dx `(B, 1, H, W)`, mirrored at the borders, which keeps colours."""
    b, c, h, w = x.shape

    def inside(at: Tensor, n: int) -> Tensor:
        at = at.abs()
        return torch.where(at > n - 1, 2 * (n - 1) - at, at)

    rows = inside(torch.arange(h, device=x.device)[:, None] + offset[0], h)
    columns = inside(torch.arange(w, device=x.device) + offset[1], w)
    return x.flatten(2).gather(2, (rows * w + columns).reshape(b, 1, h * w).expand(b, c, -1)).reshape(x.shape)


def neighbours(size: tuple[int, int, int], g: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Offsets dy, dx `(B, 1, H, W)`, drawn from `OFFSETS` for every pixel."""
    b, h, w = size
    drawn = torch.tensor(OFFSETS)[torch.randint(len(OFFSETS), (b, 1, h, w), generator=g)]
    return drawn[..., 0], drawn[..., 1]


def agreement(x_tilde: Tensor, y: Tensor, sigma: Tensor, mask_k: float = 2.0) -> Tensor:
    """Where the neighbour y does not clearly show something else: `|y - x~| <= mask_k sigma`, as 0 and 1."""
    return ((y - x_tilde).abs() <= mask_k * sigma).to(x_tilde.dtype)


def adaptation_loss(
    net: nn.Module, raw: Tensor, g: torch.Generator | None, lam: float = 5.0, window: int = 7, mask_k: float = 2.0
) -> tuple[Tensor, float]:
    """Minus the masked mean bound with a random neighbour as the reference, and the share of pixels kept."""
    out: JDDOutput = net(raw)
    x_tilde = demosaick(raw, "bilinear")
    b, _, h, w = raw.shape
    y = shifted(x_tilde, neighbours((b, h, w), g))
    kept = agreement(x_tilde, y, out.variance().sqrt().detach(), mask_k)
    # the difference of two noisy samples has twice their variance
    alpha, beta = prior(local_variance(x_tilde, y, window) / 2, window)
    bound = nig_elbo(x_tilde, y, out, lam, alpha, beta).elbo
    return -(kept * bound).sum() / kept.sum().clamp(min=1), float(kept.mean())


def finetune(
    net: WildJDD,
    mosaics: Sequence[Tensor],
    steps: int = 100,
    *,
    lam: float = 5.0,
    mask_k: float = 2.0,
    crop: int = 64,
    batch: int = 8,
    lr: float = 1e-4,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Adapt a network in place to raw mosaics `(1, H, W)` in RGGB order, without any reference; the share kept.

    `lam` is the weak confidence in a neighbour; the mask leaves out neighbours further than `mask_k` deviations. A
    share under 0.3 says that the noise map is too low for these data: use a larger `mask_k`.

    Raises
    ------
    InputError : no mosaics, ones that are smaller than the crop, or a crop that is not even.
    """
    if not mosaics or any(m.ndim != 3 or m.shape[0] != 1 or min(m.shape[1:]) < crop for m in mosaics):
        raise InputError(f"adaptation takes mosaics (1, H, W) of {crop} x {crop} or more: give larger ones")
    if crop % 2 or crop < 8:
        raise InputError(f"a crop of {crop} cuts a Bayer cell: make it even and 8 or more")
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    rng, share = np.random.default_rng(seed), 0.0
    net.train()
    for k in range(steps):
        pieces = []
        for which in rng.integers(len(mosaics), size=batch):
            m = mosaics[int(which)]
            top, left = (2 * int(rng.integers(0, (n - crop) // 2 + 1)) for n in m.shape[1:])
            pieces.append(m[:, top : top + crop, left : left + crop])
        loss, kept = adaptation_loss(net, torch.stack(pieces), generator(seed, k), lam, mask_k=mask_k)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        share += kept / steps
        if progress is not None:
            progress(k + 1, steps)
    net.eval()
    return share


@torch.no_grad()
def demosaic_denoise(
    net: WildJDD, raw: Raw, tile: int = 512, debias: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A clean RGB picture (H, W, 3) with white at 1, and the standard deviation of the noise in it.

    Any Bayer order: the mosaic is mirrored to RGGB and back. `debias` is the lambda the network was adapted or trained
    with: the share of the input that its optimum keeps is then taken out.

    Raises
    ------
    InputError : a sensor without colours, or values far outside black to white.
    """
    if raw.pattern == "mono":
        raise InputError("a mosaic without colours cannot be demosaicked: denoise it as kind raw")
    planes = pack(raw)
    if float(planes.max()) > 1.05 or float(planes.min()) < -0.5:
        raise InputError(
            f"the mosaic reaches from {float(planes.min()):.2f} to {float(planes.max()):.2f} where 0 is black and 1 "
            "white: give its levels"
        )
    straight = F.pixel_shuffle(planes, 2)
    out = tiled(net, straight, tile)
    mean = out.mean if debias is None else out.debiased(demosaick(straight, "bilinear"), debias)
    height, width = raw.mosaic.shape

    def as_picture(t: Tensor) -> NDArray[np.float32]:
        array = np.flip(t[0].permute(1, 2, 0).numpy(), flips(raw.pattern))[:height, :width]
        return np.ascontiguousarray(array, np.float32)

    return as_picture(mean.clamp(0, 1)), as_picture(out.variance().sqrt())


def save_jdd(path: Path, net: WildJDD, config: NetOptions, training: dict[str, Any]) -> Path:
    """One safetensors file of float16 weights, whose header holds configuration and training as JSON.

    Not a file of the zoo: what goes in is a mosaic and what comes out a picture, which is no `Denoiser`.
    """
    import json

    tensors = {name: t.detach().cpu().half().contiguous() for name, t in net.state_dict().items()}
    header = {"config": config.model_dump(mode="json"), "training": training}
    return write_whole(path, to_bytes(tensors, metadata={"wild_jdd": json.dumps(header)}))


def load_jdd(path: str | Path) -> WildJDD:
    """The network of `save_jdd`, ready to use; raises `InputError` for another file."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            config = json.loads((file.metadata() or {})["wild_jdd"])["config"]
        net = WildJDD(**config)
        net.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a file of unnoise train wild_jdd ({type(error).__name__}): check it") from None
    return net.eval()
