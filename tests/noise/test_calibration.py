"""Calibration: drawn frames give their parameters back, a real camera gives its published ones."""

import math

import numpy as np
import pytest
import torch

from unnoise.data.catalog import root
from unnoise.errors import InputError
from unnoise.noise.calibration import calibrate, photon_transfer, spectrum, synthetic_beside_real, temporal
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, SensorNoise

BLACK, WHITE = 200.0, 4095.0
TRUE = SensorNoise(gain=0.8, read=2.0, shape=0.0, row=0.6, bias=(0.5, -0.5, 1.0, 0.0), scale=WHITE - BLACK)


def shot(noise, level, seed, size=(160, 240)):
    """A frame in counts, of a surface at `level` DN."""
    x = torch.full((1, 1, *size), level / noise.scale)
    y = noise.sample(x, generator(seed))[0, 0].double().numpy() * noise.scale + BLACK
    return np.clip(np.rint(y), 0, WHITE)


def frames(noise, dark=6, levels=(200, 600, 1200, 2000, 2600)):
    # the counts are rounded here, so the model's own rounding term is left out
    noise = SensorNoise(**{**noise.__dict__, "model": "PTRC"})
    bias = [shot(noise, 0.0, i) for i in range(dark)]
    flats = [[shot(noise, level, 1000 * level + k) for k in range(2)] for level in levels]
    return bias, flats


@pytest.fixture(scope="module")
def drawn():
    return frames(TRUE)


