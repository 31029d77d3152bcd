"""Parameters tuned on the noisy picture itself: the best J-invariant version of a method needs no clean picture.

Where noise is independent between pixels, the error of predicting pixels that the method was not shown, measured
against the noisy picture, is the true error plus a constant. Source: Batson and Royer 2019, "Noise2Self";
`skimage.restoration.calibrate_denoiser`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.restore import METHODS

if TYPE_CHECKING:
    from unnoise.noise.profile import NoiseProfile
    from unnoise.restore.choice import Choice
    from unnoise.restore.pixels import Pixels

GRIDS: dict[str, dict[str, list[Any]]] = {
    "photo": {"scale": [0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 2.8]},
    "dct": {"scale": [0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 2.8]},
    "nlm": {"h": [0.35, 0.5, 0.65, 0.8], "patch_size": [3, 5, 7]},
    "wavelet": {"scale": [0.7, 0.85, 1.0, 1.2, 1.4]},
    "tv": {"weight": [0.35, 0.5, 0.65, 0.85, 1.1]},
    "bilateral": {"spatial": [1.0, 1.5, 2.0, 3.0], "colour": [2.0, 3.0, 4.5]},
}
"""Method -> values tried of each of its options."""

CROP = 256  # edge of the part of the picture that is looked at, in pixels
CORRELATED = 0.15  # between neighbours; above it, a hidden pixel can be read off its neighbours' noise


def calibrate(method: str, y: Tensor, sigma: Tensor | float, **options: Any) -> dict[str, Any]:
    """The options of a method with the least self-supervised loss on y.

    Parameters
    ----------
    method : a key of `GRIDS`.
    y : noisy picture (1, C, H, W) in [0, 1]; its middle 256 x 256 pixels are used.
    sigma : noise level, as the method takes it; no map.
    options : values that are kept as they are.

    Raises
    ------
    InputError : the method has nothing to tune.

    Examples
    --------
    >>> y = 0.5 + 0.2 * torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    >>> calibrate("tv", y, 0.2)
    {'weight': 1.1}
    """
    from skimage.restoration import calibrate_denoiser

    if method not in GRIDS:
        raise InputError(f"method {method} has nothing to calibrate: use one of {', '.join(GRIDS)}")
    grid = {name: values for name, values in GRIDS[method].items() if name not in options}

    def run(image: np.ndarray, channel_axis: int, **tried: Any) -> np.ndarray:
        part = torch.from_numpy(image).permute(2, 0, 1)[None]
        return METHODS[method].create(**options, **tried)(part, sigma)[0].permute(1, 2, 0).numpy()

    top, left = (max(0, (size - CROP) // 2) for size in y.shape[2:])
    image = y[0, :, top : top + CROP, left : left + CROP].permute(1, 2, 0).contiguous().cpu().numpy()
    _, (tried, losses) = calibrate_denoiser(image, run, {"channel_axis": [-1], **grid}, extra_output=True)
    best = tried[int(np.argmin(losses))]
    return {**options, **{name: value for name, value in best.items() if name != "channel_axis"}}


def calibrated(choice: Choice, profile: NoiseProfile, pixels: Pixels) -> Choice:
    """The choice with its options tuned on the picture.

    Raises
    ------
    InputError : the noise is correlated between pixels, is described by a map or needs stabilising, or the method has
        nothing to tune.
    """
    lag = max(float(np.max(profile.correlation_x[:1])), float(np.max(profile.correlation_y[:1])))
    if lag > CORRELATED:
        raise InputError(
            f"calibrate needs noise that is independent between pixels, but neighbours correlate by {lag:.2f}: "
            "leave calibrate out"
        )
    if choice.method == "none":
        return choice
    level = choice.sigma
    if level is None or level.shape[2:] != (1, 1) or choice.law is not None:
        raise InputError("calibrate tunes methods for noise of one level: give one sigma, or leave calibrate out")
    height, width = pixels.tensor.shape[2:]
    top, left = max(0, (height - CROP) // 2), max(0, (width - CROP) // 2)
    part = pixels.unit((slice(top, top + CROP), slice(left, left + CROP)))[:1]
    options = calibrate(choice.method, part, level[:1], **choice.options)
    tuned = ", ".join(f"{name} {options[name]}" for name in GRIDS[choice.method])
    return replace(choice, options=options, reason=f"{choice.reason}; calibrated on the picture: {tuned}")
