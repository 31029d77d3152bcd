"""A cube before and after: false colour, noise and signal-to-noise ratio of every band, spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from unnoise.data.cube import Cube
    from unnoise.noise.cube_profile import CubeProfile
    from unnoise.restore.result import Restored

RGB_NM = (650.0, 550.0, 450.0)
BEFORE, AFTER = "#94a3b8", "#c2410c"


def false_colour(
    values: NDArray[Any],
    bands: tuple[int, int, int],
    like: NDArray[Any] | None = None,
    nodata: float | None = None,
) -> NDArray[Any]:
    """Three bands of a cube (H, W, bands) as RGB (H, W, 3) in [0, 1], stretched from percentile 2 to 98 of `like`.

    What is not finite, or `nodata`, is black and does not weigh.
    """

    def measured(cube: NDArray[Any]) -> NDArray[np.float32]:
        some = cube[..., list(bands)]
        hole = ~np.isfinite(some) if nodata is None else ~np.isfinite(some) | (some == nodata)
        return np.where(hole, np.nan, some).astype(np.float32)

    picture = measured(values)
    of = picture if like is None else measured(like)
    if np.isnan(of).all():
        return np.zeros_like(picture)
    low, high = np.nanpercentile(of, (2, 98), axis=(0, 1))
    unit = (picture - low) / np.where(high > low, high - low, 1)
    return np.nan_to_num(unit).clip(0, 1)


def shown_bands(cube: Cube, live: tuple[int, ...]) -> tuple[int, int, int]:
    """Bands nearest to red, green and blue where the wavelengths reach there, else evenly spread over the live ones."""
    waves = cube.wavelengths
    live = live or tuple(range(cube.values.shape[2]))
    if waves is not None:
        scale = 1000.0 if max(waves) < 100 else 1.0  # micrometres
        nm = np.array([waves[b] * scale for b in live])
        if nm.min() < 500 and nm.max() > 630:
            r, g, b = (live[int(np.abs(nm - target).argmin())] for target in RGB_NM)
            return r, g, b
    r, g, b = (live[round(share * (len(live) - 1))] for share in (0.8, 0.5, 0.2))
    return r, g, b


def _worst(profile: CubeProfile | None, bands: tuple[int, int, int]) -> int:
    """The noisiest band, or the middle one shown where nothing is known."""
    if profile is None or not profile.live:
        return bands[1]
    return min(profile.live, key=lambda b: profile.snr[b])


def _noise_of_bands(axis: Any, x: NDArray[Any], profile: CubeProfile) -> None:
    at = list(profile.live)
    axis.plot(x[at], [profile.snr[b] for b in at], color=BEFORE)
    axis.set_ylabel("SNR (dB)")
    noise = axis.twinx()
    noise.plot(x[at], [profile.sigma[b] for b in at], color=AFTER, linewidth=0.8)
    noise.set_ylabel("noise level (units of the file)", color=AFTER)
    for bands, name, marker in ((profile.impulses, "impulses", "x"), (profile.stripes, "stripes", "|")):
        if bands:
            axis.plot(x[list(bands)], [profile.snr[b] for b in bands], marker, color="black", label=name)
    if profile.impulses or profile.stripes:
        axis.legend(fontsize=8)


def _positions(cube: Cube) -> tuple[NDArray[Any], str]:
    """Where the bands lie on the x axis, and what that is called."""
    if cube.wavelengths is None:
        return np.arange(cube.values.shape[2], dtype=float), "band"
    return np.array(cube.wavelengths, dtype=float), f"wavelength ({cube.units})" if cube.units else "wavelength"


def noise_figure(cube: Cube, profile: CubeProfile, caption: str, path: Path) -> None:
    """Draw a cube in false colours, its noisiest band, and the noise of every band, into a PNG file."""
    from matplotlib.figure import Figure

    bands = shown_bands(cube, profile.live)
    worst = _worst(profile, bands)
    x, label = _positions(cube)
    figure = Figure(figsize=(11, 7), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic("AABB;CCCC")
    titles = f"bands {', '.join(map(str, bands))}", f"the noisiest band, {worst}"
    for key, chosen, title in zip("AB", (bands, (worst,) * 3), titles, strict=True):
        axes[key].imshow(false_colour(cube.values, chosen, nodata=cube.nodata), interpolation="nearest")
        axes[key].set_title(title, fontsize=9)
        axes[key].set_axis_off()
    _noise_of_bands(axes["C"], x, profile)
    axes["C"].set_xlabel(label)
    figure.suptitle(caption, fontsize=9, wrap=True)
    figure.savefig(path, format="png")


def cube_figure(cube: Cube, done: Restored, caption: str, path: Path) -> None:
    """Draw it into a PNG file."""
    from matplotlib.figure import Figure

    from unnoise.noise.cube_profile import CubeProfile

    before, after = cube.values, done.image
    height, width, _ = before.shape
    profile = done.profile if isinstance(done.profile, CubeProfile) else None
    bands = shown_bands(cube, profile.live if profile else ())
    worst = _worst(profile, bands)
    x, label = _positions(cube)
    figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic("AAABBB;CCCDDD")
    for key, values, title in (("A", before, "before"), ("B", after, "after")):
        pair = (false_colour(values, chosen, before, cube.nodata) for chosen in (bands, (worst,) * 3))
        picture = np.concatenate(list(pair), 1)
        axes[key].imshow(picture, interpolation="nearest")
        axes[key].set_title(f"{title}: bands {', '.join(map(str, bands))}, and the noisiest, {worst}", fontsize=9)
        axes[key].set_axis_off()
    if profile is not None:
        _noise_of_bands(axes["C"], x, profile)
    axes["C"].set_title("noise of every band, before", fontsize=9)
    for row, column in ((height // 4, width // 4), (height // 2, width // 2), (3 * height // 4, 3 * width // 4)):
        axes["D"].plot(x, before[row, column].astype(float), color=BEFORE, linewidth=0.7)
        axes["D"].plot(x, after[row, column].astype(float), color=AFTER, linewidth=1)
    axes["D"].set_title("spectra of three pixels, before (gray) and after", fontsize=9)
    for key in "CD":
        axes[key].set_xlabel(label)
    figure.suptitle(caption, fontsize=9, wrap=True)
    figure.savefig(path, format="png")
