"""Sums over pieces of a cube are those of the whole, with and without holes."""

import itertools

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.cube_profile import analyse_cube
from unnoise.noise.cube_statistics import CubeStatistics, piece_statistics
from unnoise.noise.spectral import gram


@pytest.fixture
def y():
    a, b = (torch.rand(s, generator=generator(i)) for i, s in enumerate([(8, 3), (3, 400)]))
    return a @ b + 0.05 * torch.randn(8, 400, generator=generator(2))


def summed(y, valid, cuts=(37, 200, 256)):
    edges = [0, *cuts, y.shape[1]]
    pieces = [piece_statistics(y[:, a:b], valid[:, a:b]) for a, b in itertools.pairwise(edges)]
    total = pieces[-1]
    for piece in reversed(pieces[:-1]):
        total = total + piece
    return total


def test_pieces_add_up_to_the_whole(y):
    total = summed(y, torch.ones_like(y, dtype=torch.bool))
    assert torch.allclose(total.gram(), gram(y), rtol=1e-12)
    assert torch.equal(total.low, y.amin(1).double()) and torch.equal(total.high, y.amax(1).double())
    assert total.complete == total.pixels == 400 and total.live == tuple(range(8))


@pytest.mark.parametrize("holes", ["blank pixels", "an empty band", "a band missing in one piece", "a constant band"])
def test_the_profile_is_that_of_the_whole_cube(y, holes):
    valid = torch.ones_like(y, dtype=torch.bool)
    if holes == "blank pixels":
        valid[:, 30:90] = False
    elif holes == "an empty band":
        valid[3] = False
    elif holes == "a band missing in one piece":
        valid[2, 200:256] = False
        valid[5, 10] = False
    else:
        y[4] = 7.0
    y = torch.where(valid, y, torch.nan)
    whole = analyse_cube(y[:, :, None], valid[:, :, None])
    found = summed(torch.where(valid, y, 0.0), valid).profile()
    assert torch.allclose(torch.tensor(found.sigma), torch.tensor(whole.sigma), rtol=1e-9)
    for name in ("constant", "empty", "missing", "partly", "pixels", "live"):
        assert getattr(found, name) == getattr(whole, name), name


def test_they_come_back_from_their_file(y, tmp_path):
    total = summed(y, y > y.amin())
    total.save(tmp_path / "a.npz", done=torch.arange(3).numpy())
    back, more = CubeStatistics.load(tmp_path / "a.npz")
    assert torch.equal(back.gram(), total.gram()) and back.complete == total.complete
    assert more["done"].tolist() == [0, 1, 2]


def test_nothing_measured_is_said(y):
    with pytest.raises(InputError, match="no values at all"):
        piece_statistics(y, torch.zeros_like(y, dtype=torch.bool)).profile()
