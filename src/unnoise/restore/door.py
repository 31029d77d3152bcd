"""The door: a picture in, the same kind of thing out, clean."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unnoise.data.cube import ONLY_CUBES, Cube, read_cube, write_cube
from unnoise.data.photo import MAX_PIXELS, read_photo, write_photo
from unnoise.data.raw import Raw, as_raw, check_colours, is_raw, read_raw, write_colours, write_developed
from unnoise.denoiser import Denoiser, Tiled
from unnoise.errors import InputError, OutputError, unknown
from unnoise.noise.profile import analyse
from unnoise.restore import METHODS
from unnoise.restore.auto import build, choose
from unnoise.restore.choice import AUTOMATIC, Choice
from unnoise.restore.cubes import restore_cube
from unnoise.restore.learning import check_photo, learnt, learnt_cube, learnt_raw
from unnoise.restore.method import check_options
from unnoise.restore.pixels import InCounts, Pixels, pixels_of
from unnoise.restore.result import Restored as Restored

KINDS = ("photo", "raw", "cube")
COLOURS = (".tif", ".tiff", ".png")  # what a mosaic is interpolated for
TILE = 768
MINUTES = 5.0  # of learning from a picture

Progress = Callable[[int, int], None]
Level = float | Sequence[float] | np.ndarray | Tensor


def denoise(
    x: Any,
    method: str = "auto",
    *,
    kind: str | None = None,
    sigma: Level | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: str | torch.device | None = None,
    calibrate: bool = False,
    adapt: bool = False,
    minutes: float = MINUTES,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
    **options: Any,
) -> Any:
    """A clean version of x, of the same shape and type.

    Parameters
    ----------
    x : NumPy array (H, W), (H, W, 3) or (H, W, 4) with alpha last; torch tensor (C, H, W) or (B, C, H, W); or
        the path of a PNG, JPEG, TIFF, WebP or npy file. Integers (uint8, uint16) are counts; floats are in [0, 1].
    method : a key of `METHODS`, or "auto": chosen by the noise that is found, a clean picture is left as it is;
        "classical": the same without trained networks.
    kind : "photo"; "raw" for a mosaic (H, W) in the counts of a sensor, with the options `pattern` ("RGGB"), `black`,
        `white` and `camera` (see `restore.raw.restore_raw`); method "jdd" gives its colours, (H, W, 3) float32, linear
        with white at 1 (see `restore.jdd.restore_jdd`), "eld" amplifies it (see `restore.eld_raw.restore_eld`); "cube";
        or `None` to infer it: camera files are raw, files of formats that only cubes have are cubes, the rest pictures.
        As a cube x is NumPy (H, W, bands) or torch ([B,] bands, H, W) of any scale; see `restore.cubes.restore_cube`,
        whose `mask`, `nodata` and `band_axis` may be given, too, and for a file `dataset`.
    sigma : noise standard deviation in the units of x (counts for integers); one number, one a channel, or a map of
        the picture's height and width. `None`: measured.
    strength : 0 gives x bit for bit, 1 the full effect: `x + strength * (clean - x)`.
    tile : edge in pixels of the tiles of local methods; bounds the memory, does not change the result.
    device : where networks run, for instance "cuda"; `None`: where x is.
    calibrate : tune the method's parameters on x itself, by self-supervision; for pixel-independent noise.
    adapt : let the method learn from x itself first, for `minutes`; for methods that can ("cbsn", "jdd").
    max_pixels : height times width above which a file is refused.
    progress : called with the pixels done and in all.
    options : of the method, for instance `patch_size=7` for "nlm".

    Returns
    -------
    What x is: an array, or a tensor on x's device; for a path an array in the file's type (nothing is written).
    Alpha is kept untouched. Floats are not clipped.

    Raises
    ------
    InputError : in one sentence what is wrong with x or an argument, and the mend.

    Examples
    --------
    >>> import numpy as np, skimage.data
    >>> clean = skimage.data.astronaut()[:96, 160:256] / 255.0
    >>> noisy = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape)
    >>> x_hat = denoise(noisy, sigma=0.1)
    >>> x_hat.shape, x_hat.dtype, bool(np.std(x_hat - clean) < 0.45 * np.std(noisy - clean))
    ((96, 96, 3), dtype('float64'), True)
    """
    return restore(
        x,
        method,
        kind=kind,
        sigma=sigma,
        strength=strength,
        tile=tile,
        device=device,
        calibrate=calibrate,
        adapt=adapt,
        minutes=minutes,
        max_pixels=max_pixels,
        progress=progress,
        **options,
    ).image


def restore(
    x: Any,
    method: str = "auto",
    *,
    kind: str | None = None,
    sigma: Level | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: str | torch.device | None = None,
    calibrate: bool = False,
    adapt: bool = False,
    minutes: float = MINUTES,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
    **options: Any,
) -> Restored:
    """`denoise`, with the noise that was found, the method that was chosen and why.

    >>> import skimage.data
    >>> restored = restore(skimage.data.astronaut()[:96, 160:256], "nlm", sigma=10, patch_size=3)
    >>> restored.image.dtype, restored.choice.method, restored.choice.reason
    (dtype('uint8'), 'nlm', 'asked for')
    """
    _check_arguments(method, kind, strength, tile)
    where = _device(device)
    if kind == "raw" or (kind is None and isinstance(x, (str, os.PathLike)) and is_raw(x)):
        raw, rest = raw_of(x, options, max_pixels)
        rest = learnt_raw(raw, method, _one_level(sigma) if adapt else None, adapt, minutes, rest)
        return _restore_raw(raw, method, sigma, strength, tile, where, calibrate, progress, rest)
    if kind == "cube" or (kind is None and is_cube_file(x)):
        _photo_only(tile, calibrate)
        if not isinstance(x, (str, os.PathLike)):
            options = learnt_cube(x, method, adapt, minutes, options, options.get("nodata"))
            return restore_cube(x, method, sigma=sigma, strength=strength, device=where, **options)
        more = {"sigma": sigma, "strength": strength, "device": where}
        return _restore_cube_file(x, method, adapt, minutes, options, more)[1]
    if isinstance(x, (str, os.PathLike)):
        photo = read_photo(x, max_pixels)
        options = learnt(photo.pixels, method, adapt, minutes, options)
        done = _run(photo.pixels, method, sigma, strength, tile, where, calibrate, progress, options)
        return replace(done, image=photo.with_pixels(done.image).stacked())
    options = learnt(x, method, adapt, minutes, options)
    return _run(x, method, sigma, strength, tile, where, calibrate, progress, options)


def denoise_file(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    method: str = "auto",
    *,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    kind: str | None = None,
    sigma: Level | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    device: str | torch.device | None = None,
    calibrate: bool = False,
    adapt: bool = False,
    minutes: float = MINUTES,
    progress: Progress | None = None,
    **options: Any,
) -> Restored:
    """Denoise the file `src` into `dst`, with alpha, EXIF, colour profile and bit depth kept.

    Arguments as for `denoise`; sigma is in the file's counts. A raw file becomes the clean mosaic where `dst` is a .dng
    or .npy file, and colours where it is a .tif or .png, for which "auto" takes "jdd". `dst` appears only when it is
    complete. The pixels are in the file, so `image` of the result is `None`.

    Raises
    ------
    InputError : `src` cannot be read, or an argument cannot be used.
    OutputError : `dst` exists and `overwrite` is false, or it cannot be written.
    """
    _check_arguments(method, kind, strength, tile)
    where = _device(device)
    if Path(dst).exists() and not overwrite:
        raise OutputError(f"{dst} exists: choose another name or pass --overwrite")  # before the work, not after it
    if kind == "raw" or (kind is None and is_raw(src)):
        raw, rest = raw_of(src, options, max_pixels)
        if method == "auto" and raw.pattern != "mono" and Path(dst).suffix.lower() in COLOURS:
            method = "jdd"  # where colours are wanted, one network is better than planes denoised and interpolated
        if method == "jdd":
            check_colours(Path(dst))
        rest = learnt_raw(raw, method, _one_level(sigma) if adapt else None, adapt, minutes, rest)
        done = _restore_raw(raw, method, sigma, strength, tile, where, calibrate, progress, rest)
        if done.image.ndim == 3:
            write_colours(dst, done.image, raw, overwrite)
        else:
            write_developed(dst, raw.with_mosaic(done.image), overwrite)
        return replace(done, image=None)
    if kind == "cube" or (kind is None and is_cube_file(src)):
        _photo_only(tile, calibrate)
        more = {"sigma": sigma, "strength": strength, "device": where}
        cube, restored = _restore_cube_file(src, method, adapt, minutes, options, more)
        write_cube(dst, cube.with_values(restored.image), overwrite)
        return replace(restored, image=None)
    photo = read_photo(src, max_pixels)
    options = learnt(photo.pixels, method, adapt, minutes, options)
    done = _run(photo.pixels, method, sigma, strength, tile, where, calibrate, progress, options)
    write_photo(dst, photo.with_pixels(done.image), overwrite)
    return replace(done, image=None)


def _restore_cube_file(
    src: str | os.PathLike[str],
    method: str,
    adapt: bool,
    minutes: float,
    options: dict[str, Any],
    more: dict[str, Any],
) -> tuple[Cube, Restored]:
    """The cube in a file, and the same one clean; `dataset` and `band_axis` among the options are the reader's."""
    rest = {name: value for name, value in options.items() if name not in ("dataset", "band_axis")}
    cube = read_cube(src, options.get("dataset"), options.get("band_axis"))
    rest = learnt_cube(cube.values, method, adapt, minutes, rest, rest.get("nodata", cube.nodata))
    return cube, restore_cube(cube.values, method, **{"nodata": cube.nodata, "band_axis": 2, **more, **rest})


