"""The fits of a calibration, to look at before they are believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unnoise.noise.calibration import IsoFit
from unnoise.noise.sensor import CameraNoise
from unnoise.noise.tukey import probability_plot, quantile


def calibration_plot(camera: CameraNoise, fits: Sequence[IsoFit], path: Path) -> None:
    """Photon transfer, probability plot, levels against the gain, row means and spectrum, to an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{camera.name}: noise of the sensor", fontsize=12)
    transfer, tails, levels, rows, frequencies, unused = figure.subplots(2, 3).flat
    unused.set_axis_off()
    for fit in fits:
        _transfer(transfer, fit)
    transfer.set(xlabel="mean above dark (DN)", ylabel="variance above dark (DN²)", title="photon transfer: slope is K")
    transfer.legend(fontsize=8)
    _tails(tails, fits[0])
    _levels(levels, camera, fits)
    _rows(rows, fits[0])
    _spectrum(figure, frequencies, fits[0])
    figure.savefig(path, dpi=100)


def _transfer(axes: Any, fit: IsoFit) -> None:
    [points] = axes.plot(fit.mean[fit.used], fit.variance[fit.used], "o", ms=4)
    axes.plot(fit.mean[~fit.used], fit.variance[~fit.used], "x", ms=4, color=points.get_color())
    end = np.array([0, fit.mean[fit.used].max()])
    axes.plot(end, fit.gain * end, color=points.get_color(), label=f"ISO {fit.iso:g}: K = {fit.gain:.4f} DN/e-")


def _tails(axes: Any, fit: IsoFit) -> None:
    """Residuals against the quantiles of both laws, scaled to DN: a right law gives the diagonal."""
    import torch
    from scipy.special import ndtri

    ordered, p = fit.residual
    shape = float(fit.shape[0])
    laws: tuple[tuple[str, float | None, Any, float], ...] = (
        ("normal", None, ndtri(p), fit.fit_normal),
        (f"Tukey-lambda {shape:.3f}", shape, quantile(torch.from_numpy(p), shape).numpy(), fit.fit_tukey),
    )
    for label, law, at, r2 in laws:
        scale, location, _ = probability_plot(ordered, p, law)
        axes.plot(location + scale * at, ordered, ".", ms=2, label=f"{label}: R² = {r2:.5f}")
    ends = [ordered[0], ordered[-1]]
    axes.plot(ends, ends, "k", lw=0.8)
    axes.set(xlabel="quantile of the law (DN)", ylabel="dark frame, rows removed (DN)", title="tails of the read noise")
    axes.legend(fontsize=8)


def _rows(axes: Any, fit: IsoFit) -> None:
    spread = float(fit.rows.std())
    bins = np.linspace(-4 * spread, 4 * spread, 41)
    axes.hist(fit.rows, bins, density=True, color="#4878a8")
    axes.plot(bins, np.exp(-((bins / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi)), "k", lw=1)
    axes.set(xlabel="mean of a sensor row (DN)", yticks=[])
    axes.set_title(f"rows: std {spread:.3f}, Shapiro-Wilk p = {fit.normality:.1g}; line: normal", fontsize=11)


def _spectrum(figure: Any, axes: Any, fit: IsoFit) -> None:
    decibels = 10 * np.log10(np.maximum(fit.spectrum, 1e-3))
    shown = axes.imshow(decibels, vmin=-5, vmax=15, extent=(-0.5, 0.5, 0.5, -0.5), cmap="gray")
    figure.colorbar(shown, ax=axes, label="dB above white noise")
    axes.set(xlabel="cycles a pixel, along rows", ylabel="along columns")
    axes.set_title("spectrum in the dark; a vertical line: rows", fontsize=11)


def _levels(axes: Any, camera: CameraNoise, fits: Sequence[IsoFit]) -> None:
    gains = np.geomspace(camera.gains[0] / 1.2, camera.gains[1] * 1.2, 50)
    for name, label in (("gauss", "dark std"), ("read", "Tukey-lambda scale"), ("row", "rows")):
        line = getattr(camera, name)
        [drawn] = axes.loglog(gains, [line.at(g) for g in gains], label=label)
        for fit in fits:
            values = getattr(fit, name)
            axes.loglog(np.full(len(values), fit.gain), values, ".", ms=4, color=drawn.get_color())
    axes.set(xlabel="K (DN/e-)", ylabel="DN", title="levels against the gain")
    axes.legend(fontsize=8)
