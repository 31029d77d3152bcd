"""Networks as denoisers of cubes of any size, number of bands and scale."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.restore.hyde.hyres import HyRes
from unnoise.restore.hyde.neural import ARCHITECTURES, Neural
from unnoise.restore.hyde.normalise import band01


def cube(*shape):
    return torch.rand(1, *shape, generator=generator(3))


@pytest.fixture(scope="module")
def qrnn2d():
    torch.manual_seed(0)
    return Neural("qrnn2d", window=16, overlap=(4, 4, 2)).eval()


@pytest.mark.parametrize("shape", [(7, 13, 12), (10, 16, 16), (11, 21, 17), (31, 18, 40)])
def test_any_size_and_number_of_bands(qrnn2d, shape):
    y = cube(*shape)
    x = qrnn2d(y)
    assert x.shape == y.shape and bool(torch.isfinite(x).all()) and not torch.equal(x, y)


def test_the_result_does_not_depend_on_how_many_windows_go_at_once(qrnn2d):
    y = cube(13, 23, 30)
    one, many = (Neural("qrnn2d", window=16, overlap=(4, 4, 2), batch=b).eval() for b in (1, 7))
    one.load_state_dict(qrnn2d.state_dict())
    many.load_state_dict(qrnn2d.state_dict())
    torch.testing.assert_close(one(y), many(y), rtol=0, atol=1e-5)


def test_one_window_is_the_network_itself():
    torch.manual_seed(0)
    d = Neural("qrnn2d", band_window=None, window=None).eval()
    y = cube(12, 16, 20) * 300 + 40
    kept = band01(y)
    with torch.no_grad():
        expected = kept.back(d.net(kept.to(y)[:, None])[:, 0])
    torch.testing.assert_close(d(y), expected, rtol=1e-5, atol=1e-3)


def test_scale_and_offset_of_a_band_do_not_matter(qrnn2d):
    y = cube(10, 16, 16)
    gain = torch.linspace(0.5, 2000, 10).reshape(1, -1, 1, 1)
    torch.testing.assert_close(qrnn2d(gain * y + 7), gain * qrnn2d(y) + 7, rtol=1e-4, atol=1e-2)


def test_sides_that_are_no_multiple_of_four_are_mirrored(qrnn2d):
    """The last rows come from a mirrored cube: as if the mirror image had been there, and was cut off."""
    y = cube(10, 14, 12)
    y[..., 0, 0], y[..., 0, 1] = 0, 1  # the extent of the bands is the same with and without the mirror
    longer = torch.cat([y, y[:, :, [12, 11]]], 2)
    torch.testing.assert_close(qrnn2d(y), qrnn2d(longer)[:, :, :14], rtol=0, atol=1e-5)


def test_few_bands_are_mirrored_for_networks_that_take_ten():
    torch.manual_seed(0)
    d = Neural("denet").eval()
    y = cube(4, 9, 8)
    y[..., 0, 0], y[..., 0, 1] = 0, 1
    longer = y[:, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]]
    torch.testing.assert_close(d(y), d(longer)[:, :4], rtol=0, atol=1e-5)
    assert d(y).shape == y.shape


@pytest.mark.parametrize("name", ["memnet_hyres", "memnet3d_hyres"])
def test_hyres_goes_before_the_networks_named_after_it(name):
    torch.manual_seed(0)
    d = Neural(name).eval()
    y = cube(10, 24, 24)
    assert torch.equal(d.prepare(y).reshape(y.shape), HyRes()(y)) and not torch.equal(HyRes()(y), y)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_runs(name):
    torch.manual_seed(0)
    y = cube(10, 12, 12)
    assert Neural(name).eval()(y).shape == y.shape


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match="qrnn2d"):
        Neural("qrnn2")
    with pytest.raises(InputError, match="memnet takes 10 bands"):
        Neural("memnet", band_window=None)
