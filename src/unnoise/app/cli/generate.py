"""`unnoise generate`: pictures out of noise, from a denoiser that was trained for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from unnoise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.denoiser import Denoiser

BATCH = 64


def generate(
    model: Annotated[str, typer.Argument(help="A shipped model (unnoise models), a weight file, a diffusers folder.")],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 16,
    label: Annotated[int | None, typer.Option("--class", help="Class of every picture; without it, any.")] = None,
    guidance: Annotated[float, typer.Option(help="Guidance scale: 1 is none, more is more typical.")] = 1.0,
    policy: Annotated[str, typer.Option(help="When to guide: full, ag, ag:GAMMA, interval:LOW:HIGH.")] = "full",
    sampler: Annotated[str, typer.Option(help="ddim, ddpm, dpmpp_2m, euler, heun, unipc...")] = "dpmpp_2m",
    steps: Annotated[int, typer.Option(help="Steps of the sampler.")] = 20,
    seed: Annotated[int, typer.Option(help="Picture i depends on the seed and i alone.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="Sheet to write (.png), or the pictures (.npy).")] = Path(
        "generated.png"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Draw pictures from what a denoiser knows."""
    if n < 1:
        raise InputError(f"-n must be at least 1, got {n}")
    if out.suffix not in (".png", ".npy"):
        raise InputError(f"{out} must end in .png (a sheet of all pictures) or .npy (the pictures)")

    from unnoise.data.files import refuse_existing
    from unnoise.generate.adaptive_guidance import parse_policy
    from unnoise.generate.guidance import Guided
    from unnoise.zoo import load

    refuse_existing(out, overwrite)
    denoiser = _of_diffusers(model) if Path(model).is_dir() else load(model)
    size, classes = getattr(denoiser, "size", None), int(getattr(denoiser, "classes", 0))
    if size is None:
        raise InputError(f"{model} was trained to clean pictures, not to generate them: unnoise models lists others")
    conditional = "label" in denoiser.card.conditions
    if label is not None and not conditional:
        raise InputError(f"{model} knows no classes: leave --class out")
    if label is not None and not 0 <= label < classes:
        raise InputError(f"--class must be 0 to {classes - 1} for {model}, got {label}")
    if guidance != 1:
        if label is None:
            raise InputError("guidance pulls towards a class: name one with --class, or leave --guidance at 1")
        denoiser = Guided(denoiser, guidance, parse_policy(policy))
    x, nfe = _draw(denoiser, (denoiser.card.channels or 1, size, size), n, label, sampler, steps, seed)
    _write(out, x, overwrite)
    Console(highlight=False, soft_wrap=True).print(
        f"{n} pictures, {nfe:.1f} evaluations of the network each, see {out}", markup=False
    )


def _of_diffusers(folder: str) -> Denoiser:
    """The denoiser in a folder of diffusers, when what it draws are pictures."""
    from unnoise.generate.hf import from_diffusers

    denoiser = from_diffusers(folder)
    if denoiser.card.value_range is None or "embedding" in denoiser.card.conditions:
        raise InputError(f"{folder} draws latents or asks for prompts: use its pipeline, with wrap_denoiser")
    return denoiser


def _draw(
    denoiser: object, shape: tuple[int, ...], n: int, label: int | None, sampler: str, steps: int, seed: int
) -> tuple[Tensor, float]:
    import torch
    from rich.progress import track

    from unnoise.denoiser import Denoiser
    from unnoise.generate.sample import sample

    assert isinstance(denoiser, Denoiser)
    pictures, evaluations = [], 0
    starts = range(0, n, BATCH)
    for first in track(starts, "generating", console=Console(stderr=True), transient=True, disable=len(starts) == 1):
        count = min(BATCH, n - first)
        given: dict[str, Any] = {} if label is None else {"label": torch.full((count,), label)}
        drawn = sample(denoiser, shape, count, sampler=sampler, steps=steps, seed=seed, first=first, **given)
        pictures.append(drawn.x)
        evaluations += int(drawn.nfe.sum())
    return torch.cat(pictures), evaluations / n


def _write(out: Path, x: Tensor, overwrite: bool) -> None:
    """A sheet of pictures, enlarged where they are small, or an array (n, C, H, W) in [0, 1]."""
    import numpy as np
    from PIL import Image

    from unnoise.app.figures import picture_grid
    from unnoise.data.files import replacing

    with replacing(out, overwrite) as temporary:
        if out.suffix == ".npy":
            with temporary.open("wb") as file:
                np.save(file, x.clamp(0, 1).numpy())
        else:
            sheet: Image.Image = picture_grid(x.permute(0, 2, 3, 1).numpy())
            sheet.save(temporary, "PNG")
