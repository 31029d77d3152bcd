"""What a photograph is between files, and which formats there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS: dict[str, tuple[str, ...]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "npy": (".npy",),
}
"""Name of a photo format -> its extensions, the usual one first."""

EXTENSIONS: dict[str, str] = {extension: name for name, known in FORMATS.items() for extension in known}

RAW_EXTENSIONS = (
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw",
    ".kdc", ".dcr", ".mrw", ".3fr", ".iiq", ".erf", ".mos", ".mef", ".x3f",
)  # fmt: skip
"""Extensions of camera files, which hold a sensor's mosaic."""

MAGIC: dict[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"\x93NUMPY": "npy",
}


@dataclass(frozen=True, eq=False)
class Photo:
    """The pixels of a picture file and all that came with them; `InputError` where shapes or types do not fit.

    Attributes
    ----------
    pixels : (H, W) gray or (H, W, 3) RGB, in the file's own type: uint8, uint16, float16, float32 or float64.
        As stored: not rotated by the EXIF orientation.
    alpha : (H, W) of the same type, or None.
    format : key of `FORMATS`.
    exif : a TIFF structure, starting with its byte order; empty if there is none.
    icc, xmp : ICC colour profile and XMP packet; empty if there is none.
    dpi : pixels an inch, horizontal and vertical.
    lossless : whether the file it was read from kept every bit (false: JPEG, lossy WebP).
    premultiplied : whether the colours are already multiplied by alpha (TIFF only).
    compression : of a TIFF, the name of a key of `photo_write.TIFF_COMPRESSION`.
    jpeg_tables : quantisation tables of a JPEG, coarse where the quality was low.
    extras : (tag, bytes) of what only this format understands (PNG chunks, JPEG segments); kept when it stays so.
    notes : sentences about what reading had to change.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    format: str = "png"
    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    lossless: bool = True
    premultiplied: bool = False
    compression: str = "none"
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    extras: tuple[tuple[bytes, bytes], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 2 and (len(shape) != 3 or shape[2] != 3):
            raise InputError(f"pixels of shape {shape} are no photo: make them (H, W) or (H, W, 3)")
        if self.alpha is not None and (self.alpha.shape != shape[:2] or self.alpha.dtype != self.pixels.dtype):
            raise InputError(
                f"alpha of shape {self.alpha.shape} and type {self.alpha.dtype} does not fit pixels of shape {shape} "
                f"and type {self.pixels.dtype}: make it (H, W) of the same type"
            )

    @property
    def channels(self) -> int:
        """1 or 3; alpha is not counted."""
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    @property
    def layout(self) -> str:
        """ "gray", "gray+alpha", "rgb" or "rgb+alpha"."""
        return ("gray" if self.channels == 1 else "rgb") + ("" if self.alpha is None else "+alpha")

    @property
    def megapixels(self) -> float:
        """Height times width in millions."""
        return self.pixels.shape[0] * self.pixels.shape[1] / 1e6

    def with_pixels(self, pixels: NDArray[Any]) -> Photo:
        """The same photograph with other pixels of the same height and width."""
        if pixels.shape[:2] != self.pixels.shape[:2]:
            raise InputError(f"pixels of shape {pixels.shape} do not replace those of shape {self.pixels.shape}")
        return replace(self, pixels=pixels)

    def stacked(self) -> NDArray[Any]:
        """Pixels and alpha in one array, (H, W) or (H, W, 2 | 3 | 4)."""
        if self.alpha is None:
            return self.pixels
        import numpy as np

        return np.dstack([self.pixels, self.alpha])


def format_of(path: Path) -> str:
    """The format that the extension names, or an `InputError` listing the known ones."""
    name = EXTENSIONS.get(path.suffix.lower())
    if name is None:
        what = f"the extension '{path.suffix}' is not that of a photo" if path.suffix else "it has no extension"
        raise InputError(f"{path}: {what}: convert it to one of {', '.join(EXTENSIONS)}")
    return name


def label(name: str) -> str:
    """A format as people write it."""
    return {"webp": "WebP", "npy": "npy"}.get(name, name.upper())


def truncated(path: Path, name: str, why: str = "") -> InputError:
    """The error for a file that ends before its content does."""
    return InputError(f"{path} is a truncated {label(name)} file{f' ({why})' if why else ''}: get a complete copy")


def damaged(path: Path, name: str, why: str) -> InputError:
    """The error for a file that no decoder understands."""
    return InputError(f"{path} is a damaged {label(name)} file ({why}): get a new copy")


def content_format(start: bytes) -> str | None:
    """The format that the first 12 bytes of a file show, None if it is no photo format."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
