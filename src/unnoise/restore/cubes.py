"""The door for cubes: an array or tensor in, the same thing out, clean; holes, empty and constant bands kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unnoise.data.cube import doubtful
from unnoise.denoiser import Denoiser
from unnoise.errors import InputError, unknown
from unnoise.noise.cube_profile import CubeProfile, analyse_cube
from unnoise.noise.spectral import gram
from unnoise.restore import METHODS
from unnoise.restore.choice import Choice
from unnoise.restore.hyde.missing import impute, too_few
from unnoise.restore.hyde.subspace import hysime_from_gram
from unnoise.restore.result import Restored

CLEAN = 55.0  # dB of median SNR from which a cube is left as it is
RANK = 10  # of the model by which values are made up where hardly any pixel has all bands
SPARSE = 0.03  # share of bands with impulses or stripes from which they are taken apart


def choose_cube(profile: CubeProfile, signals: Callable[[], int]) -> Choice:
    """The method for the noise that was found; `signals` counts the cube's signal dimensions where that is needed."""
    live = max(1, len(profile.live))
    odd = len({*profile.impulses, *profile.stripes})
    if profile.median_snr > CLEAN or not profile.live:
        return Choice("none", f"a median SNR of {profile.median_snr:.0f} dB: left as it is")
    if profile.partly:
        share = f"{profile.partly} pixels lack some of their bands"
        return Choice("fasthyin", share)
    if odd >= SPARSE * live and odd > 1:
        found = [
            f"{len(b)} bands with {w}" for b, w in ((profile.impulses, "impulses"), (profile.stripes, "stripes")) if b
        ]
        return Choice("l1hymixde", " and ".join(found))
    return Choice("fasthyde", f"Gaussian noise of median SNR {profile.median_snr:.1f} dB", {"k": max(10, signals())})


def signals_in(g: Tensor, pixels: int, profile: CubeProfile) -> int:
    """Directions above noise (HySime) of a cube whose live bands have the products g over so many pixels."""
    sigma = torch.tensor([profile.sigma[b] for b in profile.live], dtype=torch.float64, device=g.device)
    sigma = sigma.clamp(min=1e-30)
    return hysime_from_gram(g / (sigma[:, None] * sigma), pixels, torch.ones_like(sigma))[0]


def _signals(y: Tensor, profile: CubeProfile) -> int:
    return signals_in(gram(y[torch.tensor(profile.live)].flatten(1)), y[0].numel(), profile)