def raw_of(x: Any, options: dict[str, Any], max_pixels: int = MAX_PIXELS) -> tuple[Raw, dict[str, Any]]:
    """What kind="raw" takes as a `Raw`, and the options that are left for the method."""
    levels = {name: options[name] for name in ("pattern", "black", "white") if name in options}
    rest = {name: value for name, value in options.items() if name not in levels}
    if isinstance(x, Raw):
        return x, rest
    if isinstance(x, (str, os.PathLike)):
        return read_raw(x, max_pixels=max_pixels, **levels), rest
    if not isinstance(x, np.ndarray):
        raise InputError(f"kind='raw' takes a NumPy mosaic (H, W) or the path of a file, not {type(x).__name__}")
    return as_raw(x, **levels), rest


def _one_level(sigma: Level | None) -> float | None:
    if sigma is not None and not isinstance(sigma, (int, float)):
        raise InputError("sigma of a raw mosaic is one number, in the counts of the sensor")
    return sigma


def _restore_raw(
    raw: Raw,
    method: str,
    sigma: Level | None,
    strength: float,
    tile: int | None,
    device: torch.device | None,
    calibrate: bool,
    progress: Progress | None,
    options: dict[str, Any],
) -> Restored:
    from unnoise.restore.raw import restore_raw

    if calibrate:
        raise InputError("calibrate is for pictures: a raw mosaic's noise is fitted anyway; leave it out")
    more: dict[str, Any] = {"strength": strength, "tile": tile, "device": device, "progress": progress, **options}
    if method == "jdd":
        from unnoise.restore.jdd import restore_jdd

        check_options(restore_jdd, method, options)
        developed = restore_jdd(raw, sigma=_one_level(sigma), **more)
        return Restored(developed.rgb, developed.choice, None, developed.seconds, developed.std)
    if method == "eld":
        from unnoise.restore.eld_raw import restore_eld

        check_options(restore_eld, method, options)
        return restore_eld(raw, sigma=_one_level(sigma), **more)
    done = restore_raw(raw, method, sigma=_one_level(sigma), **more)
    return Restored(done.raw.mosaic, done.choice, None, done.seconds)


