"""The shipped weights do what their card says; a damaged or wrong weight file fails here."""

import numpy as np
import pytest
import torch
from skimage import data

from unnoise.data.catalog import DATASETS, root
from unnoise.restore.photo import trained
from unnoise.restore.photo_quality import gaussian_psnr

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def photo():
    denoiser = trained().requires_grad_(False)
    denoiser.precision = "float32"
    return denoiser


def noisy(x, level, seed=0):
    """(1, C, H, W) clean and noisy."""
    clean = np.atleast_3d(x).transpose(2, 0, 1)[None] / 255
    y = clean + level / 255 * np.random.RandomState(seed).standard_normal(clean.shape)
    return torch.from_numpy(clean).float(), torch.from_numpy(y).float()


def psnr(x_hat, x):
    return float(-10 * (x_hat.clamp(0, 1) - x).square().mean().log10())


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("astronaut", 25, 32.95),
        ("coffee", 50, 29.90),
        ("chelsea", 15, 33.49),
        ("camera", 25, 32.94),
    ],
)
def test_quality_on_pictures_it_was_not_trained_on(photo, name, level, expected):
    picture = getattr(data, name)()[:300, :300]
    x, y = noisy(picture[40:232, 60:252], level)
    assert psnr(photo(y, level / 255), x) > expected - 0.1


@pytest.mark.parametrize(("name", "level"), [("astronaut", 25), ("coffee", 50), ("chelsea", 15), ("camera", 5)])
def test_the_fast_arithmetic_of_the_method_costs_next_to_nothing(photo, name, level):
    x, y = noisy(getattr(data, name)()[40:232, 60:252], level)
    fast = trained()
    assert fast.precision == "fast" and fast.ranges
    assert psnr(fast(y, level / 255), x) > psnr(photo(y, level / 255), x) - (0.02 if level > 10 else 0.05)


@pytest.mark.parametrize("level", [3, 100, 150])
def test_levels_outside_training_do_not_collapse(photo, level):
    x, y = noisy(data.astronaut()[40:232, 60:252], level)
    gain = psnr(photo(y, level / 255), x) - float(-10 * (y - x).square().mean().log10())
    assert gain > (1.0 if level == 3 else 10.0)


@pytest.mark.parametrize("name", ["bsd68", "cbsd68"])
def test_the_card_tells_the_truth(photo, name):
    if root() is None or not (root() / DATASETS[name].path).is_dir():
        pytest.skip(f"UNNOISE_DATA has no {DATASETS[name].path}")
    # every fourth picture lies this close to all 68
    assert abs(float(gaussian_psnr(photo, name, 25, every=4).mean()) - photo.card.measured[name]["25"]) < 0.5
