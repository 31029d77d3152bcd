"""Guidance distillation: a student whose one evaluation gives what guidance needs two for, at any scale it was shown.

Meng et al. 2023, "On distillation of guided diffusion models" (2210.03142), stage one; the trained rival of Adaptive
Guidance, which needs no training.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from unnoise.data.digits import load_digits
from unnoise.denoiser.base import Denoiser
from unnoise.errors import InputError
from unnoise.generate.digits import Digits, noisy_batch
from unnoise.generate.guidance import Guided
from unnoise.noise.schedule import EDM
from unnoise.noise.seeds import generator
from unnoise.training.checkpoint import is_checkpoint
from unnoise.training.loop import Batch, Progress, fit
from unnoise.training.options import FitOptions, Options
from unnoise.training.presets import load_preset
from unnoise.zoo.files import load, save


class DistillationPreset(Options):
    """One preset of `presets/digits_distilled.yaml`.

    Attributes
    ----------
    scales : guidance scales between which the student learns, uniformly.
    noise : as in `digits.DigitsPreset`.
    """

    data: str
    licence: str
    scales: tuple[float, float] = (1.0, 8.0)
    noise: tuple[float, float] = (-0.5, 1.3)
    fit: FitOptions = Field()


def train(
    preset: str = "laptop",
    overrides: Sequence[str] = (),
    data: Path | None = None,
    out: Path = Path("runs/digits-distilled"),
    resume: bool | Path = False,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a student of the shipped digits, or of the weights that `resume` names; the path of its weight file."""
    p = load_preset(DistillationPreset, "digits-distilled", preset, overrides)
    given = resume if isinstance(resume, Path) and not is_checkpoint(resume) else None
    teacher, student, config = pupil(given or "digits")
    images, labels = load_digits(p.data, data)

    def batch_at(k: int) -> Batch:
        g = generator(p.fit.seed, k)
        rows = torch.randint(len(images), (p.fit.batch,), generator=g)
        return guided_batch(teacher, noisy_batch(images[rows], labels[rows], 0.0, p.noise, g), p.scales, g)

    fitted = fit(
        student,
        loss_of,
        batch_at,
        out,
        p.fit,
        config=p.model_dump(mode="json"),
        resume=False if given else resume,
        progress=progress,
    )
    student.load_state_dict(fitted.net.state_dict())
    settings = [part for override in overrides for part in ("--set", override)]
    begin = ["--from", resume.name] if isinstance(resume, Path) else []
    student.card.training.update(
        data=p.data,
        pictures=len(images),
        command=shlex.join(["unnoise", "train", "digits-distilled", "--preset", preset, *begin, *settings]),
        minutes=round(fitted.seconds / 60, 1),
        steps=fitted.step,
        data_licence=p.licence,
        teacher=dict(teacher.card.training),
    )
    return save(out / "digits-distilled.safetensors", student, arch="digits", config=config)


def pupil(weights: str | Path) -> tuple[Digits, Digits, dict[str, object]]:
    """A trained `Digits`, a student that begins as its conditional estimate, and the student's configuration."""
    teacher = load(weights)
    if not isinstance(teacher, Digits) or teacher.guided:
        raise InputError(f"{weights} is no teacher: distillation needs a model of digits that takes no scale")
    config: dict[str, object] = teacher.config | {"guided": True}
    student = Digits(**config)  # type: ignore[arg-type]  # what the file of the teacher holds
    student.load_state_dict(teacher.state_dict(), strict=False)  # all but the embedding of the scale, which is zero
    return teacher.requires_grad_(False).eval(), student, config


def guided_batch(teacher: Denoiser, batch: Batch, scales: tuple[float, float], g: torch.Generator) -> Batch:
    """The batch with a `scale` (B,) a sample, and the teacher's guided estimate in the place of `x`."""
    low, high = scales
    scale = low + (high - low) * torch.rand(len(batch["y"]), generator=g)
    with torch.no_grad():
        c, u = Guided(teacher, 2.0).trajectory().both(batch["y"], batch["sigma"], {"label": batch["label"]})
    return batch | {"x": u + scale[:, None, None, None] * (c - u), "scale": scale}


def loss_of(net: nn.Module, batch: Batch) -> Tensor:
    """Squared error against the guided estimate, weighted as the teacher's own training, on [-1, 1]."""
    weight = EDM(0.6).weight(2 * batch["sigma"])[:, None, None, None]
    estimate = net(batch["y"], batch["sigma"], label=batch["label"], scale=batch["scale"])
    return (weight * (2 * (estimate - batch["x"])).square()).mean()
