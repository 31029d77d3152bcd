"""Raw data through the door: cleaner, in its own counts, by a fitted, given or calibrated law."""

import numpy as np
import pytest
import torch

import unnoise
from unnoise.data.raw import PATTERNS, Raw, as_raw, unpack
from unnoise.errors import InputError
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, SensorNoise
from unnoise.restore.raw import restore_raw

BLACK, WHITE = 64, 4000


@pytest.fixture(scope="module")
def scene():
    """A clean mosaic of a photograph and a noisy one, in counts."""
    from skimage import data

    linear = torch.from_numpy(data.astronaut()[:192, 150:342].astype(np.float32) / 255).pow(2.2).permute(2, 0, 1)[None]
    r, g, b = linear.unbind(1)
    packed = torch.stack([r[:, ::2, ::2], g[:, ::2, 1::2], g[:, 1::2, ::2], b[:, 1::2, 1::2]], 1) * 0.3
    noise = SensorNoise(gain=8.0, read=5.0, scale=WHITE - BLACK, model="PTQ")
    like = as_raw(np.zeros((192, 192), np.uint16), black=BLACK, white=WHITE)
    return unpack(packed, like), unpack(noise.sample(packed, generator(0)), like)


def rms(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def test_a_mosaic_comes_back_cleaner(scene):
    clean, noisy = scene
    x_hat = unnoise.denoise(noisy, kind="raw", black=BLACK, white=WHITE)
    assert x_hat.dtype == noisy.dtype and x_hat.shape == noisy.shape
    assert rms(x_hat, clean) < 0.55 * rms(noisy, clean)
    np.testing.assert_array_equal(unnoise.denoise(noisy, kind="raw", black=BLACK, white=WHITE, strength=0), noisy)


def test_a_calibrated_camera_does_as_well_as_the_truth(scene):
    clean, noisy = scene
    raw = as_raw(noisy, black=BLACK, white=WHITE)
    sony = CameraNoise.load("SonyA7S2")
    one = {"gains": (8.0, 8.0), "black": BLACK, "white": WHITE, "row": type(sony.row)(0.0, -9.0, 0.0)}
    read = type(sony.row)(0.0, float(np.log(5.0)), 0.0)
    camera = CameraNoise(**{**sony.__dict__, **one, "read": read})
    done = restore_raw(raw, camera=camera)
    assert "K = 8" in done.choice.reason and done.law.gain == pytest.approx(8 / (WHITE - BLACK))
    assert rms(done.raw.mosaic, clean) < 0.55 * rms(noisy, clean)


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_the_order_of_the_colours_does_not_matter(scene, pattern):
    """A mirrored mosaic is another order; its result is the mirrored result."""
    _, noisy = scene
    axes = tuple(axis for axis, bit in ((0, pattern.index("R") // 2), (1, pattern.index("R") % 2)) if bit)
    straight = restore_raw(Raw(noisy, "RGGB", (BLACK,) * 4, WHITE)).raw.mosaic
    mirrored = restore_raw(Raw(np.flip(noisy, axes), pattern, (BLACK,) * 4, WHITE)).raw.mosaic
    np.testing.assert_array_equal(np.flip(mirrored, axes), straight)


def test_tiles_do_not_show(scene):
    _, noisy = scene
    raw = as_raw(noisy, black=BLACK, white=WHITE)
    a, b = restore_raw(raw, tile=32).raw.mosaic, restore_raw(raw).raw.mosaic
    assert np.abs(a.astype(int) - b).max() <= 1  # rounding to counts


def test_files_go_in_and_come_out(scene, tmp_path):
    import tifffile

    clean, noisy = scene
    tifffile.imwrite(tmp_path / "m.tif", noisy)
    done = unnoise.denoise_file(
        tmp_path / "m.tif", tmp_path / "x.npy", kind="raw", black=BLACK, white=WHITE, sigma=40.0
    )
    assert "40 counts, as given" in done.choice.reason
    assert rms(np.load(tmp_path / "x.npy"), clean) < rms(noisy, clean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "median"}, "does not take raw mosaics"),
        ({"method": "dtc"}, "did you mean 'dct'"),
        ({"sigma": -1.0}, "sigma must be"),
        ({"camera": "SonyA7S2"}, "does not say its ISO"),
        ({"calibrate": True}, "leave it out"),
        ({"pattern": "RGBW"}, "unknown Bayer order"),
    ],
)
def test_mistakes(scene, arguments, message):
    with pytest.raises(InputError, match=message):
        unnoise.denoise(scene[1], kind="raw", **arguments)
    with pytest.raises(InputError, match="colour picture"):
        unnoise.denoise(np.zeros((8, 8, 3), np.uint16), kind="raw")
