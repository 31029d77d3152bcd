"""A cube before and after: false colour, noise and signal-to-noise ratio of every band, spectra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from unnoise.data.cube import Cube
    from unnoise.restore.result import Restored

RGB_NM = (650.0, 550.0, 450.0)
BEFORE, AFTER = "#94a3b8", "#c2410c"


def false_colour(values: NDArray[Any], bands: tuple[int, int, int], like: NDArray[Any] | None = None) -> NDArray[Any]:
    """Three bands of a cube (H, W, bands) as RGB (H, W, 3) in [0, 1], stretched from percentile 2 to 98 of `like`."""
    picture = values[..., list(bands)].astype(np.float32)
    of = picture if like is None else like[..., list(bands)].astype(np.float32)
    low, high = np.nanpercentile(np.where(np.isfinite(of), of, np.nan), (2, 98), axis=(0, 1))
    unit = (picture - low) / np.where(high > low, high - low, 1)
    return np.nan_to_num(unit).clip(0, 1)


def shown_bands(cube: Cube, live: tuple[int, ...]) -> tuple[int, int, int]:
    """Bands nearest to red, green and blue where the wavelengths reach there, else evenly spread over the live ones."""
    waves = cube.wavelengths
    if waves is not None and live:
        scale = 1000.0 if max(waves) < 100 else 1.0  # micrometres
        nm = np.array([waves[b] * scale for b in live])
        if nm.min() < 500 and nm.max() > 630:
            r, g, b = (live[int(np.abs(nm - target).argmin())] for target in RGB_NM)
            return r, g, b
    pool = live or tuple(range(cube.values.shape[2]))
    r, g, b = (pool[round(share * (len(pool) - 1))] for share in (0.8, 0.5, 0.2))
    return r, g, b


def cube_figure(cube: Cube, done: Restored, caption: str, path: Path) -> None:
    """Draw it into a PNG file."""
    from matplotlib.figure import Figure

    from unnoise.noise.cube_profile import CubeProfile

    before, after = cube.values, done.image
    height, width, count = before.shape
    profile = done.profile if isinstance(done.profile, CubeProfile) else None
    live = profile.live if profile else tuple(range(count))
    bands = shown_bands(cube, live)
    x = np.array(cube.wavelengths if cube.wavelengths is not None else range(count), dtype=float)
    figure = Figure(figsize=(11, 8), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic("AAABBB;CCCDDD")
    worst = live[int(np.argmin([profile.snr[b] for b in live]))] if profile and live else bands[1]
    for key, values, title in (("A", before, "before"), ("B", after, "after")):
        picture = np.concatenate([false_colour(values, bands, before), false_colour(values, (worst,) * 3, before)], 1)
        axes[key].imshow(picture, interpolation="nearest")
        axes[key].set_title(f"{title}: bands {', '.join(map(str, bands))}, and the noisiest, {worst}", fontsize=9)
        axes[key].set_axis_off()
    if profile is not None:
        at = list(live)
        axes["C"].plot(x[at], [profile.snr[b] for b in at], color=BEFORE, label="SNR (dB)")
        axes["C"].set_ylabel("SNR before (dB)")
        noise = axes["C"].twinx()
        noise.plot(x[at], [profile.sigma[b] for b in at], color=AFTER, linewidth=0.8)
        noise.set_ylabel("noise level before (units of the file)", color=AFTER)
    axes["C"].set_title("noise of every band", fontsize=9)
    for row, column in ((height // 4, width // 4), (height // 2, width // 2), (3 * height // 4, 3 * width // 4)):
        axes["D"].plot(x, before[row, column].astype(float), color=BEFORE, linewidth=0.7)
        axes["D"].plot(x, after[row, column].astype(float), color=AFTER, linewidth=1)
    axes["D"].set_title("spectra of three pixels, before (gray) and after", fontsize=9)
    for key in "CD":
        axes[key].set_xlabel(f"wavelength ({cube.units})" if cube.wavelengths is not None else "band")
    figure.suptitle(caption, fontsize=9, wrap=True)
    figure.savefig(path, format="png")
