"""Reading and writing spectral cubes, with wavelengths, band names, geo-reference and no-data value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.data.inputs import nearest
from unnoise.errors import InputError, UnnoiseError, unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

CUBE_FORMATS: dict[str, tuple[str, ...]] = {
    "envi": (".hdr", ".dat", ".img", ".bsq", ".bil", ".bip", ".raw"),
    "mat": (".mat",),
    "hdf5": (".h5", ".hdf5", ".hdf", ".he5"),
    "tiff": (".tif", ".tiff"),
    "npy": (".npy",),
    "zarr": (".zarr",),
}
"""Name of a cube format -> its extensions, the usual one first."""

CUBE_EXTENSIONS: dict[str, str] = {extension: name for name, known in CUBE_FORMATS.items() for extension in known}
ONLY_CUBES = tuple(e for e, name in CUBE_EXTENSIONS.items() if name not in ("tiff", "npy"))
"""Extensions that no photograph has."""
OPEN = ("mat", "hdf5", "npy", "zarr")
"""Formats that leave the order of axes open."""
MAX_BANDS = 600  # a longer axis is one of pixels unless told otherwise
SPECTRUM = 10  # bands from which an array is taken for the cube, and not for something that belongs to it
MODULES = {
    "envi": "unnoise.data.cube_envi",
    "mat": "unnoise.data.cube_mat",
    "hdf5": "unnoise.data.cube_hdf5",
    "tiff": "unnoise.data.cube_tiff",
    "npy": "unnoise.data.cube_npy",
    "zarr": "unnoise.data.cube_zarr",
}


@dataclass(frozen=True, eq=False)
class Cube:
    """A spectral cube and what came with it in its file.

    Attributes
    ----------
    values : (H, W, bands) in the file's own type, perhaps a view; an `OnDisk` where nothing is read yet.
    wavelengths : of the bands, in `units`, or `None`.
    units : of the wavelengths as the file spells them.
    band_names : of the bands, or `None`.
    nodata : value that means "nothing measured", besides NaN.
    format : key of `CUBE_FORMATS`.
    source : the file it was read from; what only its format understands is copied from there on writing.
    dataset : name of the array in a file of several.
    band_axis : of the array as it is stored.
    extras : what the format's reader wants its writer to know.
    """

    values: Any
    wavelengths: tuple[float, ...] | None = None
    units: str = ""
    band_names: tuple[str, ...] | None = None
    nodata: float | None = None
    format: str = "npy"
    source: Path | None = None
    dataset: str | None = None
    band_axis: int = 2
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def georeferenced(self) -> bool:
        """Whether the file says where on the map the cube lies, in its format's own way."""
        return bool(self.extras.get("georeferenced"))

    def with_values(self, values: NDArray[Any]) -> Cube:
        """The same cube with other values of the same shape."""
        if values.shape != self.values.shape:
            raise InputError(f"values of shape {values.shape} do not fit the cube {self.values.shape}: match them")
        return replace(self, values=values)


def read_cube(path: str | os.PathLike[str], dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """Read a cube: ENVI, MATLAB (v5, v7.3), HDF5, TIFF, NumPy or Zarr.

    Parameters
    ----------
    path : the file; of ENVI the header or the data beside it.
    dataset : which array, where the file holds several cubes (MATLAB, HDF5, Zarr).
    band_axis : 0, 1 or 2, where the format leaves it open. Unless told it is the axis that the file calls so or has as
        many wavelengths for, else the last one.

    Raises
    ------
    InputError : whatever is wrong, in one sentence with the mend.
    MissingExtra : HDF5, MATLAB v7.3 and Zarr need the extra 'cubes'.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cube(Path(folder) / "a.hdr", Cube(np.ones((2, 3, 4), np.uint16), wavelengths=(450, 550, 650, 750)))
    ...     cube = read_cube(Path(folder) / "a.hdr")
    >>> cube.values.shape, cube.values.dtype.name, cube.wavelengths
    ((2, 3, 4), 'uint16', (450.0, 550.0, 650.0, 750.0))
    """
    from importlib import import_module

    path = Path(path)
    name = cube_format(path)
    with reading(path, band_axis):
        cube: Cube = import_module(MODULES[name]).read(path, dataset, None if band_axis is None else band_axis % 3)
    check_cube(path, cube, band_axis)
    return replace(cube, source=path)


@contextmanager
def reading(path: Path, band_axis: int | None) -> Iterator[None]:
    """What readers of `path` raise, as one sentence."""
    if band_axis not in (None, 0, 1, 2, -1, -2, -3):
        raise InputError(f"the band axis is 0, 1 or 2, got {band_axis}")
    if not path.exists():
        raise InputError(f"{path} does not exist{nearest(path)}")
    try:
        yield
    except UnnoiseError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than there is: cut it into pieces") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or _line(error)}): get a new copy") from error
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:  # readers fail on damage in many ways
        raise InputError(f"{path} is damaged ({_line(error)}): get a new copy") from error


