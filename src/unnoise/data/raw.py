"""Raw mosaics: camera files through rawpy, 16-bit PNG, TIFF and npy; packed to R, G1, G2, B for networks and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.formats import EXTENSIONS, RAW_EXTENSIONS
from unnoise.data.inputs import nearest
from unnoise.errors import InputError, MissingExtra, unknown

if TYPE_CHECKING:
    from torch import Tensor

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
EXPOSURE, ISO = 33434, 34855  # TIFF/EP: exposure time in seconds, ISO speed


@dataclass(frozen=True, eq=False)
class Raw:
    """A sensor's mosaic and what is needed to read it.

    Attributes
    ----------
    mosaic : (H, W), counts of the sensor.
    pattern : colours of the upper left 2 x 2 cell, row by row: one of `PATTERNS`, or "mono".
    black : counts of no light of R, G1 (in red's rows), G2 (in blue's rows), B.
    white : counts of saturation.
    iso, exposure : ISO and seconds, `None` where the file does not say.
    gains : as-shot white balance of R, G, B, green at 1.
    camera : its name, empty if unknown.
    """

    mosaic: NDArray[Any]
    pattern: str = "RGGB"
    black: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    white: float = 65535.0
    iso: float | None = None
    exposure: float | None = None
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    camera: str = ""

    def __post_init__(self) -> None:
        if self.mosaic.ndim != 2:
            raise InputError(
                f"an array of shape {self.mosaic.shape} is a colour picture, not a raw mosaic (H, W): "
                "denoise it as kind photo"
            )
        if self.pattern not in (*PATTERNS, "mono"):
            raise unknown("Bayer order", self.pattern, [*PATTERNS, "mono"])
        if min(self.mosaic.shape) < 4:
            height, width = self.mosaic.shape
            raise InputError(f"a mosaic of {width} x {height} pixels is too small: 4 x 4 is the least")
        if not self.white > max(self.black):
            raise InputError(f"white {self.white:g} must lie above black {max(self.black):g}: give both levels")

    def with_mosaic(self, mosaic: NDArray[Any]) -> Raw:
        """The same exposure with another mosaic of the same size."""
        if mosaic.shape != self.mosaic.shape:
            raise InputError(f"a mosaic of shape {mosaic.shape} does not replace one of shape {self.mosaic.shape}")
        return replace(self, mosaic=mosaic)


def is_raw(path: str | os.PathLike[str]) -> bool:
    """Whether the extension is that of a camera file."""
    return Path(path).suffix.lower() in RAW_EXTENSIONS


def read_raw(
    path: str | os.PathLike[str],
    *,
    pattern: str | None = None,
    black: float | None = None,
    white: float | None = None,
    max_pixels: int = 250_000_000,
) -> Raw:
    """A mosaic from a camera file (rawpy) or a gray PNG, TIFF or npy file of integers.

    Parameters
    ----------
    pattern, black, white : what the file does not say, or says wrongly. A picture file without them is taken as RGGB
        with black 0 and white at the end of its type.
    max_pixels : height times width above which the file is refused.

    Raises
    ------
    InputError : a file that cannot be read, X-Trans or other colour filters, colours already interpolated.
    MissingExtra : rawpy is needed and not installed.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist{nearest(path)}")
    if is_raw(path):
        raw = _from_camera(path, max_pixels)
    elif path.suffix.lower() in EXTENSIONS:
        raw = _from_picture(path, max_pixels)
    else:
        raise InputError(f"{path}: the extension '{path.suffix}' is neither that of a camera file nor of a picture")
    changes: dict[str, Any] = {}
    if pattern is not None:
        changes["pattern"] = pattern
    if black is not None:
        changes["black"] = (float(black),) * 4
    if white is not None:
        changes["white"] = float(white)
    return replace(raw, **changes) if changes else raw


