"""Real cubes with known noise on them, the same for every method, study and benchmark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unnoise.data.catalog import require
from unnoise.errors import unknown

Cube = NDArray[np.float32]

FILES = {
    "jasper": ("jasperRidge2_R198.mat", "Y", (100, 100, 198)),
    "samson": ("Samson.mat", "Y", (95, 95, 156)),
    "hydice": ("HYDICE_data.mat", "data", (100, 80, 162)),
}
CASES = ("iid", "noniid", "mixed")


def real_cube(name: str) -> Cube:
    """A cube (H, W, bands) with every band brought to [0, 1]: AVIRIS Jasper Ridge, SAMSON, or HYDICE.

    Raises
    ------
    MissingData : UNNOISE_DATA does not hold the data set "hyperspectral".
    """
    values = counts(name)
    low, high = values.min((0, 1)), values.max((0, 1))
    return ((values - low) / np.where(high > low, high - low, 1)).astype(np.float32)


def counts(name: str) -> NDArray[np.float64]:
    """The same cube in the units of its file."""
    from scipy.io import loadmat

    if name not in FILES:
        raise unknown("cube", name, FILES)
    file, key, shape = FILES[name]
    values = loadmat(require("hyperspectral") / file)[key].astype(np.float64)
    if values.ndim == 2:
        values = (values.T if len(values) == shape[2] else values).reshape(shape)
    return np.asarray(values)


def synthetic_cube(shape: tuple[int, int, int] = (48, 44, 30), rank: int = 4) -> Cube:
    """Smooth images with edges times smooth spectra, in about [0, 1], for tests and trials without any data.

    >>> synthetic_cube().shape
    (48, 44, 30)
    """
    height, width, bands = shape
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    images = [np.sin(3 * rows + k) * np.cos(2 * k * columns) + (columns + rows > 0.3 * k) for k in range(1, rank + 1)]
    t = np.linspace(0, 1, bands)
    spectra = [0.5 + 0.4 * np.sin(5 * t * k / rank + k) for k in range(1, rank + 1)]
    cube = np.stack(images, -1) @ np.stack(spectra)
    return ((cube - cube.min()) / (cube.max() - cube.min())).astype(np.float32)


def with_noise(x: Cube, case: str, seed: int = 0) -> Cube:
    """x in [0, 1] with noise: "iid" of level 0.1; "noniid", a level a band from U(0, 0.2); or "mixed".

    Mixed: a level a band from U(0, 0.1), impulses on 5, 10 or 15 % of the pixels of a third of the bands, and stripes
    of U(-0.25, 0.25) in 5 to 15 % of the columns of another third.
    """
    rng = np.random.default_rng(seed)
    height, width, bands = x.shape
    if case == "iid":
        return (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)
    if case not in CASES:
        raise unknown("noise of a cube", case, CASES)
    levels = rng.uniform(0, 0.2 if case == "noniid" else 0.1, bands)
    y = x + levels * rng.standard_normal(x.shape)
    if case == "mixed":
        order = rng.permutation(bands)
        third = bands // 3
        for b in order[:third]:
            share = rng.choice([0.05, 0.1, 0.15])
            hit = rng.random((height, width)) < share
            y[..., b][hit] = (rng.random((height, width)) < 0.5)[hit]
        for b in order[third : 2 * third]:
            count = rng.integers(int(0.05 * width), int(0.15 * width) + 1)
            y[:, rng.permutation(width)[:count], b] += rng.uniform(-0.25, 0.25, count)
    return y.astype(np.float32)