def write_cube(dst: str | os.PathLike[str], cube: Cube, overwrite: bool = False) -> None:
    """Write a cube in the format that the extension of `dst` names, complete or not at all.

    Where that is the format it was read in, everything else in the source file is kept.

    Raises
    ------
    InputError : an unknown extension.
    OutputError : `dst` exists and `overwrite` is false, or it cannot be written.
    """
    from importlib import import_module

    dst = Path(dst)
    import_module(MODULES[cube_format(dst)]).write(dst, cube, overwrite)


def cube_format(path: Path) -> str:
    """Key of `CUBE_FORMATS` by extension."""
    name = CUBE_EXTENSIONS.get(path.suffix.lower())
    if name is None:
        raise unknown("extension of a cube", path.suffix or path.name, CUBE_EXTENSIONS)
    return name


def bands_last(array: NDArray[Any], axis: int | None) -> tuple[NDArray[Any], int]:
    """An array as (H, W, bands), and where its bands were."""
    import numpy as np

    axis = 2 if axis is None else axis
    return np.moveaxis(array, axis, 2), axis


def axis_in(cube: Cube, name: str) -> int:
    """Where the bands go in a file of a format: where they were if the cube came in it, else last."""
    return cube.band_axis if cube.format == name else 2


def stored(cube: Cube, name: str) -> NDArray[Any]:
    """The values in the axis order of a file of a format."""
    import numpy as np

    return np.moveaxis(cube.values, 2, axis_in(cube, name))


def pick(path: Path, found: Mapping[str, tuple[int, ...]], asked: str | None) -> str:
    """The array to take of those with three axes (name -> shape); an error where that is not clear.

    A cube of many bands goes before maps and abundances beside it, which have a few.
    """
    if asked is not None:
        if asked not in found:
            raise unknown(f"dataset of {path.name}", asked, found)
        return asked
    deep = {name: shape for name, shape in found.items() if len(shape) == 3}
    cubes = {name: shape for name, shape in deep.items() if min(shape) > 1} or deep
    many = [name for name, shape in cubes.items() if shape[2] >= SPECTRUM]
    if len(cubes) == 1 or len(many) == 1:
        return many[0] if many else next(iter(cubes))
    listed = ", ".join(f"{name} {shape}" for name, shape in (cubes or found).items()) or "nothing"
    if cubes:
        raise InputError(f"{path} holds several cubes ({listed}): name one with --dataset")
    raise InputError(f"{path} holds no array of three axes, only {listed}: reshape it to (rows, columns, bands)")


WAVELENGTH = ("wavelength", "wavelengths", "wl", "lambda", "lambdas", "wavelength_nm", "bands_nm", "center_wavelength")
TEXTS = ("wavelength_units", "band_names")
BANDS = ("band", "bands", "channel", "channels", "spectral", "spectrum", *WAVELENGTH)
"""What files call wavelengths, and the axis of bands, in small letters."""


def called(name: str, usual: tuple[str, ...]) -> bool:
    """Whether the last part of a path in a file is one of the usual names.

    >>> called("scene/Wavelength", WAVELENGTH)
    True
    """
    return name.rsplit("/", 1)[-1].lower() in usual


def find_axis(shape: tuple[int, ...], values: Mapping[str, Any], labels: Sequence[str | None] = ()) -> int:
    """The axis of the bands: the one whose label says so, or that alone is as long as the wavelengths; else the last.

    `values` are the named arrays and attributes of the file.

    >>> find_axis((3, 50, 50), {"wavelength": [450, 550, 650]}), find_axis((3, 50, 50), {}, ("y", "x", "band"))
    (0, 2)
    """
    import numpy as np

    named = [axis for axis, label in enumerate(labels) if label and called(label, BANDS)]
    if len(named) == 1:
        return named[0]
    for name, value in values.items():
        if called(name, WAVELENGTH) and shape.count(np.size(value)) == 1:
            return shape.index(np.size(value))
    return 2