def as_raw(mosaic: NDArray[Any], pattern: str = "RGGB", black: float = 0.0, white: float | None = None) -> Raw:
    """A mosaic (H, W) of counts with its levels; `white` is by default the end of an integer type, 1 for floats.

    Raises
    ------
    InputError : another type or shape, values that are not finite, levels that make no sense.
    """
    if mosaic.dtype.kind not in "uf":
        raise InputError(f"a mosaic of type {mosaic.dtype} is not supported: convert it to uint16 or float32")
    if mosaic.dtype.kind == "f" and not np.isfinite(mosaic).all():
        raise InputError("the mosaic holds values that are NaN or infinite: fill them first")
    end = float(np.iinfo(mosaic.dtype).max) if mosaic.dtype.kind == "u" else 1.0
    return Raw(mosaic, pattern, (float(black),) * 4, end if white is None else float(white))


def _from_camera(path: Path, max_pixels: int) -> Raw:
    try:
        import rawpy
    except ImportError as error:
        raise MissingExtra("raw") from error
    from unnoise.data.photo_read import check_size

    try:
        with rawpy.imread(str(path)) as file:
            check_size(path, file.sizes.raw_height, file.sizes.raw_width, max_pixels)
            if file.raw_type != rawpy.RawType.Flat or file.raw_pattern is None:
                raise InputError(f"{path} holds colours that are interpolated already: denoise it as a photo")
            cells = np.asarray(file.raw_pattern)
            if cells.shape != (2, 2):
                kind = "X-Trans" if cells.shape == (6, 6) else f"{cells.shape[0]} x {cells.shape[1]}"
                raise InputError(f"{path} has an {kind} colour filter, only 2 x 2 Bayer cells are supported")
            letters = file.color_desc.decode()
            pattern = "".join(letters[k] for k in cells.flat)
            if pattern not in PATTERNS:
                raise InputError(f"{path} has the colour filter {pattern}, only {', '.join(PATTERNS)} are supported")
            levels = [float(file.black_level_per_channel[k]) for k in cells.flat]
            wb = np.array(file.camera_whitebalance[:3], np.float64)
            good = bool(np.isfinite(wb).all() and (wb > 0).all())
            return Raw(
                np.array(file.raw_image_visible),
                pattern,
                tuple(levels[k] for k in _places(pattern)),  # type: ignore[arg-type]
                float(file.white_level),
                *_exposure(path),
                gains=tuple(wb / wb[1]) if good else (1.0, 1.0, 1.0),
                camera=_camera(path),
            )
    except rawpy.LibRawError as error:
        raise InputError(f"{path} cannot be decoded as a camera file ({error.args[0]!r}): get a new copy") from None


def _from_picture(path: Path, max_pixels: int) -> Raw:
    from unnoise.data.photo import read_photo

    photo = read_photo(path, max_pixels)
    if photo.channels != 1:
        raise InputError(f"{path} is a colour picture of shape {photo.pixels.shape}, not a raw mosaic: give raw frames")
    if photo.pixels.dtype.kind != "u":
        raise InputError(f"{path} holds {photo.pixels.dtype} values: raw frames hold the integers of the sensor")
    white = float(np.iinfo(photo.pixels.dtype).max)
    iso, exposure = _exif(photo.exif)
    return Raw(photo.pixels, white=white, iso=iso, exposure=exposure)


def _places(pattern: str) -> tuple[int, int, int, int]:
    """Place in the 2 x 2 cell, row by row, of R, the green beside R, the green beside B, and B."""
    red, blue = pattern.index("R"), pattern.index("B")
    return red, red ^ 1, blue ^ 1, blue


