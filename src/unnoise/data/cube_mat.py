"""Cubes in MATLAB files: version 5 to 7 by scipy, 7.3 as HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unnoise.data import cube_hdf5
from unnoise.data.cube import Cube, bands_last, described, find_axis, find_texts, find_wavelengths, pick, stored
from unnoise.data.cube_table import cube_shape, fold, picture_size, unfold
from unnoise.data.files import replacing
from unnoise.errors import InputError

HDF5 = b"\x89HDF\r\n\x1a\n"


def read(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The one cube of a file, or the variable that is named."""
    if _is_hdf5(path):
        return cube_hdf5.read(path, dataset, band_axis, matlab=True)
    variables = _load(path)
    numeric = {name: v for name, v in variables.items() if isinstance(v, np.ndarray) and v.dtype.kind in "iuf"}
    size = picture_size(numeric)
    name = pick(path, {key: cube_shape(v.shape, size) for key, v in numeric.items()}, dataset)
    array = numeric[name]
    folded = cube_shape(array.shape, size) != array.shape
    if band_axis is None or folded:
        band_axis = 2 if folded or array.ndim != 3 else find_axis(array.shape, numeric)
    values, axis = bands_last(unfold(array, size) if folded and size else array, band_axis)
    waves = find_wavelengths(numeric, values.shape[-1])
    return Cube(
        values,
        wavelengths=waves,
        **find_texts(variables, values.shape[-1]),
        format="mat",
        dataset=name,
        band_axis=axis,
        extras={"version": 5, "variables": variables, "table": array.shape if folded else None},
    )


def on_disk(path: Path, dataset: str | None = None, band_axis: int | None = None) -> Cube:
    """The array where it is; in version 7.3 only."""
    if _is_hdf5(path):
        return cube_hdf5.on_disk(path, dataset, band_axis, matlab=True)
    raise InputError(f"{path}: a MATLAB file of version 5 to 7 can only be read whole: save it with -v7.3")


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(520)
    return HDF5 in (start[:8], start[512:520])


def write(dst: Path, cube: Cube, overwrite: bool = False) -> None:
    """Version 7.3 where the cube came in it, else 5; other variables of the source are kept."""
    if cube.format == "mat" and cube.extras.get("version") == 7.3:
        cube_hdf5.write(dst, cube, overwrite, matlab=True)
        return
    from scipy.io import savemat

    if cube.values.nbytes >= 1 << 31:
        raise InputError(f"{dst}: MATLAB files of version 5 hold at most 2 GB an array: write .h5 or .hdr instead")
    variables = dict(cube.extras.get("variables", {})) if cube.format == "mat" else {}
    if not variables:
        facts = described(cube)
        if "band_names" in facts:
            facts["band_names"] = np.array(facts["band_names"], dtype=object)  # a cell array
        variables = facts
    table = cube.extras.get("table") if cube.format == "mat" else None
    variables[cube.dataset or "cube"] = np.asarray(fold(cube.values, table) if table else stored(cube, "mat"))
    with replacing(dst, overwrite) as temporary, temporary.open("wb") as file:
        savemat(file, variables, do_compression=True)


def _load(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path)
    except (MatReadError, OSError, EOFError) as error:
        raise InputError(f"{path} is no MATLAB file, or truncated: get a new copy") from error
    except Exception as error:  # zlib errors of damaged files have no public class
        raise InputError(f"{path} is damaged ({str(error).splitlines()[0][:80]}): get a new copy") from error
    return {name: value for name, value in found.items() if not name.startswith("__")}