def restore_cube(
    x: Any,
    method: str = "auto",
    *,
    sigma: Any = None,
    strength: float = 1.0,
    mask: Any = None,
    nodata: float | None = None,
    band_axis: int | None = None,
    device: torch.device | None = None,
    **options: Any,
) -> Restored:
    """A clean version of a cube.

    Parameters
    ----------
    x : NumPy (H, W, bands), or torch (bands, H, W) or (B, bands, H, W); integers or floats of any scale.
    method : of kind "cube", or "auto": chosen by the noise that is found.
    sigma : noise level in the units of x, one number or one a band; `None`: estimated.
    strength : 0 gives x bit for bit, 1 the full effect.
    mask : true where x was measured, (H, W) or of x's shape; besides, NaN and `nodata` count as not measured. Such
        values come back as they were, unless the method is "fasthyin", which fills those in pixels that have
        some bands.
    nodata : the value that means that nothing was measured.
    band_axis : of a NumPy cube's bands, where they are not last; the result and `mask` have the same order of axes.
    device : where the work is done; `None`: where x is.
    options : of the method.

    Raises
    ------
    InputError : what is wrong with x or an argument, in one sentence with the mend.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(50, 200, 12) * np.linspace(0.2, 1, 24)[:, None, None].repeat(24, 1)
    >>> done = restore_cube((x + 5 * rng.standard_normal(x.shape)).astype(np.float32))
    >>> done.choice.method, done.image.shape, bool(np.std(done.image - x) < 3)
    ('fasthyde', (24, 24, 12), True)
    """
    start = time.perf_counter()
    check_method(method, options)
    if isinstance(x, Tensor) and x.ndim == 4 and len(x):
        done = [
            restore_cube(c, method, sigma=sigma, strength=strength, mask=mask, nodata=nodata, device=device, **options)
            for c in x
        ]
        stacked = torch.stack([d.image for d in done])
        return Restored(stacked, done[0].choice, done[0].profile, time.perf_counter() - start)
    if isinstance(x, np.ndarray) and x.ndim == 3 and band_axis not in (None, 2, -1):
        if band_axis not in (0, 1, -2, -3):
            raise InputError(f"the band axis is 0, 1 or 2, got {band_axis}")
        m = np.moveaxis(np.asarray(mask), band_axis, 2) if np.ndim(mask) == 3 else mask
        more = {"sigma": sigma, "strength": strength, "mask": m, "nodata": nodata, "device": device, **options}
        restored = restore_cube(np.moveaxis(x, band_axis, 2), method, band_axis=2, **more)
        return replace(restored, image=np.moveaxis(restored.image, 2, band_axis))
    if isinstance(x, np.ndarray) and x.ndim == 3 and band_axis is None and (guess := doubtful(x.shape)) is not None:
        raise InputError(
            f"a cube of shape {x.shape} would have {x.shape[2]} bands: its axes seem to be in another order, pass "
            f"band_axis={guess}, or 2 if it is right"
        )
    y, valid = cube_tensors(x, mask, nodata)
    y, valid = (t.to(device or t.device) for t in (y, valid))
    levels = None if sigma is None else _levels(sigma, len(y), y)
    channels = _of_pictures(method)
    whole, profile = bool(valid.all()), None
    filled = y if whole else fill(y, valid)
    measured = valid | ~valid[valid.flatten(1).any(1)].any(0)  # of pixels without any band the neighbours' is taken
    if method == "auto" or (levels is None and not channels):
        try:
            if levels is None and not whole and too_few(measured[valid.flatten(1).any(1)].flatten(1)):
                filled, profile = _imputed(filled, valid, measured)
                measured = torch.ones_like(valid)
            else:
                profile = analyse_cube(y, valid, None if levels is None else levels.flatten())
        except InputError:
            if method == "auto" or not bool(valid.any()):
                raise  # any other method says itself what it lacks: some need no noise level
    if method == "auto":
        assert profile is not None
        choice = choose_cube(profile, partial(_signals, filled, profile))
    else:
        choice = Choice(method, "asked for", options)
    if choice.method == "none" or strength == 0:
        image = x.clone() if isinstance(x, Tensor) else np.array(x)
        return Restored(image, choice, profile, time.perf_counter() - start)
    if levels is None and not whole and profile is not None:
        levels = torch.tensor(profile.sigma)[None, :, None, None].to(y)
    denoiser: Denoiser = METHODS[choice.method].create(**choice.options).to(y.device)
    live = valid.flatten(1).any(1)
    clean = filled.clone()
    levels = None if levels is None else levels.expand(1, len(y), 1, 1)[:, live]
    if choice.method == "fasthyin":
        clean[live] = denoiser(filled[live][None], levels, mask=measured[live][None])[0]
    else:
        scale = _largest(filled[live]) if channels else 1.0
        with torch.no_grad():
            clean[live] = denoiser(filled[live][None] / scale, levels)[0] * scale
    if strength != 1:
        clean = torch.lerp(filled, clean, strength)
    filling = method == "fasthyin"
    keep = ~valid if not filling else ~(valid | (live[:, None, None] & valid[live].any(0)))
    return Restored(_back(clean, keep, x), choice, profile, time.perf_counter() - start)


def _imputed(filled: Tensor, valid: Tensor, measured: Tensor) -> tuple[Tensor, CubeProfile]:
    """A cube of which hardly any pixel has all bands, completed from what the bands have in common; its noise."""
    flat = filled.flatten(1)
    at = (flat.amax(1) > flat.amin(1)).nonzero()[:, 0]
    made, level = impute(flat[at], measured[at].flatten(1), RANK)
    filled = filled.clone()
    filled[at] = made.reshape(-1, *filled.shape[1:])
    sigma = torch.zeros(len(filled), dtype=torch.float64, device=filled.device)
    sigma[at] = level
    seen = valid.flatten(1).any(1)
    found = analyse_cube(filled, seen[:, None, None].expand(filled.shape), sigma)
    have = valid[seen].flatten(1).sum(0)
    missing, partly = int((have == 0).sum()), int(((have > 0) & (have < int(seen.sum()))).sum())
    return filled, replace(found, missing=missing, partly=partly)


def cube_tensors(x: Any, mask: Any = None, nodata: float | None = None) -> tuple[Tensor, Tensor]:
    """A cube as (bands, H, W) float32, and where it was measured, of that shape; arguments as for `restore_cube`."""
    y = _bands_first(x)
    return y.to(torch.float32).contiguous(), _valid(y, x, mask, nodata)


def channels_of(x: Any, nodata: float | None = None) -> Tensor:
    """What a method for pictures learns from in a cube: its bands with values (C, H, W), the largest value at 1."""
    y = _bands_first(x)
    valid = _valid(y, x, None, nodata)
    live = valid.flatten(1).any(1)
    if not bool(live.any()):
        raise InputError("the cube holds no values at all: every one is NaN or the no-data value")
    y = y.to(torch.float32)
    filled = (y if bool(valid.all()) else fill(y, valid))[live]
    return filled / _largest(filled)


def _of_pictures(method: str) -> bool:
    """Whether a method takes a cube as a picture of many channels and finds their noise by itself."""
    return method in METHODS and "photo" in METHODS[method].kinds


def _largest(y: Tensor) -> float:
    return float(y.abs().max()) or 1.0