def _run(
    x: Any,
    method: str,
    sigma: Level | None,
    strength: float,
    tile: int | None,
    device: torch.device | None,
    calibrate: bool,
    progress: Progress | None,
    options: dict[str, Any],
) -> Restored:
    start = time.perf_counter()
    check_photo(method)
    pixels = pixels_of(x, float(sigma) if isinstance(sigma, (int, float)) and 0 < sigma < 1 else 0.0)
    level = None if sigma is None else _level(sigma, pixels)
    profile = None
    if method in AUTOMATIC:
        if options:
            raise InputError(f"method {method} chooses its options itself: name a method to set {', '.join(options)}")
        unit = pixels.unit()
        profile = analyse(unit[:1])
        choice = choose(profile, unit, level, trained=method == "auto")
    else:
        if level is None and METHODS[method].needs_sigma:
            profile = analyse(pixels.unit()[:1])
            level = torch.tensor(profile.sigma)[None, :, None, None]
        choice = Choice(method, "asked for", options, sigma=level)
    if calibrate:
        from unnoise.restore.invariant import calibrated

        profile = profile or analyse(pixels.unit()[:1])
        choice = calibrated(choice, profile, pixels)
    total = pixels.tensor.shape[0] * pixels.tensor.shape[2] * pixels.tensor.shape[3]
    denoiser = build(choice)
    if strength == 0 or denoiser is None:
        image = x.clone() if isinstance(x, Tensor) else x.copy()
        if progress is not None:
            progress(total, total)
    else:
        image = pixels.back(_apply(denoiser, pixels, choice.sigma, strength, tile, device, progress))
    return Restored(image, choice, profile, time.perf_counter() - start)