def test_what_was_drawn_is_found_again(drawn):
    bias, flats = drawn
    camera, [fit] = calibrate({100: bias}, {100: flats}, pattern="RGGB", black=BLACK, white=WHITE)
    assert fit.gain == pytest.approx(0.8, rel=0.02)
    assert float(fit.read.mean()) == pytest.approx(2.0, rel=0.02)
    assert float(fit.shape.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(fit.row.mean()) == pytest.approx(0.6, rel=0.1)
    assert fit.bias == pytest.approx(TRUE.bias, abs=0.1)
    assert float(fit.column.mean()) < 0.1
    assert camera.read.slope == 0 and camera.gains == (fit.gain, fit.gain)


@pytest.mark.slow
def test_nine_iso_values_of_a_released_camera_come_back():
    sony = CameraNoise.load("SonyA7S2")
    gains = np.geomspace(*sony.gains, 9)
    bias, flats = {}, {}
    for i, k in enumerate(gains):
        noise = SensorNoise(**{**sony.at(float(k)).__dict__, "shape": sony.shapes[2 * i], "scale": WHITE - BLACK})
        bias[100 * 2**i], flats[100 * 2**i] = frames(noise, 4, (300, 1000, 2000))
    camera, fits = calibrate(bias, flats, pattern="RGGB", black=BLACK, white=WHITE)
    for name in ("read", "row", "gauss"):
        ours, theirs = getattr(camera, name), getattr(sony, name)
        if name != "gauss":
            assert (ours.slope, ours.intercept) == pytest.approx((theirs.slope, theirs.intercept), abs=0.05)
    found = [float(f.shape.mean()) for f in fits]
    assert found == pytest.approx(sony.shapes[::2], abs=0.02)
    assert camera.gains == pytest.approx(sony.gains, rel=0.02)


def test_fixed_pattern_misleads_single_frames_only(drawn):
    bias, flats = drawn
    pattern = 1 + 0.02 * np.random.RandomState(0).standard_normal(bias[0].shape)
    lit = [[(f - BLACK) * pattern + BLACK for f in g] for g in flats]
    _, [pairs] = calibrate({1: bias}, {1: lit}, black=BLACK, white=WHITE)
    _, [spatial] = calibrate({1: bias}, {1: lit}, black=BLACK, white=WHITE, method="spatial")
    assert pairs.gain == pytest.approx(0.8, rel=0.02) and spatial.gain > 1.5 * pairs.gain


def test_clipped_exposures_are_left_out(drawn):
    bias, flats = drawn
    full = [*flats, [np.full_like(bias[0], WHITE)] * 2]
    mean, _, used = photon_transfer(full, bias, "mono", WHITE, "pairs")
    assert not used[-1] and mean[used].max() <= 0.7 * 2600 + 1


def test_temporal_frames_have_the_variance_of_one_frame():
    noise = np.random.RandomState(0).standard_normal((5, 100, 100))
    scene = 50 * np.random.RandomState(1).standard_normal((100, 100))
    assert np.mean([f.var() for f in temporal(list(noise + scene))]) == pytest.approx(1, rel=0.02)


DARK = [np.full((20, 24), 50.0) + np.random.RandomState(i).standard_normal((20, 24)) for i in range(3)]
LIT = [[DARK[0] + 100 * k, DARK[1] + 100 * k] for k in (1, 2, 3)]


@pytest.mark.parametrize(
    ("bias", "flats", "options", "message"),
    [
        ({1: DARK[:1]}, {1: LIT}, {}, "ISO 1 has 1 bias frame"),
        ({1: DARK}, {2: LIT}, {}, "ISO 1, 2 has bias frames or flats but not both"),
        ({1: [*DARK, DARK[0][:18]]}, {1: LIT}, {}, "24 x 18 and 24 x 20"),
        ({1: [*DARK, DARK[0] + 80]}, {1: LIT}, {}, "means lie between 50.* and 130.*, those of the flats between 150"),
        (
            {1: [d + 160 for d in DARK]},
            {1: LIT},
            {},
            "means lie between 210.* and 210.*, those of the flats between 150",
        ),
        ({1: [d + 60 for d in DARK]}, {1: LIT}, {"black": 50.0}, "between 110.* and 110.* black is 50; cover the lens"),
        ({1: [d * 0 for d in DARK]}, {1: LIT}, {}, "100% of a bias frame of ISO 1 is clipped at 0"),
        ({1: DARK}, {1: [g[:1] for g in LIT]}, {}, "mean 150.* has 1 frame, pairs need 2"),
        ({1: DARK}, {1: LIT[:1]}, {}, "1 flat exposure, a line needs 2"),
        ({1: DARK}, {1: LIT}, {"white": 60.0}, "all 3 flat exposures clip"),
        ({1: DARK}, {1: LIT}, {"pattern": "RGBG"}, "unknown Bayer order"),
        ({1: [d[:19] for d in DARK]}, {1: [[f[:19] for f in g] for g in LIT]}, {"pattern": "RGGB"}, "24 x 19"),
        ({1: [np.dstack([d] * 3) for d in DARK]}, {1: LIT}, {}, "is a colour picture"),
    ],
)
def test_frames_that_cannot_be_used(bias, flats, options, message):
    with pytest.raises(InputError, match=message):
        calibrate(bias, flats, **options)


@pytest.fixture(scope="module")
def emva():
    from PIL import Image

    folder = root()
    if folder is None or not (folder / "emva1288_set001").is_dir():
        pytest.skip("needs the data set 'emva1288'")
    folder = folder / "emva1288_set001"

    def load(pattern):
        return [np.asarray(Image.open(p)) for p in sorted(folder.glob(pattern))]

    return load("d_s_*.png"), [load(f"b_{i:03d}_*.png") for i in range(0, 50, 3)]


def test_a_real_camera(emva):
    """EMVA 1288 reference set 001, a CCD: K 0.28, rows 0.50 DN, lambda 0.13; drawn noise has the rows of real noise."""
    dark, flats = emva
    camera, [fit] = calibrate({100: dark[:16]}, {100: flats})
    assert 0.27 < fit.gain < 0.29 and 0.27 < fit.slope < 0.29
    assert 0.45 < float(fit.row.mean()) < 0.56
    assert 0.10 < float(fit.shape.mean()) < 0.16
    assert float(fit.column.mean()) < 0.05
    assert fit.fit_tukey > fit.fit_normal > 0.999
    found = synthetic_beside_real(camera, dark[-12:])
    real = found["real"]
    assert found["Tukey-lambda and rows"].rows == pytest.approx(real.rows, rel=0.1)
    assert found["Gaussian"].rows < 0.3 * real.rows
    assert found["Tukey-lambda and rows"].std == pytest.approx(real.std, rel=0.01)
    assert math.isclose(real.divergence, 0, abs_tol=1e-12)


def test_row_noise_is_a_vertical_line_of_the_spectrum():
    rng = np.random.default_rng(0)
    white = rng.standard_normal((256, 400))
    flat = spectrum(white)
    assert flat.shape == (128, 128) and float(flat.mean()) == pytest.approx(1, rel=0.05)
    shown = spectrum(white + 0.5 * rng.standard_normal((256, 1)))
    # a row of 128 pixels holds its shared part 128 times: 1 + 128 / 4, in units of all the variance
    assert float(np.delete(shown[:, 64], 64).mean()) == pytest.approx((1 + 32) / 1.25, rel=0.2)
    assert float(np.delete(shown, 64, 1).mean()) == pytest.approx(1 / 1.25, rel=0.05)
    assert spectrum(white[:30, :20]).shape == (30, 20)
