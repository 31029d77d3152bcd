"""Raw mosaics at the door: each colour plane made uniform by the generalised Anscombe transform, denoised, put back.

The planes of the packed mosaic are gray pictures with Poisson-Gaussian noise that is independent between pixels, so
once it is uniform, methods for pictures apply.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.data.raw import Raw, pack, unpack
from unnoise.denoiser import Denoiser, Stabilised, Tiled
from unnoise.errors import InputError, unknown
from unnoise.noise.estimate import fit_poisson_gaussian
from unnoise.noise.models import PoissonGaussian
from unnoise.noise.sensor import CameraNoise
from unnoise.restore import METHODS
from unnoise.restore.choice import Choice
from unnoise.restore.method import Method

AUTOMATIC = {"auto": "photo", "classical": "dct"}
TILE = 512
LEAST = 1e-6  # read noise in units of white, below which a transform would divide by nothing

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class RestoredRaw:
    """A clean mosaic, what removed its noise and why, the law of the noise in units of white, and the seconds taken."""

    raw: Raw
    choice: Choice
    law: PoissonGaussian
    seconds: float


def restore_raw(
    raw: Raw,
    method: str = "auto",
    *,
    sigma: float | None = None,
    camera: CameraNoise | str | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RestoredRaw:
    """Denoise a mosaic in its own counts.

    Parameters
    ----------
    method : "auto" (the network `photo`), "classical" (the sliding-window DCT), or a method of `METHODS` for pictures
        with a noise level.
    sigma : standard deviation of the noise in counts, the same at every brightness; `None`: a law of photon and read
        noise, from `camera` at the file's ISO or else fitted to the mosaic itself.
    camera : what `unnoise calibrate` measured, or the name or path of it.
    strength, tile, device, progress, options : as for `denoise`; tiles are in pixels of a colour plane.

    Raises
    ------
    InputError : a method that is not for raw data, or a camera without the file's ISO.

    Examples
    --------
    >>> from unnoise.data.raw import as_raw
    >>> x = np.full((64, 64), 300, np.uint16)
    >>> y = np.random.default_rng(0).poisson(x).astype(np.uint16)
    >>> x_hat = restore_raw(as_raw(y, white=1023)).raw.mosaic
    >>> x_hat.dtype, bool((x_hat - 300.0).std() < 0.2 * (y - 300.0).std())
    (dtype('uint16'), True)
    """
    start = time.perf_counter()
    method = AUTOMATIC.get(method, method)
    if method not in METHODS:
        raise unknown("method", method, [*AUTOMATIC, *METHODS])
    if not _on_planes(METHODS[method]):
        able = ", ".join(m.name for m in METHODS.values() if _on_planes(m) or "raw" in m.kinds)
        raise InputError(f"method {method} does not take raw mosaics: use one of {able}")
    packed = pack(raw)
    law, why = noise_law(raw, sigma, camera)
    planes = packed.transpose(0, 1)  # the colours as a batch of gray pictures
    if device is not None:
        planes = planes.to(device)
    denoiser = _denoiser(method, law, options)
    if device is not None:
        denoiser = denoiser.to(device)
    if strength > 0:
        clean = _apply(denoiser, planes, law, tile, progress)
        planes = torch.lerp(planes, clean, strength) if strength < 1 else clean
        mosaic = unpack(planes.transpose(0, 1), raw)
    else:
        mosaic = raw.mosaic.copy()
    choice = Choice(method, why, options)
    return RestoredRaw(raw.with_mosaic(mosaic), choice, law, time.perf_counter() - start)


def _on_planes(method: Method) -> bool:
    return method.needs_sigma and "photo" in method.kinds


def noise_law(
    raw: Raw, sigma: float | None = None, camera: CameraNoise | str | None = None
) -> tuple[PoissonGaussian, str]:
    """The law of a mosaic's noise in units of white, and where it comes from; arguments as for `restore_raw`."""
    span = raw.white - raw.black[0]
    if sigma is not None:
        if not (np.isfinite(sigma) and sigma >= 0):
            raise InputError(f"sigma must be a finite number >= 0, got {sigma:g}")
        return PoissonGaussian(0.0, max(sigma / span, LEAST)), f"noise of {sigma:g} counts, as given"
    if camera is not None:
        known = CameraNoise.load(camera) if isinstance(camera, str) else camera
        here = known.rescaled(span / (known.white - known.black))
        if raw.iso is None and here.gains[0] < here.gains[1]:
            raise InputError(f"the file does not say its ISO, and {known.name} was calibrated at several: leave it out")
        gain = here.gains[0] if here.gains[0] == here.gains[1] or raw.iso is None else here.gain_at(raw.iso)
        read = here.at(gain).dark_variance() ** 0.5
        law = PoissonGaussian(gain / span, max(read / span, LEAST))
        return law, f"photon and read noise of the camera {known.name}, K = {gain:.3g} counts an electron"
    law = fit_poisson_gaussian(pack(raw))
    law = PoissonGaussian(law.gain, max(law.read, LEAST))
    return law, f"photon and read noise found: variance = {law.gain * span:.3g} x counts + {law.read * span:.3g}²"


def _denoiser(method: str, law: PoissonGaussian, options: dict[str, Any]) -> Denoiser:
    denoiser = METHODS[method].create(**options)
    return Stabilised(denoiser, law) if law.gain > 0 else denoiser


def _apply(
    denoiser: Denoiser, planes: Tensor, law: PoissonGaussian, tile: int | None, progress: Progress | None
) -> Tensor:
    sigma = law.read  # of the Gaussian law; the transform of the other one brings its own
    if denoiser.card.reach is None:
        if tile is not None:
            raise InputError("this method looks at the whole picture and cannot be tiled: leave tile out")
        clean = denoiser(planes, sigma)
        if progress is not None:
            progress(planes.shape[2] * planes.shape[3], planes.shape[2] * planes.shape[3])
        return clean
    return Tiled(denoiser, tile or TILE, progress)(planes, sigma)
