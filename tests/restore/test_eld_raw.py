"""Method "eld" at the door: dark raw files, amplified and through a network of their camera."""

import numpy as np
import pytest

import unnoise
from unnoise.data.raw import PATTERNS, Raw, flips
from unnoise.errors import InputError, MissingData
from unnoise.restore.eld import ELD
from unnoise.restore.eld_raw import restore_eld
from unnoise.restore.eld_training import train

LEVELS = {"black": 64, "white": 1064}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return train("smoke", out=tmp_path_factory.mktemp("eld"))


@pytest.fixture
def dark():
    return np.random.default_rng(0).poisson(4, (40, 52)).astype(np.uint16) + 64


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_bayer_order_is_the_mirrored_picture(weights, dark, pattern):
    axes = flips(pattern)
    black = (64.0,) * 4
    done = restore_eld(Raw(np.flip(dark, axes), pattern, black, 1064.0), ratio=100, weights=weights)
    straight = restore_eld(Raw(dark, "RGGB", black, 1064.0), ratio=100, weights=weights)
    np.testing.assert_array_equal(np.flip(done.image, axes), straight.image)
    assert done.image.dtype == np.uint16 and "network of the camera SonyA7S2" in done.choice.reason


def test_it_amplifies_in_counts_above_black_and_strength_goes_between(weights, dark):
    def denoise(**more):
        return unnoise.denoise(dark, "eld", kind="raw", ratio=20, weights=weights, **LEVELS, **more)

    amplified = denoise(strength=0.0)
    np.testing.assert_array_equal(amplified, 64 + 20 * (dark - 64))
    full, half = denoise(), denoise(strength=0.5)
    assert not np.array_equal(full, amplified)
    np.testing.assert_allclose(half, (full.astype(float) + amplified) / 2, atol=1.01)


def test_tiles_do_not_show_at_any_size(weights, dark):
    for size in ((40, 52), (37, 51)):
        part = dark[: size[0], : size[1]]
        whole, tiles = (
            unnoise.denoise(part, "eld", kind="raw", ratio=100, weights=weights, tile=tile, **LEVELS)
            for tile in (None, 4)
        )
        assert whole.shape == size
        np.testing.assert_allclose(tiles, whole, atol=1)


def test_mistakes(weights, dark):
    def denoise(x=dark, **more):
        return unnoise.denoise(x, "eld", kind="raw", **{"ratio": 100, "weights": weights, **LEVELS, **more})

    with pytest.raises(MissingData, match="weights=FILE from unnoise train eld"):
        denoise(weights=None)
    with pytest.raises(InputError, match="set ratio, the network learnt 100 to 300"):
        denoise(ratio=None)
    with pytest.raises(InputError, match="ratio must be a finite number > 0, got -3"):
        denoise(ratio=-3.0)
    with pytest.raises(InputError, match="takes 4 colours a cell, a mosaic of pattern mono has 1"):
        denoise(pattern="mono")
    with pytest.raises(InputError, match="holds a Photo, not a low-light network"):
        denoise(weights="photo")
    with pytest.raises(InputError, match="unknown option of method eld 'ratios'"):
        denoise(ratios=3)
    with pytest.raises(InputError, match="method eld does not learn from raw"):
        denoise(adapt=True)
    with pytest.raises(InputError, match="kind='raw'"):
        unnoise.denoise(np.zeros((8, 8), np.uint8), "eld")
    with pytest.raises(InputError, match="takes 9 colours a cell"):
        denoise(weights=ELD(9, width=4, levels=2))
