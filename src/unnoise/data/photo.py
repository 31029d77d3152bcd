"""Reading and writing photographs, with everything that came in their files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from unnoise.data.files import replacing
from unnoise.data.formats import FORMATS, Photo, content_format, damaged, format_of, label, truncated
from unnoise.data.inputs import nearest
from unnoise.data.values import check_finite
from unnoise.errors import InputError, UnnoiseError

__all__ = ["FORMATS", "MAX_PIXELS", "Photo", "read_photo", "write_photo"]

MAX_PIXELS = 250_000_000


def read_photo(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a PNG, JPEG, TIFF, WebP or npy file; the content decides where it disagrees with the extension.

    Parameters
    ----------
    path : the file. Its pixels come in the file's own type and orientation.
    max_pixels : height times width above which the file is refused, before any of it is decoded.

    Raises
    ------
    InputError : whatever is wrong with the file, in one sentence with the mend.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_photo(Path(folder) / "a.png", Photo(np.full((3, 5), 40000, np.uint16), dpi=(300, 300)))
    ...     photo = read_photo(Path(folder) / "a.png")
    >>> photo.pixels.dtype, photo.pixels.shape, round(photo.dpi[0])
    (dtype('uint16'), (3, 5), 300)
    """
    from unnoise.data.photo_read import READERS, quiet

    path = Path(path)
    named = format_of(path)
    content = _content(path)
    try:
        with quiet():
            photo = READERS[content](path, max_pixels)
    except UnnoiseError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than there is: crop it, or lower --max-pixels") from error
    except Exception as error:  # decoders fail on damaged bytes in every way there is
        raise _undecodable(path, content, error) from error
    check_finite(photo.pixels, str(path))
    if content == named:
        return photo
    note = f"the extension says {label(named)}, the content is {label(content)}"
    return replace(photo, notes=(*photo.notes, note))


def write_photo(dst: str | os.PathLike[str], photo: Photo, overwrite: bool = False) -> None:
    """Write a photo in the format that the extension of `dst` names, complete or not at all.

    Raises
    ------
    InputError : an unknown extension, or a format that cannot hold the photo's type or layout, naming those that can.
    OutputError : `dst` exists and `overwrite` is false, or it cannot be written.
    """
    from unnoise.data.photo_write import writer_for

    dst = Path(dst)
    writer = writer_for(dst, format_of(dst), photo)
    with replacing(dst, overwrite) as temporary:
        writer(temporary, photo)


def _undecodable(path: Path, content: str, error: Exception) -> InputError:
    """What a decoder said, as far as it helps a reader."""
    reason = (str(error).splitlines() or [""])[0].strip(" .")
    if "truncated" in reason.lower() or "too small" in reason or isinstance(error, EOFError):
        return truncated(path, content)
    told = len(reason) < 90 and reason.isascii() and any(letter.isalpha() for letter in reason)
    return damaged(path, content, reason if told else "its structure makes no sense")


def _content(path: Path) -> str:
    """Format by the first bytes, after all that can be wrong with a name."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file in it")
        with path.open("rb") as file:
            start = file.read(12)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist{nearest(path)}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not start:
        raise InputError(f"{path} is empty (0 bytes): get a new copy")
    content = content_format(start)
    if content is None:
        looks = "text" if start.isascii() else "something else"
        known = ", ".join(map(label, FORMATS))
        raise InputError(f"{path} is not a picture: its content is {looks}, not one of {known}; get a new copy")
    return content
