"""The pictures of the report: curves for few and many patches, samples of both networks, bases at edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unnoise.explain.harmonic_bases import Basis
from unnoise.explain.harmonic_generalisation import Generalisation
from unnoise.studies.drawing import canvas, to_webp
from unnoise.studies.harmonic_bases.families import GRID
from unnoise.studies.harmonic_bases.photographs import Sampled
from unnoise.studies.report import Figure

COLOURS = ("#c2410c", "#a16207", "#0f766e", "#1d4ed8", "#7e22ce", "#475569")


def curves_figure(
    photographs: dict[int, list[Generalisation]], families: dict[str, Tensor], shown: Sequence[float]
) -> Figure:
    """PSNR on training and test patches by N; PSNR on the families; the share of the slopes marked."""
    figure = canvas(11, 3.8)
    left, right = figure.subplots(1, 2)
    for colour, (n, each) in zip(COLOURS, photographs.items(), strict=False):
        sigmas = [g.sigma for g in each]
        left.plot(sigmas, [g.train_psnr for g in each], "--", color=colour, lw=1)
        left.plot(sigmas, [g.test_psnr for g in each], "o-", ms=3, color=colour, label=f"N = {n}")
    left.set(xscale="log", xlabel="sigma", ylabel="PSNR (dB)")
    left.set_title("patches: test (line), training (dashes)", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    for colour, (name, c) in zip(COLOURS, families.items(), strict=False):
        before, after = c.mean(1)
        right.plot(before, after, "o-", ms=3, color=colour, label=name.replace("alpha-", "C-alpha, "))
    right.axline((20, 20), slope=1, color="0.7", lw=0.8)
    right.axvspan(*shown, color="0.95")
    right.set(xlabel="input PSNR (dB)", ylabel="output PSNR (dB)", xlim=(0, max(-20 * torch.tensor(GRID).log10())))
    right.set_title("known geometry; slopes are fitted in the gray range", fontsize=10)
    right.legend(fontsize=8, frameon=False)
    return Figure("curves", "What networks reach on pictures they saw and on others.", to_webp(figure))


def samples_figure(samples: dict[int, Sampled], count: int = 8) -> Figure:
    """For every N: samples of both networks from the same noise, and the nearest training patch of the first."""
    figure = canvas(9, 1.05 * 3 * len(samples) + 0.4)
    rows: Any = figure.subplots(3 * len(samples), count, squeeze=False)
    for i, (n, s) in enumerate(samples.items()):
        for j, (name, pictures) in enumerate((("first", s.first), ("second", s.second), ("nearest", s.nearest))):
            for k, axes in enumerate(rows[3 * i + j]):
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if k < len(pictures):
                    axes.imshow(pictures[k, 0].clamp(0, 1), cmap="gray", vmin=0, vmax=1)
            rows[3 * i + j][0].set_ylabel(f"N = {n}\n{name}", fontsize=7)
    return Figure(
        "samples",
        "Samples of two networks trained on disjoint photographs, from the same noise, and the training patch of the "
        "first network that is most like its sample.",
        to_webp(figure),
    )


def bases_figure(bases: dict[str, tuple[Tensor, Basis]], count: int = 9) -> Figure:
    """A row each: the clean picture, then basis vectors with their factors."""
    figure = canvas(10, 1.25 * len(bases) + 0.2)
    rows: Any = figure.subplots(len(bases), count + 1, squeeze=False)
    for axes_of, (name, (x, basis)) in zip(rows, bases.items(), strict=True):
        for axes in axes_of:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        axes_of[0].imshow(x[0], cmap="gray", vmin=0, vmax=1)
        axes_of[0].set_ylabel(name, fontsize=7)
        for axes, vector, value in zip(axes_of[1:], basis.eigenvectors, basis.eigenvalues, strict=False):
            top = float(vector.abs().max())
            axes.imshow(vector[0], cmap="gray", vmin=-top, vmax=top)
            axes.set_title(f"{float(value):.2f}", fontsize=7, pad=2)
    return Figure(
        "bases", "Pictures and the first vectors of the bases in which they are denoised, by factor.", to_webp(figure)
    )
