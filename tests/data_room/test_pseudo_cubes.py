"""Pseudo-cubes: smooth spectra, low rank, no negative values, the same for the same seed."""

import numpy as np
import torch

from unnoise.data.crops import Crops
from unnoise.data.pseudo_cubes import jitter, pseudo_cubes, spectra
from unnoise.noise import generator


def crops():
    rng = np.random.default_rng(0)
    return Crops([rng.integers(0, 256, (60, 70, 1)).astype(np.uint8) for _ in range(3)])


def test_cubes_have_as_many_dimensions_as_materials_and_no_negative_values():
    x = pseudo_cubes(crops(), 0, 6, 24, 10, generator(0), materials=(3, 3))
    assert x.shape == (6, 10, 24, 24) and float(x.min()) >= 0
    for cube in x:
        values = torch.linalg.svdvals(cube.flatten(1).double())
        assert float(values[3]) < 1e-5 * float(values[0])  # at most three
        assert float(values[1]) > 1e-4 * float(values[0])


def test_the_same_step_gives_the_same_cubes():
    a, b = (pseudo_cubes(crops(), 4, 2, 16, 10, generator(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, pseudo_cubes(crops(), 5, 2, 16, 10, generator(1)))


def test_spectra_are_smoother_with_a_longer_correlation():
    short, long = (spectra(400, 10, (n, n), generator(2)).diff(dim=1).square().mean() for n in (3.0, 30.0))
    assert float(long) < 0.05 * float(short)
    # a Gaussian process of correlation length n changes from band to band by 1/n; the logistic slope is at most 1/4
    assert float(short) ** 0.5 < 0.25 / 3


def test_jitter_moves_pixels_and_leaves_spectra_whole():
    """All bands of a cube move alike: a cube of rank one stays one."""
    x = torch.rand(40, 1, 16, 16, generator=generator(3)) * torch.linspace(1, 2, 5)[None, :, None, None]
    y = jitter(x, generator(4))
    torch.testing.assert_close(y, y[:, :1] * torch.linspace(1, 2, 5)[None, :, None, None])
    moved = (y != x).flatten(1).any(1).float().mean()
    assert 0.5 < float(moved) < 0.95
    assert float(y.max()) <= float(x.max()) and float(y.min()) >= float(x.min())