def _apply(
    denoiser: Denoiser,
    pixels: Pixels,
    sigma: Tensor | None,
    strength: float,
    tile: int | None,
    device: torch.device | None,
    progress: Progress | None,
) -> Tensor:
    """The denoiser over the picture: tile by tile when it is local, at once when it is not."""
    if device is not None:
        denoiser = denoiser.to(device)
    elif pixels.tensor.is_cuda:
        denoiser = denoiser.to(pixels.tensor.device)
    whole = InCounts(denoiser, pixels, strength, device)
    if tile is not None or denoiser.card.reach is not None:
        return Tiled(whole, tile or TILE, progress)(pixels.tensor, sigma)
    result = whole(pixels.tensor, sigma)
    if progress is not None:
        count = pixels.tensor.shape[2] * pixels.tensor.shape[3]
        progress(count, count)
    return result


def _check_arguments(method: str, kind: str | None, strength: float, tile: int | None) -> None:
    if kind not in (None, *KINDS):
        raise unknown("kind", str(kind), KINDS)
    if method not in AUTOMATIC and method not in METHODS:
        raise unknown("method", method, [*AUTOMATIC, *METHODS])
    if not 0 <= strength <= 1:
        raise InputError(f"strength must be between 0 and 1, got {strength:g}")
    if tile is not None and tile < 1:
        raise InputError(f"tile must be at least 1 pixel, got {tile}")


def is_cube_file(x: Any) -> bool:
    """Whether x is a path with an extension that only cubes have; TIFF and npy are pictures unless told otherwise."""
    return isinstance(x, (str, os.PathLike)) and Path(x).suffix.lower() in ONLY_CUBES


def _photo_only(tile: int | None, calibrate: bool) -> None:
    if tile is not None or calibrate:
        raise InputError("methods for cubes look at the whole cube and tune themselves: leave tile and calibrate out")


def _device(device: str | torch.device | None) -> torch.device | None:
    if device is None:
        return None
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{device}' is not there: use cpu, or leave device out") from error
    return found


def _level(sigma: Level, pixels: Pixels) -> Tensor:
    """Sigma as `expand_sigma` takes it, for white at 1."""
    s = torch.as_tensor(np.asarray(sigma) if not isinstance(sigma, Tensor) else sigma, dtype=torch.float32)
    if not bool(((s >= 0) & torch.isfinite(s)).all()):
        shown = f"{float(s):g}" if s.ndim == 0 else "an array with other values"
        raise InputError(f"sigma must be a finite number >= 0, got {shown}")
    batch, _, height, width = pixels.tensor.shape
    channels = pixels.channels
    fits = {
        (): (1, 1, 1, 1),
        (channels,): (1, channels, 1, 1),
        (height, width): (1, 1, height, width),
    }
    shape = fits.get(tuple(s.shape))
    if shape is not None:
        s = s.reshape(shape)
    elif s.ndim == 3 and tuple(s.shape) == (height, width, channels):
        s = s.permute(2, 0, 1)[None]
    elif s.ndim != 4 or any(a not in (1, b) for a, b in zip(s.shape, (batch, channels, height, width), strict=True)):
        raise InputError(
            f"sigma of shape {tuple(s.shape)} does not fit: give one number, one for each of the {channels} channels, "
            f"or a map ({height}, {width})"
        )
    return s / pixels.white


def as_batch(x: Any) -> Tensor:
    """A picture as (B, C, H, W) float32 with white at 1, alpha left out; a view where it is float32 already.

    >>> as_batch(np.full((2, 3), 51, np.uint8)).mean().item()
    0.20000000298023224
    """
    return pixels_of(x).unit()
