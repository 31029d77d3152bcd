"""What the noise of a picture looks like: level against brightness, correlation, distribution, and the noise itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unnoise.noise.estimate import noise_curve
from unnoise.noise.flat import cut
from unnoise.noise.profile import NoiseProfile

COLOURS = {1: ("0.35",), 3: ("#c0392b", "#27894a", "#2d5fb8")}
NAMES = {1: ("gray",), 3: ("red", "green", "blue")}


def noise_plot(y: Tensor, profile: NoiseProfile, title: str, path: Path) -> None:
    """Draw the noise of y (1, C, H, W) in [0, 1] to an image file; at most a middle part of 1024 x 1024 is read."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    y = _middle(y, 1024)
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: {profile.describe()}", fontsize=11, wrap=True)
    curve, lags, histogram, sample = figure.subplots(2, 2).flat
    _level(curve, y, profile)
    _correlation(lags, profile)
    _flat_places(histogram, sample, y, profile)
    figure.savefig(path, dpi=100)


def _level(axes: Any, y: Tensor, profile: NoiseProfile) -> None:
    """Measured level in groups of brightness, and the fitted law."""
    channels = y.shape[1]
    top = max(profile.sigma) * 255
    for c in range(channels):
        if min(y.shape[2:]) >= 8:
            mean, variance, _ = (t[0] for t in noise_curve(cut(y[:, c : c + 1], 8)))
            scale = profile.sigma[c] / max(profile.white[c], 1e-5)  # the curve sees the white part alone
            points = variance.sqrt() * scale * 255
            top = max([top, *points.tolist()])
            axes.plot(mean * 255, points, "o", ms=4, color=COLOURS[channels][c], label=NAMES[channels][c])
        axes.axhline(profile.sigma[c] * 255, color=COLOURS[channels][c], lw=0.8, ls=":")
    x = np.linspace(0, 1, 100)
    law = np.sqrt(profile.gain * x + profile.read**2) * 255
    axes.plot(x * 255, law, color="black", lw=1, label="root of (gain · value + read²)")
    axes.set(xlabel="brightness (of 255)", ylabel="noise level (of 255)", ylim=(0, 1.15 * max(top, law.max(), 0.5)))
    axes.set_title("level against brightness; dotted: whole picture", fontsize=10)
    axes.legend(fontsize=8)


def _correlation(axes: Any, profile: NoiseProfile) -> None:
    at = np.arange(1, len(profile.correlation_x) + 1)
    axes.bar(at - 0.2, profile.correlation_x, 0.4, label="along rows", color="#4878a8")
    axes.bar(at + 0.2, profile.correlation_y, 0.4, label="along columns", color="#b0804a")
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="distance (pixels)", ylabel="correlation", ylim=(-0.3, 1), xticks=at)
    axes.set_title("how far the noise hangs together", fontsize=10)
    axes.legend(fontsize=8)


def _flat_places(histogram: Any, sample: Any, y: Tensor, profile: NoiseProfile) -> None:
    """Distribution of the noise in the flattest blocks, and those blocks as a picture."""
    size = 16
    histogram.set_title("distribution in flat places; line: Gaussian", fontsize=10)
    sample.set_title("the noise itself, in the flattest places", fontsize=10)
    sample.set_axis_off()
    flattest = cut(y, size).flattest(0.05, least=16) if min(y.shape[2:]) >= size else []
    if not flattest:
        histogram.text(0.5, 0.5, "too small or clipped all over", ha="center", transform=histogram.transAxes)
        return
    residual = cut(y, size).residual[:, flattest[0]] * 255
    spread = max(float(residual.std()), 0.05)
    bins = np.linspace(-4 * spread, 4 * spread, 81)
    for c in range(len(residual)):
        values = residual[c].flatten().numpy()
        histogram.hist(values, bins, density=True, histtype="step", color=COLOURS[len(residual)][c])
    histogram.plot(bins, np.exp(-((bins / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi)), "k", lw=1)
    histogram.set(xlabel="levels of 255", yticks=[])
    across = min(8, residual.shape[1])
    tiles = residual[:, : across * min(5, residual.shape[1] // across)]
    rows = tiles.reshape(len(tiles), -1, across, size, size).permute(1, 3, 2, 4, 0).flatten(2, 3).flatten(0, 1)
    shown = np.clip(0.5 + rows.numpy() / (6 * spread), 0, 1)
    sample.imshow(
        shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest"
    )


def _middle(y: Tensor, side: int) -> Tensor:
    top, left = (max(0, (n - side) // 2) // 8 * 8 for n in y.shape[2:])
    return y[..., top : top + side, left : left + side]
