"""Training of the bias-free blind denoisers: one set of pictures, every noise level, the same steps whatever its size.

Kadkhodaie, Guth, Simoncelli and Mallat 2024 (2310.02557), appendix A and its code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from unnoise.errors import InputError
from unnoise.explain.harmonic_nets import BFUNet
from unnoise.noise.seeds import generator
from unnoise.training.loop import CHECKPOINT, Batch, Progress, fit
from unnoise.training.options import FitOptions, Options


class NetOptions(Options):
    """Of `harmonic_nets.BFUNet`."""

    width: int = Field(default=64, gt=0)
    blocks: int = Field(default=3, gt=0)


def train_net(
    x: Tensor,
    net: NetOptions,
    options: FitOptions,
    out: Path,
    floor: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[BFUNet, float]:
    """Train a BF-UNet on clean pictures x (N, C, H, W), or go on where `out` stopped: the network and its seconds.

    Noise of `sigma = u**2`, u uniform in [0, 1], is drawn anew for every picture of every batch; the loss is the mean
    squared error of the noise. There is no augmentation, which would change N. Steps do not depend on N.

    Parameters
    ----------
    floor : divide each picture's error by `sigma**2 + floor**2`. A blind network that can tell the level has the same
        best solution either way; without it, strong noise makes nearly all of the loss, and a short training ends
        before weak noise is learnt.

    Raises
    ------
    InputError : sizes that the network's scales do not divide.
    """
    if any(n % 2**net.blocks for n in x.shape[2:]):
        raise InputError(f"{net.blocks} scales need sides that are multiples of {2**net.blocks}, got {tuple(x.shape)}")
    torch.manual_seed(options.seed)
    denoiser = BFUNet(x.shape[1], net.width, net.blocks)

    def batch_at(k: int) -> Batch:
        g = generator(options.seed, k)
        clean = x[torch.randint(len(x), (options.batch,), generator=g)]
        sigma = torch.rand(options.batch, 1, 1, 1, generator=g).square()
        z = sigma * torch.randn(clean.shape, generator=g)
        return {
            "y": clean + z,
            "z": z,
            "weight": torch.ones_like(sigma) if floor is None else 1 / (sigma**2 + floor**2),
        }

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        y = batch["y"]
        return (batch["weight"] * (y - model(y) - batch["z"]).square()).mean()

    config = {"net": net.model_dump(), "fit": options.model_dump(), "floor": floor}
    resume = (out / CHECKPOINT).exists()
    fitted = fit(denoiser, loss_of, batch_at, out, options, config=config, resume=resume, progress=progress)
    assert isinstance(fitted.net, BFUNet)
    return fitted.net.eval(), fitted.seconds