def find_wavelengths(values: Mapping[str, Any], bands: int) -> tuple[float, ...] | None:
    """Wavelengths among named arrays or attributes: as many numbers as there are bands, under a usual name."""
    import numpy as np

    for name, value in values.items():
        if called(name, WAVELENGTH):
            array = np.asarray(value)
            if array.size == bands and array.dtype.kind in "iuf":
                return tuple(float(v) for v in array.ravel())
    return None


def find_texts(values: Mapping[str, Any], bands: int) -> dict[str, Any]:
    """`units` and `band_names` of a `Cube` among named arrays or attributes, as `described` writes them.

    >>> find_texts({"wavelength_units": "nm", "band_names": ["a", "b"]}, 2)
    {'units': 'nm', 'band_names': ('a', 'b')}
    """
    import numpy as np

    found: dict[str, Any] = {}
    for name, value in values.items():
        if called(name, TEXTS):
            texts = [_text(v) for v in np.ravel(np.asarray(value, dtype=object))]
            if called(name, TEXTS[:1]) and len(texts) == 1:
                found["units"] = texts[0]
            elif called(name, TEXTS[1:]) and len(texts) == bands:
                found["band_names"] = tuple(texts)
    return found


def described(cube: Cube) -> dict[str, Any]:
    """What is known of the bands, under the names that attributes and variables have in our files."""
    found: dict[str, Any] = {}
    if cube.wavelengths is not None:
        found |= {"wavelength": list(cube.wavelengths), "wavelength_units": cube.units}
    if cube.band_names is not None:
        found["band_names"] = list(cube.band_names)
    return found


def left_behind(cube: Cube, dst: Path) -> str | None:
    """What the format of `dst` cannot hold of what came with a cube, in a sentence; `None` where it holds all."""
    name = cube_format(dst)
    lost = []
    if name == "npy":
        lost += ["wavelengths"] if cube.wavelengths is not None else []
        lost += ["band names"] if cube.band_names is not None else []
    if name in ("npy", "mat") and name != cube.format and cube.nodata is not None:
        lost.append("no-data value")
    if cube.georeferenced and name != cube.format:
        lost.append("geo-reference")
    if not lost or cube.source is None:
        return None
    what = lost[0] if len(lost) == 1 else f"{', '.join(lost[:-1])} and {lost[-1]}"
    usual = CUBE_FORMATS[cube.format][0]
    return f"{what} of {cube.source.name} cannot go into {dst.suffix}: for that name a result that ends in {usual}"


def doubtful(shape: tuple[int, ...]) -> int | None:
    """Where the bands of a cube rather are, if they do not seem to be last: that axis is too long for one of bands, or
    the other two are not those of a picture while it makes a square with one of them.

    >>> doubtful((100, 100, 198)), doubtful((31, 512, 512)), doubtful((5, 40, 700)), doubtful((90, 80, 162))
    (None, 0, 0, None)
    """
    rows, columns, bands = shape
    if bands > MAX_BANDS and min(rows, columns) <= MAX_BANDS:
        return 0 if rows <= columns else 1
    if bands == columns != rows:
        return 0
    return 1 if bands == rows != columns else None


def check_cube(path: Path, cube: Cube, band_axis: int | None) -> None:
    """Whether what a reader found is a cube, and its header fits."""
    values = cube.values
    if values.ndim != 3 or 0 in values.shape:
        shape = values.shape
        raise InputError(f"{path} has the shape {shape}, not (rows, columns, bands): reshape it, or use --kind photo")
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path} holds values of type {values.dtype}: convert them to integers or floats")
    guess = doubtful(values.shape) if cube.format in OPEN and cube.wavelengths is None else None
    if guess is not None and band_axis is None and cube.band_axis == 2:
        raise InputError(
            f"{path} would have {values.shape[2]} bands in the shape {values.shape}: its axes seem to be in another "
            f"order, name that of the bands (--band-axis {guess}, or 2 if it is right)"
        )
    for what, known in (("wavelengths", cube.wavelengths), ("band names", cube.band_names)):
        if known is not None and len(known) != values.shape[2]:
            raise InputError(f"{path} names {len(known)} {what} for {values.shape[2]} bands: mend its header")


def _text(value: Any) -> str:
    """A text as files hold it: bytes, or MATLAB's array of one."""
    import numpy as np

    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _line(error: Exception) -> str:
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0][:120].rstrip(". ")