def flips(pattern: str) -> tuple[int, ...]:
    """Axes of (H, W) to mirror so that an even-sized mosaic begins with red."""
    red = 0 if pattern == "mono" else pattern.index("R")
    return tuple(axis for axis, bit in ((0, red // 2), (1, red % 2)) if bit)


def pack(raw: Raw) -> Tensor:
    """`(1, 4, h, w)` float32 in the order R, G1, G2, B, `(raw - black) / (white - black)`, not clipped.

    Other Bayer orders are mirrored to RGGB, which keeps rows rows and the distances between samples; an odd size gets
    one mirrored row or column of the right colours. A mosaic without colours becomes `(1, 1, H, W)`.
    """
    import torch

    values = raw.mosaic.astype(np.float32)
    black = np.array(raw.black, np.float32)
    if raw.pattern == "mono":
        return torch.from_numpy((values - black[0]) / (raw.white - black[0]))[None, None]
    height, width = values.shape
    values = np.pad(values, ((0, height % 2), (0, width % 2)), mode="reflect")
    values = np.flip(values, flips(raw.pattern))
    cells = np.stack([values[k // 2 :: 2, k % 2 :: 2] for k in range(4)])
    black = black[:, None, None]
    return torch.from_numpy(np.ascontiguousarray((cells - black) / (raw.white - black)))[None]


def unpack(packed: Tensor, raw: Raw) -> NDArray[Any]:
    """Inverse of `pack`: a mosaic of the size, order, levels and type of `raw`; integers are rounded and clipped."""
    values = packed.detach().cpu().numpy()[0]
    black = np.array(raw.black, np.float64)
    height, width = raw.mosaic.shape
    if raw.pattern == "mono":
        mosaic = values[0] * (raw.white - black[0]) + black[0]
    else:
        cells = values * (raw.white - black[:, None, None]) + black[:, None, None]
        mosaic = np.empty((2 * cells.shape[1], 2 * cells.shape[2]))
        for k in range(4):
            mosaic[k // 2 :: 2, k % 2 :: 2] = cells[k]
        mosaic = np.flip(mosaic, flips(raw.pattern))[:height, :width]
    if raw.mosaic.dtype.kind == "u":
        mosaic = np.rint(mosaic).clip(0, np.iinfo(raw.mosaic.dtype).max)
    return np.ascontiguousarray(mosaic.astype(raw.mosaic.dtype))


def develop(raw: Raw) -> NDArray[np.uint16]:
    """Linear RGB (H, W, 3) of 16 bits: black subtracted, gradient-corrected demosaicking, as-shot white balance.

    Camera colours, without a colour matrix and without gamma; the largest white-balance gain is 1, so that nothing
    that was not saturated clips. A mosaic without colours gives gray (H, W).
    """
    import torch

    from unnoise.noise.demosaick import demosaick

    packed = pack(raw)
    if raw.pattern == "mono":
        return _sixteen(packed[0, 0].numpy())
    mosaic = torch.nn.functional.pixel_shuffle(packed, 2)
    rgb = demosaick(mosaic)[0].permute(1, 2, 0).numpy()
    height, width = raw.mosaic.shape
    return balanced(np.flip(rgb, flips(raw.pattern))[:height, :width], raw)


def balanced(rgb: NDArray[Any], raw: Raw) -> NDArray[np.uint16]:
    """Linear camera colours (H, W, 3) with white at 1, as-shot white balance applied, in 16 bits; see `develop`."""
    gains = np.array(raw.gains, np.float32)
    return _sixteen(rgb * (gains / gains.max()))


def _sixteen(x: NDArray[Any]) -> NDArray[np.uint16]:
    return np.rint(np.clip(x, 0, 1) * 65535).astype(np.uint16)


def write_developed(dst: str | os.PathLike[str], raw: Raw, overwrite: bool = False) -> None:
    """Write `raw`: linear RGB of 16 bits to .tif or .png, or the mosaic in its own counts to .dng or .npy.

    Raises
    ------
    InputError : another extension. OutputError : `dst` exists and `overwrite` is false, or it cannot be written.
    """
    from unnoise.data.files import replacing
    from unnoise.data.formats import Photo
    from unnoise.data.photo import write_photo

    path = Path(dst)
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff", ".png"):
        write_photo(path, Photo(develop(raw)), overwrite)
    elif suffix == ".npy":
        write_photo(path, Photo(raw.mosaic), overwrite)
    elif suffix == ".dng":
        with replacing(path, overwrite) as temporary:
            _write_dng(temporary, raw)
    else:
        raise InputError(f"{path}: a raw result is written as .tif, .png (linear RGB), .dng or .npy (mosaic)")


def write_colours(dst: str | os.PathLike[str], rgb: NDArray[np.float32], raw: Raw, overwrite: bool = False) -> None:
    """Write linear camera colours (H, W, 3) that came from `raw`: 16 bits with its white balance to .tif or .png, or as
    they are, float32, to .npy. Raises as `write_developed`."""
    from unnoise.data.formats import Photo
    from unnoise.data.photo import write_photo

    path = Path(dst)
    check_colours(path)
    write_photo(path, Photo(rgb if path.suffix.lower() == ".npy" else balanced(rgb, raw)), overwrite)


def check_colours(path: Path) -> None:
    """Raise `InputError` where `write_colours` cannot write."""
    if path.suffix.lower() not in (".tif", ".tiff", ".png", ".npy"):
        raise InputError(f"{path}: a demosaicked result is written as .tif or .png (linear RGB, 16 bits) or .npy")


def _write_dng(path: Path, raw: Raw) -> None:
    """A minimal DNG 1.4: the mosaic, its colours and levels, white balance (Adobe's DNG specification, chapter 4)."""
    import tifffile

    if raw.pattern == "mono" or raw.mosaic.dtype != np.uint16:
        raise InputError(f"{path}: a DNG holds 16-bit Bayer mosaics: write .npy or .tif")
    places = _places(raw.pattern)
    black = [0] * 4
    for channel, place in enumerate(places):
        black[place] = round(raw.black[channel] * 256)
    levels = tuple(v for b in black for v in (b, 256))
    neutral = tuple(v for g in raw.gains for v in (round(1e6 / g), 1_000_000))
    identity = tuple(v for k in range(9) for v in (int(k % 4 == 0), 1))
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes("RGB".index(c) for c in raw.pattern), True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, "B", 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, "s", 0, raw.camera or "unnoise", True),  # UniqueCameraModel
        (50713, "H", 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, "2I", 4, levels, True),  # BlackLevel
        (50717, "I", 1, round(raw.white), True),  # WhiteLevel
        (50721, "2i", 9, identity, True),  # ColorMatrix1; colours stay those of the camera
        (50728, "2I", 3, neutral, True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    if raw.iso is not None:
        tags.append((ISO, "H", 1, min(round(raw.iso), 65535), True))
    if raw.exposure is not None:
        tags.append((EXPOSURE, "2I", 1, Fraction(raw.exposure).limit_denominator(1_000_000).as_integer_ratio(), True))
    tifffile.imwrite(
        path, raw.mosaic, photometric=32803, planarconfig=1, metadata=None, software="unnoise", extratags=tags
    )


def _exposure(path: Path) -> tuple[float | None, float | None]:
    """ISO and exposure time of a TIFF-like camera file; most are. DNG files may state them outside of the EXIF part."""
    import tifffile

    from unnoise.data.photo_read import quiet

    try:
        with quiet(), tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            exif = tags.valueof("ExifTag") or {}
            iso = exif.get("ISOSpeedRatings") or exif.get("PhotographicSensitivity") or tags.valueof(ISO)
            return _positive(iso), _positive(exif.get("ExposureTime") or tags.valueof(EXPOSURE))
    except Exception:  # not a TIFF, or one that only its maker understands: then the file does not say
        return None, None


def _camera(path: Path) -> str:
    import tifffile

    from unnoise.data.photo_read import quiet

    try:
        with quiet(), tifffile.TiffFile(path) as file:
            return str(file.pages.first.tags.valueof("Model") or "").strip()
    except Exception:
        return ""


def _exif(exif: bytes) -> tuple[float | None, float | None]:
    if not exif:
        return None, None
    from PIL import Image

    read = Image.Exif()
    read.load(exif)
    inner = read.get_ifd(0x8769)
    return _positive(inner.get(0x8827)), _positive(inner.get(0x829A))


def _positive(value: Any) -> float | None:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] / value[1] if len(value) == 2 and value[1] else (value[0] if value else 0)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number > 0 and np.isfinite(number) else None
