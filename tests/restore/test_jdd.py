"""From a raw mosaic to linear RGB through Wild-JDD: Bayer orders, tiles, the curve, the door."""

import numpy as np
import pytest
import torch

import unnoise
from unnoise.data.raw import PATTERNS, Raw, balanced, develop
from unnoise.data.samples import sample_photo
from unnoise.errors import InputError
from unnoise.metrics import psnr
from unnoise.noise.demosaick import mosaic as bayer
from unnoise.noise.models import PoissonGaussian
from unnoise.noise.seeds import generator
from unnoise.restore.door import restore
from unnoise.restore.jdd import Curve, demosaic_denoise, network, restore_jdd
from unnoise.restore.raw import restore_raw
from unnoise.restore.wild_jdd import WildJDD
from unnoise.studies.wild_jdd import noise_map

LAW = PoissonGaussian(0.01, 0.004)
NO_LIGHT = PoissonGaussian(0.0, 0.01)


@pytest.fixture
def net():
    """As if it had learnt."""
    torch.manual_seed(0)
    net = WildJDD(width=8, groups=0, blocks=1, precision="float32").eval().requires_grad_(False)
    for p in net.parameters():
        if not bool(p.any()):
            p.normal_(0, 0.02)
    return net


@pytest.fixture
def mosaic():
    return np.random.default_rng(0).integers(100, 900, (24, 32)).astype(np.uint16)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_bayer_order_is_the_mirrored_picture(net, mosaic, pattern):
    axes = tuple(a for a, bit in ((0, pattern.index("R") // 2), (1, pattern.index("R") % 2)) if bit)
    rgb, sigma = demosaic_denoise(net, Raw(np.flip(mosaic, axes), pattern, white=1000), LAW)
    expected, expected_sigma = demosaic_denoise(net, Raw(mosaic, "RGGB", white=1000), LAW)
    assert rgb.shape == sigma.shape == (24, 32, 3) and rgb.dtype == np.float32
    np.testing.assert_array_equal(np.flip(rgb, axes), expected)
    np.testing.assert_array_equal(np.flip(sigma, axes), expected_sigma)


@pytest.mark.parametrize("size", [(24, 32), (23, 31)])
def test_tiles_do_not_show(net, mosaic, size):
    raw = Raw(mosaic[: size[0], : size[1]], "GBRG", white=1000)
    for whole, tiles in zip(demosaic_denoise(net, raw, LAW), demosaic_denoise(net, raw, LAW, tile=6), strict=True):
        np.testing.assert_allclose(tiles, whole, atol=2e-6)


def test_without_noise_to_take_the_curve_changes_nothing(mosaic):
    """A new network is the interpolation; of even light it is that light."""
    fresh = WildJDD(width=8, groups=0, blocks=1).eval()
    flat = Raw(np.full((12, 16), 400, np.uint16), "RGGB", (16.0,) * 4, 1000.0)
    rgb, _ = demosaic_denoise(fresh, flat, NO_LIGHT)
    np.testing.assert_allclose(rgb, 384 / 984, atol=1e-6)


def test_the_curve_is_undone_and_its_slope_is_its_derivative():
    curve = Curve(LAW, (2.0, 1.0, 1.5))
    x = torch.linspace(-0.003, 1.0, 50, dtype=torch.float64).expand(1, 4, 1, 50).clone().requires_grad_()
    z = curve(x.clone())
    colours = [0, 1, 3]
    assert torch.allclose(curve.straight(z[:, colours]), x[:, colours], atol=1e-9)
    [dz] = torch.autograd.grad(z.sum(), x)
    assert torch.allclose(1 / dz[:, colours, :, 5:], curve.slope(x[:, colours])[..., 5:])
    y = LAW.sample(torch.full((1, 4, 100, 100), 0.3), torch.Generator().manual_seed(0))
    even = Curve(LAW)
    assert float(even(y).std() / even.level[0, 1]) == pytest.approx(1.0, rel=0.02)
    levels = curve(LAW.sample(torch.full((1, 4, 100, 100), 0.3), torch.Generator().manual_seed(0))).std((0, 2, 3))
    assert torch.allclose(levels[[0, 1, 3]], curve.level.flatten().float(), rtol=0.03)
    assert float(even.inverse(even(y)[:, :3].mean((2, 3), keepdim=True)).mean()) == pytest.approx(0.3, rel=0.005)


def exposed(name, gain, read):
    """A photograph as a sensor sees it: linear, before white balance, with photons and read noise; and the truth."""
    gains = np.array([2.0, 1.0, 1.6])
    linear = sample_photo(name)[:96, 100:228].astype(np.float64) ** 2.2 / gains
    packed = torch.from_numpy(linear.transpose(2, 0, 1).copy()).float()[None]
    noisy = PoissonGaussian(gain, read).sample(bayer(packed), torch.Generator().manual_seed(1))[0, 0].numpy()
    counts = np.rint(noisy * 15000 + 500).clip(0, 16383).astype(np.uint16)
    return Raw(counts, "RGGB", (500.0,) * 4, 15500.0, gains=tuple(gains)), linear * gains


@pytest.mark.parametrize(("gain", "read"), [(1e-4, 5e-4), (2e-3, 2e-3), (1e-2, 5e-3)])
def test_the_network_is_better_than_planes_denoised_and_interpolated(gain, read):
    """Why `auto` takes it where colours are wanted."""

    def quality(picture, truth):
        return psnr((picture / 65535 * 2).clip(0, 1) ** (1 / 2.2), truth.clip(0, 1) ** (1 / 2.2), border=8)

    for name in ("astronaut", "coffee"):
        raw, truth = exposed(name, gain, read)
        one = quality(balanced(restore_jdd(raw).rgb, raw), truth)
        assert one > quality(develop(restore_raw(raw).raw), truth) + 0.5 > quality(develop(raw), truth)


def test_the_networks_noise_map_finds_the_noise_in_pictures_with_texture():
    """Deviation of level 0 to 20 that varies over the picture; without knowing it."""
    pictures = [
        torch.from_numpy(sample_photo(n)[:192, :192].transpose(2, 0, 1).copy())[None] for n in ("astronaut", "coffee")
    ]
    correlation, calibration = noise_map(network(), pictures, 20, 0)
    # over two pictures levels differ little; a map that took texture for noise had 0.18 and 0.51 here
    assert correlation > 0.5 and calibration == pytest.approx(1.0, abs=0.25)
    level = 10 / 255
    flat = 0.5 + level * torch.randn(1, 1, 96, 96, generator=generator(0))
    with torch.no_grad():
        assert float(network()(flat).variance().sqrt().mean()) == pytest.approx(level, rel=0.25)


def test_the_door_gives_colours_and_on_request_the_noise(net, mosaic):
    done = restore(mosaic, "jdd", kind="raw", white=1000, weights=net, map=True)
    assert done.image.shape == done.noise.shape == (24, 32, 3) and bool((done.noise > 0).all())
    assert "noise found" in done.choice.reason
    assert restore(mosaic, "jdd", kind="raw", white=1000, weights=net).noise is None
    gentle = unnoise.denoise(mosaic, "jdd", kind="raw", white=1000, weights=net, strength=0.0)
    np.testing.assert_allclose(gentle[4::2, 4::2, 0], mosaic[4::2, 4::2] / 1000, atol=1e-5)


def test_the_door_lets_it_learn_from_the_mosaic(net, mosaic):
    learnt = unnoise.denoise(mosaic, "jdd", kind="raw", white=1000, weights=net, adapt=True, steps=1)
    assert not np.array_equal(learnt, unnoise.denoise(mosaic, "jdd", kind="raw", white=1000, weights=net))
    with pytest.raises(InputError, match="give sigma or camera in place of sigmas"):
        unnoise.denoise(mosaic, "jdd", kind="raw", white=1000, weights=net, adapt=True, steps=1, sigmas=3)
    with pytest.raises(InputError, match="does not learn from raw"):
        unnoise.denoise(mosaic, "photo", kind="raw", adapt=True)


def test_mistakes(net, mosaic):
    with pytest.raises(InputError, match="without colours"):
        unnoise.denoise(mosaic, "jdd", kind="raw", pattern="mono")
    with pytest.raises(InputError, match="give its levels"):
        unnoise.denoise(mosaic, "jdd", kind="raw", white=200)
    with pytest.raises(InputError, match="not a raw mosaic"):
        unnoise.denoise(np.zeros((8, 8, 3), np.uint16), "jdd", kind="raw")
    with pytest.raises(InputError, match="unknown Bayer order"):
        unnoise.denoise(mosaic, "jdd", kind="raw", pattern="RGBG")
    with pytest.raises(InputError, match="unknown option of method jdd 'weight'"):
        unnoise.denoise(mosaic, "jdd", kind="raw", weight="x")
    with pytest.raises(InputError, match="NaN"):
        unnoise.denoise(np.full((8, 8), np.nan, np.float32), "jdd", kind="raw")
    with pytest.raises(InputError, match="kind='raw'"):
        unnoise.denoise(np.zeros((8, 8), np.uint8), "jdd")
