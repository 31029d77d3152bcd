"""The sensor's noise against its closed forms; cameras draw what their lines say."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from unnoise.errors import InputError
from unnoise.noise.seeds import generator, generators
from unnoise.noise.sensor import CameraNoise, SensorNoise, cameras
from unnoise.noise.tukey import standard_deviation

FULL = SensorNoise(gain=2.0, read=3.0, shape=-0.05, row=1.5, column=0.7, bias=(1.0, 2.0, 3.0, 4.0), scale=1000.0)


def test_photon_transfer_of_photons_alone():
    e = 37.3
    noise = replace(FULL, model="P", scale=1.0)
    d = noise.sample(torch.full((1, 1, 1000, 1000), e), generator(0)).double()
    counts = d / noise.gain
    assert torch.equal(counts, counts.round())
    assert float(d.mean()) == pytest.approx(e, abs=4 * math.sqrt(2 * e / 1e6))
    assert float(d.var()) == pytest.approx(2 * e, rel=0.01)


@pytest.mark.parametrize("model", ["PTRVCQ", "pGQ", "PTRQ", "T"])
def test_variance_is_the_sum_of_the_terms(model):
    noise = replace(FULL, model=model, gauss=4.0)
    x = torch.full((40, 4, 50, 50), 0.05)
    d = noise.sample(x, generator(1)) * 1000
    expected = noise.std(x[:1])[0, 0, 0, 0] * 1000
    assert float(d.std(0).square().mean().sqrt()) == pytest.approx(float(expected), rel=0.03)


def test_parts_of_the_variance():
    read = (3 * standard_deviation(-0.05)) ** 2
    assert replace(FULL, model="TRVQ").dark_variance() == pytest.approx(read + 1.5**2 + 0.7**2 + 1 / 12)
    assert replace(FULL, model="Q").dark_variance() == pytest.approx(1 / 12)
    u = replace(FULL, model="Q").dark(torch.zeros(1, 1, 500, 500), generator(0))
    assert float(u.var()) == pytest.approx(1 / 12, rel=0.02) and float(u.abs().max()) <= 0.5


def test_a_sensor_row_is_one_draw_over_its_colours():
    d = replace(FULL, model="R").dark(torch.zeros(2, 4, 2000, 5), generator(2))
    r, g1, g2, b = d.unbind(1)
    assert torch.equal(r, g1) and torch.equal(g2, b) and torch.equal(r, r[..., :1].expand_as(r))
    rows = torch.stack([r[..., 0], g2[..., 0]]).double()
    assert float(rows.std()) == pytest.approx(1.5, rel=0.03)
    assert abs(float(torch.corrcoef(rows.reshape(2, -1))[0, 1])) < 0.07
    columns = replace(FULL, model="V").dark(torch.zeros(1, 4, 6, 9), generator(2))
    assert torch.equal(columns[:, 0], columns[:, 2]) and torch.equal(columns[:, 1], columns[:, 3])
    assert torch.equal(columns, columns[:, :, :1].expand_as(columns))


def test_offsets_lie_where_the_colours_do():
    packed = replace(FULL, model="C").dark(torch.zeros(1, 4, 2, 3))
    mosaic = replace(FULL, model="C").dark(torch.zeros(1, 1, 4, 6))
    assert torch.equal(torch.nn.functional.pixel_shuffle(packed, 2), mosaic)
    assert mosaic[0, 0, :2, :2].tolist() == [[1, 2], [3, 4]]


def test_scaling_all_digital_numbers_changes_nothing_in_the_picture():
    twice = {k: 2 * getattr(FULL, k) for k in ("gain", "read", "row", "column", "step", "scale")}
    double = replace(FULL, bias=tuple(2 * b for b in FULL.bias), **twice)
    x = torch.rand(1, 4, 20, 20, generator=generator(3))
    assert torch.allclose(FULL.sample(x, generator(4)), double.sample(x, generator(4)), atol=1e-6)


def test_the_dark_signal_is_not_rounded_and_clipping_is_a_choice():
    x = torch.full((1, 1, 400, 400), 0.01)
    noise = SensorNoise(gain=1.0, scale=1000.0, ratio=100.0, model="P")  # a tenth of a photon a pixel
    assert float(noise.sample(x, generator(5)).mean()) == pytest.approx(0.01, rel=0.05)
    dark = replace(noise, model="G", gauss=5.0)
    zero = torch.zeros(1, 1, 100, 100)
    assert float(dark.sample(zero, generator(6)).min()) < 0
    clipped = replace(dark, clip=(0.0, 1.0)).sample(zero, generator(6))
    assert float(clipped.min()) == 0 and float(clipped.mean()) > 0.05


def test_a_sample_has_its_own_noise_in_any_batch():
    x = torch.rand(3, 4, 8, 8)
    many = FULL.sample(x, generators(7, [0, 1, 2]))
    assert torch.equal(many[1:2], FULL.sample(x[1:2], generators(7, [1])))
    assert not torch.equal(FULL.dark(x, generator(7, 0)), FULL.dark(x, generator(7, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain": 0.0}, "gain must be a finite number > 0, got 0"),
        ({"ratio": -1.0}, "ratio must be"),
        ({"model": "PX"}, "letters other than"),
        ({"model": "Pp"}, "both P and p"),
        ({"bias": (1.0, 2.0)}, "bias has 2 numbers"),
    ],
)
def test_mistakes(change, message):
    with pytest.raises(InputError, match=message):
        replace(FULL, **change)
    with pytest.raises(InputError, match="packed raw"):
        FULL.sample(torch.zeros(1, 3, 4, 4))


def test_joint_sampling_returns_the_lines():
    camera = CameraNoise.load("SonyA7S2")
    g = torch.Generator().manual_seed(0)
    drawn = [camera.sample(g) for _ in range(20_000)]
    log_gain = np.log([n.gain for n in drawn])
    low, high = np.log(camera.gains)
    assert kstest((log_gain - low) / (high - low), "uniform").pvalue > 1e-3
    for name in ("read", "row", "gauss"):
        line = getattr(camera, name)
        y = np.log([getattr(n, name) for n in drawn])
        slope, intercept = np.polyfit(log_gain, y, 1)
        spread = (y - slope * log_gain - intercept).std()
        assert (slope, intercept, spread) == pytest.approx((line.slope, line.intercept, line.spread), abs=0.01)


def test_the_five_cameras_of_the_paper():
    assert cameras() == ["CanonEOS5D4", "CanonEOS700D", "CanonEOS70D", "NikonD850", "SonyA7S2"]
    sony = CameraNoise.load("SonyA7S2")
    assert sony.gains == (0.093916, 6.010629) and sony.white - sony.black == 15583
    assert 0.0 in sony.shapes and len(sony.shapes) == len(sony.bias) == 18
    assert (sony.read.slope, sony.read.intercept, sony.read.spread) == (0.462105, 0.565715, 0.263371)


def test_a_file_of_twelve_bits_is_a_quarter():
    camera = CameraNoise.load("NikonD850")
    small = camera.rescaled(0.25)
    assert small.white - small.black == (camera.white - camera.black) / 4
    for name in ("read", "row", "gauss"):
        assert getattr(small.at(0.5), name) == pytest.approx(getattr(camera.at(2.0), name) / 4)


def test_json_round_trip_and_damage(tmp_path):
    camera = CameraNoise.load("CanonEOS5D4")
    path = tmp_path / "c.json"
    path.write_text(camera.to_json())
    assert CameraNoise.load(path) == camera
    path.write_text("{}")
    with pytest.raises(InputError, match=r"c\.json is not a camera file"):
        CameraNoise.load(path)
    with pytest.raises(InputError, match="did you mean 'SonyA7S2'"):
        CameraNoise.load("SonyA7S")
