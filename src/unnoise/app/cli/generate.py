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
POLICIES = "full, ag[:GAMMA[:SPACE]], interval:LOW:HIGH, first:N, last:N, alternating[:N], linear:FILE"
PATHS = 200  # guided runs on which the coefficients of linear:FILE are fitted, as in the paper


def generate(
    model: Annotated[str, typer.Argument(help="A shipped model (unnoise models), a weight file, a diffusers folder.")],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 16,
    label: Annotated[
        int | None, typer.Option("--class", help="Class of every picture, -1 for none; without it, each draws its own.")
    ] = None,
    guidance: Annotated[float, typer.Option(help="Guidance scale: 1 is none, more is more typical.")] = 1.0,
    policy: Annotated[str, typer.Option(help=f"When to guide: {POLICIES}.")] = "full",
    compare: Annotated[
        bool, typer.Option("--compare", help="Show what adaptive guidance would save; no picture is written.")
    ] = False,
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
    if steps < 1:
        raise InputError(f"--steps must be at least 1, got {steps}")
    if guidance in (0, 1) and (compare or policy != "full"):
        raise InputError(f"scale {guidance:g} takes one estimate, none is left out by --policy: name a --guidance")
    if compare and policy != "full":
        raise InputError("--compare tries policies of its own: drop --policy")
    if out.suffix not in (".png", ".npy"):
        raise InputError(f"{out} must end in .png (a sheet of all pictures) or .npy (the pictures)")

    from unnoise.data.files import refuse_existing
    from unnoise.generate.guidance import Guided
    from unnoise.generate.sweep import calls
    from unnoise.zoo import load

    if not compare:
        refuse_existing(out, overwrite)
    denoiser = _of_diffusers(model) if Path(model).is_dir() else load(model)
    size, classes = getattr(denoiser, "size", None), int(getattr(denoiser, "classes", 0))
    if size is None:
        raise InputError(f"{model} was trained to clean pictures, not to generate them: unnoise models lists others")
    conditional = "label" in denoiser.card.conditions
    if label is not None and not conditional:
        raise InputError(f"{model} knows no classes: leave --class out")
    if label is not None and not -1 <= label < classes:
        raise InputError(f"--class must be 0 to {classes - 1} for {model}, or -1 for none, got {label}")
    if guidance != 1 and (label == -1 or not conditional):
        raise InputError("guidance pulls towards a class: name one with --class, or leave --guidance at 1")
    distilled = "scale" in denoiser.card.conditions  # guidance is inside: one evaluation a step
    if distilled and (policy != "full" or compare):
        raise InputError(f"{model} gives guided estimates at once, there is no second one to leave out: drop --policy")
    shape = (denoiser.card.channels or 1, size, size)
    labels = _labels(n, classes if conditional else 0, label, seed)
    if compare:
        _compare(denoiser, shape, labels, guidance, sampler, steps, seed)
        return
    if guidance != 1 and not distilled:
        chosen = _policy(policy, denoiser, shape, classes, guidance, sampler, steps, calls(sampler, steps))
        denoiser = Guided(denoiser, guidance, chosen)
    scale = guidance if distilled else None
    x, nfe = _draw(denoiser, shape, n, labels, scale, sampler, steps, seed)
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


def _labels(n: int, classes: int, label: int | None, seed: int) -> Tensor | None:
    """The class of every picture (n,): the one asked for, or one drawn from the seed and the picture's number."""
    import torch

    from unnoise.noise.seeds import generator

    if not classes:
        return None
    if label is not None:
        return torch.full((n,), label)
    return torch.cat([torch.randint(classes, (1,), generator=generator(seed, i, 2)) for i in range(n)])


def _policy(
    text: str,
    denoiser: Denoiser,
    shape: tuple[int, ...],
    classes: int,
    scale: float,
    sampler: str,
    steps: int,
    evaluations: int,
) -> Any:
    """The policy in words; the coefficients of linear:FILE are fitted and written when the file is not there."""
    import torch

    from unnoise.generate.adaptive_guidance import fit_linear
    from unnoise.generate.policies import parse_policy
    from unnoise.generate.sample import default_grid, start

    kind, _, file = text.partition(":")
    if kind == "linear" and file and not Path(file).exists():
        sigmas = default_grid(denoiser, steps)
        x_T = start(denoiser, shape, PATHS, float(sigmas[0]), seed=1)  # not the starts of seed 0
        label = torch.arange(PATHS) % classes
        fit_linear(denoiser, x_T, sigmas, scale, sampler=sampler, label=label).save(file)
        Console(stderr=True).print(f"coefficients fitted on {PATHS} guided runs, kept in {file}", markup=False)
    return parse_policy(text, evaluations)


def _compare(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    labels: Tensor | None,
    scale: float,
    sampler: str,
    steps: int,
    seed: int,
) -> None:
    """Adaptive guidance against full guidance and fewer steps, from the same starts, as a table."""
    from rich.table import Table

    from unnoise.generate.sample import default_grid, start
    from unnoise.generate.sweep import sweep

    assert labels is not None
    x_T = start(denoiser, shape, len(labels), float(default_grid(denoiser, steps)[0]), seed)
    found = sweep(denoiser, x_T, scale, sampler=sampler, steps=steps, label=labels)
    table = Table("policy", "threshold", "evaluations", "SSIM", "mean squared error", box=None)
    for row in found.rows:
        bar = "" if row.gamma_bar is None else f"{row.gamma_bar:.6f}"
        table.add_row(row.name, bar, f"{row.nfe:.1f}", f"{row.ssim:.4f}", f"{row.mse:.5f}")
    console = Console(highlight=False)
    console.print(table)
    curve = " ".join(f"{v:.3f}" for v in found.gamma.mean(1).tolist())
    console.print(f"cosine of both estimates, step by step: {curve}", markup=False)


def _draw(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    n: int,
    labels: Tensor | None,
    scale: float | None,
    sampler: str,
    steps: int,
    seed: int,
) -> tuple[Tensor, float]:
    import torch
    from rich.progress import track

    from unnoise.generate.sample import sample

    pictures, evaluations = [], 0
    starts = range(0, n, BATCH)
    for first in track(starts, "generating", console=Console(stderr=True), transient=True, disable=len(starts) == 1):
        count = min(BATCH, n - first)
        given: dict[str, Any] = {} if labels is None else {"label": labels[first : first + count]}
        if scale is not None:
            given["scale"] = torch.full((count,), scale)
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