def check_method(method: str, options: Mapping[str, Any]) -> None:
    """Whether a name is that of a method for cubes, and may have options."""
    if method not in ("auto", "none", *METHODS):
        raise unknown("method for cubes", method, ["auto", *(m.name for m in METHODS.values() if "cube" in m.kinds)])
    if method not in ("auto", "none") and "cube" not in METHODS[method].kinds:
        known = ", ".join(name for name, m in METHODS.items() if "cube" in m.kinds)
        raise InputError(f"method {method} is for {METHODS[method].kinds[0]}s, not for cubes: use one of {known}")
    if method == "auto" and options:
        raise InputError(f"method auto chooses its options itself: name a method to set {', '.join(options)}")
    if "sigma" in options:
        raise InputError("give sigma as an argument of its own, not among the options of the method")


def fill(y: Tensor, valid: Tensor) -> Tensor:
    """A cube (bands, H, W) whose holes hold what the nearest pixel that was measured in that band holds.

    Bands without any value become 0; pixels that all live bands lack take the whole spectrum of one pixel.

    >>> y = torch.tensor([[[1.0, torch.nan, 4.0]]])
    >>> fill(y, torch.isfinite(y)).tolist()
    [[[1.0, 1.0, 4.0]]]
    """
    from scipy.ndimage import distance_transform_edt

    out = torch.where(valid, y, torch.zeros_like(y))
    patterns, which = valid.flatten(1).unique(dim=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        if bool(pattern.all()) or not bool(pattern.any()):
            continue
        rows, columns = distance_transform_edt(
            ~pattern.reshape(y.shape[1:]).cpu().numpy(), return_distances=False, return_indices=True
        )
        at = (which == i).nonzero()[:, 0]
        out[at] = out[at][:, torch.from_numpy(rows).to(y.device), torch.from_numpy(columns).to(y.device)]
    return out


def _bands_first(x: Any) -> Tensor:
    """(bands, H, W), a view where possible."""
    if not isinstance(x, (np.ndarray, Tensor)):
        raise InputError(f"cannot denoise {type(x).__name__}: pass a NumPy array, a torch tensor or the path of a file")
    if x.ndim != 3 or 0 in x.shape:
        raise InputError(
            f"a cube has three axes (rows, columns, bands), got the shape {tuple(x.shape)}: reshape it, or use "
            f"kind='photo' for a picture"
        )
    kind = str(x.dtype)
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "iuf":
            raise InputError(f"a cube of type {kind} cannot be denoised: convert it to integers or floats")
        return torch.from_numpy(np.require(np.moveaxis(x, 2, 0), np.float32, ("C", "W")))
    if x.is_complex() or x.dtype == torch.bool:
        raise InputError(f"a cube of type {kind} cannot be denoised: convert it to integers or floats")
    return x.detach()


def _valid(y: Tensor, x: Any, mask: Any, nodata: float | None) -> Tensor:
    valid = torch.isfinite(y)
    if nodata is not None and nodata == nodata:
        valid &= y != y.new_tensor(nodata)
    if mask is not None:
        m = torch.as_tensor(np.asarray(mask) if not isinstance(mask, Tensor) else mask).bool()
        if m.ndim == 3 and isinstance(x, np.ndarray):
            m = m.permute(2, 0, 1)
        if tuple(m.shape) not in (tuple(y.shape), tuple(y.shape[1:])):
            raise InputError(f"mask of shape {tuple(m.shape)} does not fit the cube: give (rows, columns) or its shape")
        valid &= m.to(y.device)
    return valid


def _levels(sigma: Any, bands: int, y: Tensor) -> Tensor:
    try:
        s = torch.as_tensor(np.asarray(sigma) if not isinstance(sigma, Tensor) else sigma).to(y)
    except TypeError as error:
        raise InputError(f"sigma must be a number, or one a band, got {sigma!r}") from error
    if s.numel() not in (1, bands):
        raise InputError(f"sigma of {s.numel()} values does not fit {bands} bands: give one number, or one a band")
    if not bool(((s >= 0) & torch.isfinite(s)).all()):
        raise InputError("sigma must be finite and >= 0")
    return s.reshape(1, -1, 1, 1)


def _back(clean: Tensor, keep: Tensor, x: Any) -> NDArray[Any] | Tensor:
    """In the type and layout of x, whose values stay where `keep` (bands, H, W) is true."""
    if isinstance(x, Tensor):
        out = clean.to(x.device)
        if not x.dtype.is_floating_point:
            info = torch.iinfo(x.dtype)
            out = out.double().round().clamp(info.min, info.max)
        return torch.where(keep.to(x.device), x, out.to(x.dtype))
    result = np.ascontiguousarray(as_type(np.moveaxis(clean.cpu().numpy(), 0, 2), x.dtype))
    kept = np.moveaxis(keep.cpu().numpy(), 0, 2)
    np.copyto(result, x, where=kept)
    return result


def as_type(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Floats as another type; to integers they are rounded and clipped."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        array = np.rint(array.astype(np.float64)).clip(limits.min, limits.max)
    return array.astype(dtype)
