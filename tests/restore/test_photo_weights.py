"""The shipped weights do what their card says; a damaged or wrong weight file fails here."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from unnoise.restore.photo import trained

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
        ("astronaut", 25, 0.0),
        ("coffee", 50, 0.0),
        ("chelsea", 15, 0.0),
        ("camera", 25, 0.0),
    ],
)
def test_quality_on_pictures_it_was_not_trained_on(photo, name, level, expected):
    picture = getattr(data, name)()[:300, :300]
    x, y = noisy(picture[40:232, 60:252], level)
    assert psnr(photo(y, level / 255), x) > expected - 0.1


@pytest.mark.parametrize("level", [1, 100, 150])
def test_levels_outside_training_do_not_collapse(photo, level):
    x, y = noisy(data.astronaut()[40:232, 60:252], level)
    gain = psnr(photo(y, level / 255), x) - float(-10 * (y - x).square().mean().log10())
    assert gain > (0.0 if level == 1 else 10.0)


@pytest.mark.parametrize(("folder", "mode"), [("CBSD68", "RGB"), ("BSD68", "L")])
def test_the_card_tells_the_truth(photo, folder, mode):
    root = Path(os.environ.get("UNNOISE_DATA", "nowhere")) / "clean_test" / folder
    if not root.is_dir():
        pytest.skip(f"needs {folder} under UNNOISE_DATA")
    files = sorted(p for p in root.iterdir() if p.suffix in (".png", ".webp"))
    # every eighth picture; the difference between their mean and that of all 68 was measured with the weights
    found = []
    for i in range(0, len(files), 8):
        x, y = noisy(np.asarray(Image.open(files[i]).convert(mode)), 25, seed=i)
        found.append(psnr(photo(y, 25 / 255), x))
    assert abs(float(np.mean(found)) - photo.card.measured[folder]["25"]) < 1.5
