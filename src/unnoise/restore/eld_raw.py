"""Method "eld": a raw file exposed too short, through a low-light network of its camera, at the brightness it lacks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from unnoise.data.raw import Raw, pack, unpack
from unnoise.denoiser import Tiled
from unnoise.errors import InputError, MissingData
from unnoise.restore.choice import Choice
from unnoise.restore.eld import ELD
from unnoise.restore.raw import TILE
from unnoise.restore.result import Restored
from unnoise.zoo.files import load_model


@torch.inference_mode()
def restore_eld(
    raw: Raw,
    *,
    ratio: float | None = None,
    weights: str | Path | ELD | None = None,
    sigma: float | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Amplify a mosaic `ratio` times, as the network learnt it, and denoise; in its own counts, any Bayer order.

    Parameters
    ----------
    ratio : how many times too short the exposure was, 1 for data that were amplified already.
    weights : an `ELD`, or its file of `unnoise train eld`.
    sigma : ignored, the network finds the noise by itself.
    strength, tile, device, progress : as for `restore.raw.restore_raw`; 0 is the amplified input.

    Raises
    ------
    MissingData : no weights: a network is of one camera, and none comes along.
    InputError : weights of something else, a ratio that is missing or not above 0, a mosaic without colours.

    >>> import numpy as np
    >>> dark = Raw(np.full((16, 24), 40, np.uint16), "GBRG", white=4000.0)
    >>> bright = restore_eld(dark, ratio=10, weights=ELD(width=4, levels=2).eval(), strength=0.0).image
    >>> bright.shape, bright.dtype, int(bright[3, 5])
    ((16, 24), dtype('uint16'), 400)
    """
    start = time.perf_counter()
    net = network(weights)
    learnt = net.card.training.get("ratio")
    if ratio is None:
        known = f", the network learnt {learnt[0]:g} to {learnt[1]:g}" if learnt else ""
        raise InputError(
            f"say how many times too short the exposure was: set ratio{known}, 1 for what is bright already"
        )
    if not (math.isfinite(ratio) and ratio > 0):
        raise InputError(f"ratio must be a finite number > 0, got {ratio:g}")
    packed = pack(raw)
    if packed.shape[1] != net.channels:
        raise InputError(
            f"the network takes {net.channels} colours a cell, a mosaic of pattern {raw.pattern} has {packed.shape[1]}"
        )
    if not bool(torch.isfinite(packed).all()):
        raise InputError("the mosaic holds values that are NaN or infinite: fill them first")
    if device is not None:
        net, packed = net.to(device), packed.to(device)
    bright = packed * ratio
    if strength > 0:
        bright = torch.lerp(bright.clamp(0, 1), Tiled(net, tile or TILE, progress)(bright), strength)
    camera = net.card.training.get("camera")
    why = f"{ratio:g} times as bright" + (f", network of the camera {camera}" if camera else "")
    return Restored(unpack(bright, raw), Choice("eld", why), None, time.perf_counter() - start)


def network(weights: str | Path | ELD | None = None) -> ELD:
    """A low-light network: a file of `unnoise train eld`, or the network given; raises as `restore_eld`."""
    if weights is None:
        raise MissingData(
            "eld has no weights of its own, a network is of one camera: pass --set weights=FILE from unnoise train eld"
        )
    if isinstance(weights, ELD):
        return weights
    found = load_model(weights)
    if not isinstance(found, ELD):
        raise InputError(f"{weights} holds a {type(found).__name__}, not a low-light network of unnoise train eld")
    return found
