"""Training of the networks for cubes on pseudo-cubes of photographs, by the recipe that carries over to others."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unnoise.data.crops import Crops
from unnoise.data.pseudo_cubes import jitter, pseudo_cubes
from unnoise.errors import MissingData
from unnoise.noise.cubes import GaussianSNR, Mixed
from unnoise.noise.seeds import generator
from unnoise.restore.hyde.neural import BANDS, Neural
from unnoise.restore.hyde.neural_quality import SNR, measure
from unnoise.restore.hyde.normalise import band01
from unnoise.restore.photo_training import DataOptions, photographs
from unnoise.training.checkpoint import is_checkpoint
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import load, save

Told = Callable[[Progress], None] | None


class CubeOptions(Options):
    """Of `data.pseudo_cubes`: materials of a scene, and the correlation length of their spectra in bands."""

    materials: tuple[int, int] = (4, 8)
    length: tuple[float, float] = (3.0, 10.0)


class CubeNoiseOptions(Options):
    """Gaussian noise of an SNR (dB) drawn from `snr`, or `mixed`: a level a band, impulses, stripes and dead lines."""

    kind: Literal["gaussian", "mixed"] = "gaussian"
    snr: tuple[float, float] = (20.0, 30.0)


class Preset(Options):
    """One training of `presets/hyde.yaml`, group `training`.

    Attributes
    ----------
    arch : key of `neural.ARCHITECTURES`.
    normalize : the crop whose extent brings both to [0, 1]; the clean one is there for comparison: it tells the network
        what it cannot know later.
    test : cubes of `neural_quality.corner` whose measures the card of the weights tells.
    augment : shapes are turned, sheared, zoomed and bent; without is there for comparison.
    """

    arch: str = "qrnn2d"
    data: DataOptions
    cubes: CubeOptions = CubeOptions()
    noise: CubeNoiseOptions = CubeNoiseOptions()
    normalize: Literal["noisy", "clean"] = "noisy"
    augment: bool = True
    fit: FitOptions
    test: tuple[str, ...] = ()


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/hyde"),
    resume: bool | Path = False,
    progress: Told = None,
) -> Path:
    """Train a network for cubes as a preset says; the path of the weight file, made from the averaged weights."""
    p = load_preset(Preset, "hyde_training", preset, overrides)
    training, holdout = photographs(p.data, data, channels=1)
    denoiser, steps, seconds = train_on(training, holdout, p, out, resume, progress)
    settings = [part for override in overrides for part in ("--set", override)]
    with suppress(MissingData):  # the weights are worth more than their card
        denoiser.card.measured.update({name: measure(denoiser, name) for name in p.test})
    denoiser.card.training.update(
        data=", ".join(p.data.train),
        pictures=training.distinct,
        command=shlex.join(["unnoise", "train", "hyde", "--preset", preset, *settings]),
        minutes=round(seconds / 60, 1),
        steps=steps,
        data_licence=p.data.licence,
    )
    return save(out / f"{p.arch}.safetensors", denoiser, arch="hyde", config={"arch": p.arch})


def train_on(
    training: Crops, holdout: Crops, p: Preset, out: Path, resume: bool | Path = False, progress: Told = None
) -> tuple[Neural, int, float]:
    """The network of a preset, trained on photographs; steps and seconds over all sittings."""
    torch.manual_seed(p.fit.seed)
    denoiser = Neural(p.arch)
    if isinstance(resume, Path) and not is_checkpoint(resume):
        begin = load(resume)
        denoiser.load_state_dict(begin.state_dict())
        denoiser.card.training["before"] = {k: begin.card.training.get(k) for k in ("command", "minutes", "steps")}
        resume = False

    def batch_at(k: int) -> Batch:
        x, y = pairs(training, k, p, p.fit.batch)
        return {"x": x, "y": denoiser.prepare(y)}

    def loss_of(net: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(net(batch["y"]).float().reshape(batch["x"].shape), batch["x"])

    def evaluate(net: nn.Module) -> dict[str, float]:
        """PSNR on fixed pseudo-cubes of held-out photographs, noisy and clean."""
        fixed = p.model_copy(update={"noise": CubeNoiseOptions(snr=(SNR, SNR)), "normalize": "noisy", "augment": False})
        x, y = pairs(holdout, 0, fixed, 8)
        with torch.inference_mode():
            clean = net(denoiser.prepare(y)).reshape(x.shape)
        return {"noisy": _psnr(y, x), "denoised": _psnr(clean, x)}

    fitted = fit(
        denoiser.net,
        loss_of,
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json"),
        resume=resume,
        evaluate=evaluate if holdout.images else None,
        progress=progress,
    )
    denoiser.net.load_state_dict(fitted.net.state_dict())
    return denoiser.eval(), fitted.step, fitted.seconds


def pairs(photographs: Crops, k: int, p: Preset, size: int) -> tuple[Tensor, Tensor]:
    """Clean and noisy cubes (size, bands, crop, crop) of step k, both scaled by the extent of one of them.

    The order is the recipe's: shapes are bent while the cube is clean, then comes the noise, and the extent of each
    band is taken last, of what a user has, too: the noisy crop.
    """
    g = generator(p.fit.seed, k)
    x = pseudo_cubes(
        photographs,
        k,
        size,
        p.data.crop,
        BANDS,
        g,
        materials=p.cubes.materials,
        length=p.cubes.length,
        seed=p.fit.seed,
    )
    if p.augment:
        x = jitter(x, g)
    model = GaussianSNR(p.noise.snr) if p.noise.kind == "gaussian" else Mixed()
    y = model.sample(x, g)
    extent = band01(y if p.normalize == "noisy" else x)
    return extent.to(x), extent.to(y)


def _psnr(y: Tensor, x: Tensor) -> float:
    return float((-10 * (y - x).square().mean((2, 3)).log10()).mean())
