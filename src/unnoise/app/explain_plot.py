"""A denoiser at one place of a picture, measured and drawn: spectrum, coefficients, basis, the filter of a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unnoise.denoiser import Denoiser
from unnoise.errors import InputError
from unnoise.explain.harmonic_bases import Basis, filter_at, shrinkage_basis, sure
from unnoise.noise.seeds import generators, normal_like

FULL = 1100  # numbers in a part up to which the whole Jacobian is formed


@dataclass(frozen=True, eq=False)
class Explained:
    """What was found at one part (1, C, h, w) of a picture; `clean` and `error` are `None` when the input was noisy."""

    where: str
    clean: Tensor | None
    noisy: Tensor
    denoised: Tensor
    basis: Basis
    vectors: int
    filter: Tensor
    sure: float
    error: float | None


def explain_picture(
    denoiser: Denoiser,
    x: Tensor,
    sigma: float,
    place: tuple[int, int] | None,
    size: int,
    vectors: int,
    noisy: bool,
    seed: int,
) -> Explained:
    """Analyse the part of side `size` round `place` (column, row; the liveliest place when `None`) of x (1, C, H, W).

    Raises `InputError` when the place is outside, or the part does not suit the denoiser.
    """
    channels = denoiser.card.channels or 1  # one gray channel where there is a choice: the basis is easier to read
    if channels not in (1, x.shape[1]):
        raise InputError(f"the denoiser takes {channels} channels, the picture has {x.shape[1]}")
    if channels == 1:
        x = x[:, :3].mean(1, keepdim=True)
    height, width = (min(size, n) // denoiser.card.stride * denoiser.card.stride for n in x.shape[2:])
    if min(height, width) < 1:
        raise InputError(f"the picture is smaller than the grid of {denoiser.card.stride} pixels of the denoiser")
    column, row = _liveliest(x, height, width) if place is None else place
    if not (0 <= column < x.shape[3] and 0 <= row < x.shape[2]):
        raise InputError(f"--at {column},{row} is outside the picture of {x.shape[3]} x {x.shape[2]} pixels")
    top = min(max(0, row - height // 2), x.shape[2] - height)
    left = min(max(0, column - width // 2), x.shape[3] - width)
    part = x[..., top : top + height, left : left + width].contiguous()
    y = part if noisy else part + sigma * normal_like(part, generators(seed, [0]))
    level = None if denoiser.card.blind else sigma
    d = y.numel()
    basis = shrinkage_basis(
        denoiser,
        y,
        level,
        k=None if d <= FULL else min(d, max(64, vectors)),
        method="full" if d <= FULL else "randomised",
        clean=None if noisy else part,
    )
    with torch.no_grad():
        x_hat = denoiser(y, level)
    error = None if noisy else float((x_hat - part).square().mean())
    stein = _stein(denoiser, y, sigma, level, basis.trace, x_hat)
    weights = filter_at(denoiser, y, row - top, column - left, level)
    where = f"{width} x {height} pixels round {column},{row}, sigma {255 * sigma:g} of 255"
    return Explained(where, None if noisy else part, y, x_hat, basis, min(vectors, d), weights, stein, error)


def _stein(denoiser: Denoiser, y: Tensor, sigma: float, level: float | None, trace: float, x_hat: Tensor) -> float:
    """SURE with the trace that is known already; with few probes it would be noisier."""
    if not math.isfinite(trace):
        return float(sure(denoiser, y, sigma, probes=16)[0])
    return float((y - x_hat).square().mean()) - sigma**2 + 2 * sigma**2 * trace / y.numel()


def _liveliest(x: Tensor, height: int, width: int) -> tuple[int, int]:
    """Centre (column, row) of the part with the most variance."""

    def mean(z: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(z, (height, width), stride=(max(1, height // 2), max(1, width // 2)))

    variance = (mean(x**2) - mean(x) ** 2).sum(1)[0]
    best = int(variance.argmax())
    i, j = best // variance.shape[1], best % variance.shape[1]
    return j * max(1, width // 2) + width // 2, i * max(1, height // 2) + height // 2


def explain_plot(found: Explained, title: str, path: Path) -> None:
    """Draw it to an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(8, found.vectors)
    rows = math.ceil(found.vectors / columns)
    figure = Figure(figsize=(12, 6.2 + 1.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, wrap=True)
    parts: Any = figure.subfigures(3, 1, height_ratios=(2.9, 2.6, 1.5 * rows))
    upper, middle, lower = parts
    shown = upper.subplots(1, 4)
    pictures = [("clean", found.clean), ("noisy", found.noisy), ("denoised", found.denoised)]
    for axes, (name, picture) in zip(shown, pictures, strict=False):
        axes.set_axis_off()
        if picture is not None:
            axes.set_title(name, fontsize=10)
            _show(axes, picture[0].clamp(0, 1), 0, 1)
    _filter(shown[3], found.filter)
    spectrum, coefficients = middle.subplots(1, 2)
    _spectrum(spectrum, coefficients, found)
    lower.suptitle("basis vectors, by their factors", fontsize=10)
    for k, axes in enumerate(lower.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if k < found.vectors:
            vector = found.basis.eigenvectors[k]
            top = float(vector.abs().max())
            _show(axes, 0.5 + 0.5 * vector / top, 0, 1)
            axes.set_title(f"{float(found.basis.eigenvalues[k]):.2f}", fontsize=8)
    figure.savefig(path, dpi=100)


def _show(axes: Any, picture: Tensor, low: float, high: float) -> None:
    shown = picture.permute(1, 2, 0).numpy() if len(picture) == 3 else picture[0].numpy()
    axes.imshow(shown, cmap="gray", vmin=low, vmax=high, interpolation="nearest")


def _filter(axes: Any, weights: Tensor) -> None:
    top = float(weights.abs().max()) or 1.0
    axes.set_axis_off()
    axes.set_title("weights that make the pixel", fontsize=10)
    axes.imshow(weights.sum(0).numpy(), cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")


def _spectrum(spectrum: Any, coefficients: Any, found: Explained) -> None:
    basis = found.basis
    values = basis.eigenvalues.numpy()
    at = range(1, len(values) + 1)
    spectrum.plot(at, values, color="#4878a8")
    spectrum.axhline(1, color="0.7", lw=0.8)
    spectrum.axhline(0, color="0.7", lw=0.8)
    spectrum.set(xlabel="k", ylabel="shrinkage factor", xscale="log")
    spectrum.set_title(f"effective dimension {basis.trace:.1f} of {found.noisy.numel()}", fontsize=10)
    coefficients.plot(at, basis.coefficients.abs().numpy(), ".", ms=3, color="0.6", label="noisy")
    if basis.clean is not None:
        coefficients.plot(at, basis.clean.abs().numpy(), ".", ms=3, color="#c0392b", label="clean")
    coefficients.set(xlabel="k", ylabel="coefficient", xscale="log", yscale="log")
    coefficients.set_title("the picture in the basis", fontsize=10)
    coefficients.legend(fontsize=8)
