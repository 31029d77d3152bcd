"""The profile of a picture: levels, verdicts and words, on photographs with noise put in and on degenerate input."""

import json
import math

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.models import Correlated, Gaussian, Impulse, Jpeg, PoissonGaussian
from unnoise.noise.profile import analyse
from unnoise.noise.seeds import generator


@pytest.mark.parametrize("level,tolerance", [(3, 0.25), (5, 0.12), (15, 0.06), (25, 0.05), (50, 0.04)])
def test_level_of_white_noise(photos, level, tolerance):
    for x in photos.values():
        profile = analyse(Gaussian(level / 255).sample(x, generator(0, level)))
        assert abs(profile.level * 255 / level - 1) < tolerance
        assert not profile.clean
        assert not profile.correlated


def test_levels_of_channels():
    sigma = torch.tensor([0.02, 0.05, 0.1]).reshape(1, 3, 1, 1)
    y = Gaussian(sigma).sample(torch.full((1, 3, 256, 256), 0.5), generator(1))
    assert torch.allclose(torch.tensor(analyse(y).sigma), sigma.flatten(), rtol=0.05)
    assert math.isclose(analyse(y).level, float(sigma.square().mean().sqrt()), rel_tol=0.05)


def test_correlated_noise_is_measured_in_full(photos):
    noise = Correlated(8 / 255, width=0.7)
    for x in photos.values():
        profile = analyse(noise.sample(x, generator(2)))
        assert abs(profile.level * 255 / 8 - 1) < 0.32  # texture adds
        assert abs(profile.correlation_x[0] - float(noise.correlation(0, 1))) < 0.12
        assert profile.correlated
        assert "spatially correlated" in profile.describe()


def test_clean_photographs_are_told_from_weak_noise(photos):
    for x in photos.values():
        assert analyse(x).clean
        assert analyse(x).describe().startswith("clean")
        assert not analyse(Gaussian(3 / 255).sample(x, generator(3))).clean


def test_photon_noise_grows_with_brightness():
    x = torch.linspace(0.02, 0.95, 512).expand(1, 1, 512, 512)
    noise = PoissonGaussian(0.01, 0.01)
    profile = analyse(noise.sample(x, generator(4)))
    assert abs(profile.gain / 0.01 - 1) < 0.1
    assert abs(profile.level / float(noise.std(x).square().mean().sqrt()) - 1) < 0.15  # one level for many
    assert "grows with brightness" in profile.describe()


def test_impulses_and_jpeg_are_named(photos):
    assert "impulses" in analyse(Impulse(0.05).sample(photos["coffee"], generator(5))).describe()
    assert "JPEG grid" in analyse(Jpeg(30).sample(photos["coffee"])).describe()


def test_large_pictures_are_sampled_and_agree_with_their_parts(photos):
    x = photos["coffee"].repeat(1, 1, 4, 4)
    y = Gaussian(10 / 255).sample(x, generator(6))
    profile = analyse(y)
    assert abs(profile.level * 255 - 10) < 0.5
    assert profile.size == tuple(x.shape[2:])
    assert analyse(y) == profile


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (15, 15), (16, 16), (17, 31), (1, 900), (300, 40)])
@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, "noise", "nan"])
def test_every_number_is_finite(size, fill):
    y = torch.rand(3, *size) if fill == "noise" else torch.full((3, *size), float(fill))
    text = json.dumps(analyse(y).to_dict(), allow_nan=False)
    assert json.loads(text)["size"] == list(size)
    if fill != "noise":
        assert analyse(y).level < 1e-4


def test_one_picture_at_a_time():
    with pytest.raises(InputError, match="one picture"):
        analyse(torch.zeros(2, 3, 32, 32))
