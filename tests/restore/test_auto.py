"""The automatic choice names the noise that was put in, and leaves clean pictures alone."""

import numpy as np
import pytest
import torch

from unnoise.data.samples import SAMPLES, sample_photo
from unnoise.errors import InputError
from unnoise.noise.models import Correlated, Gaussian, Impulse, Poisson
from unnoise.restore.auto import build, choose
from unnoise.restore.door import restore
from unnoise.restore.invariant import GRIDS, calibrate
from unnoise.restore.spectrum import crops, noise_spectrum


def batch(name, crop=256):
    x = sample_photo(name)[:crop, :crop]
    return torch.from_numpy(np.ascontiguousarray(x if x.ndim == 3 else x[..., None])).permute(2, 0, 1)[None]


def corrupted(noise, x, seed=0):
    return noise.sample(x, torch.Generator().manual_seed(seed))


def image(y):
    return y[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", SAMPLES)
def test_clean_pictures_are_left_bit_for_bit(name):
    x = sample_photo(name)
    restored = restore(x)
    assert restored.choice.method == "none" and "left as it is" in restored.choice.reason
    assert np.array_equal(restored.image, x) and restored.image is not x


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee"])
@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_white_noise_is_found_at_its_level(name, sigma):
    y = corrupted(Gaussian(sigma / 255), batch(name))
    choice = restore(image(y).clip(-0.5, 1.5)).choice
    assert choice.method == "photo" and not choice.options
    assert choice.sigma.mean() == pytest.approx(sigma / 255, rel=0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_impulses_are_found_and_taken(seed, psnr):
    x = batch("astronaut")
    y = corrupted(Impulse(0.05), x, seed)
    restored = restore(image(y))
    assert restored.choice.method == "median" and "impulses" in restored.choice.reason
    assert psnr(torch.from_numpy(restored.image), torch.from_numpy(image(x))) > psnr(y, x) + 8


def test_noise_under_impulses_is_found_by_a_second_look(psnr):
    x = batch("astronaut")
    y = corrupted(Impulse(0.05), corrupted(Gaussian(10 / 255), x).clip(0, 1))
    choice = restore(image(y)).choice
    assert choice.impulses and choice.method == "photo" and "under them noise" in choice.reason
    both, median = build(choice), torch.from_numpy(restore(image(y), "median").image)
    assert psnr(both(y, choice.sigma), x) > psnr(median, torch.from_numpy(image(x))) + 2


def test_noise_shared_by_neighbours_gets_its_spectrum(psnr):
    x = batch("coffee")
    y = corrupted(Correlated(6 / 255, width=0.7), x)
    assert restore(image(y)).choice.method == "photo-real"
    restored = restore(image(y), "classical")
    assert "shared by neighbouring pixels" in restored.choice.reason
    assert restored.choice.method == "dct" and "spectrum" in restored.choice.options
    assert psnr(torch.from_numpy(restored.image), torch.from_numpy(image(x))) > psnr(y, x) + 2


def test_photon_noise_is_stabilised_first(psnr):
    row = torch.linspace(0.02, 0.6, 192)
    x = (row * (0.6 + 0.4 * torch.sin(torch.arange(192.0) / 9))[:, None])[None, None]
    y = corrupted(Poisson(0.02), x)
    restored = restore(image(y))
    assert restored.choice.law is not None and "photon noise" in restored.choice.reason
    plain = restore(image(y), "dct").image
    ours, theirs = (psnr(torch.from_numpy(z), torch.from_numpy(image(x))) for z in (restored.image, plain))
    assert ours > theirs


def test_a_level_that_is_given_is_believed():
    y = batch("camera")
    sigma = torch.full((1, 1, 1, 1), 0.1)
    for trained, method in ((True, "photo"), (False, "dct")):
        choice = choose(None, y, sigma, trained)
        assert choice.sigma is sigma and choice.method == method


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (8, 8), (9, 400)])
def test_pictures_too_small_to_judge_are_left_alone(shape):
    x = np.random.default_rng(0).random(shape)
    assert restore(x).choice.method in ("none", "photo")


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_spectrum_of_white_noise_is_flat(level):
    s = noise_spectrum(0.5 + level * torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)))
    assert s.white == pytest.approx(torch.full((3,), level), rel=0.05)
    assert s.fine / s.coarse == pytest.approx(1, abs=0.05)
    assert s.growth < 1.15 and s.share == 1


def test_a_flat_picture_has_no_spectrum():
    assert noise_spectrum(torch.full((1, 3, 64, 64), 0.5)) is None


@pytest.mark.parametrize("shape", [(5000, 300), (300, 5000), (1500, 1500)])
def test_a_bounded_part_of_large_pictures_is_looked_at(shape):
    y = torch.zeros(1, 1, 1, 1).expand(1, 1, *shape)
    assert sum(part.shape[2:].numel() for part in crops(y)) <= 16 * 256**2


@pytest.mark.parametrize("method", GRIDS)
def test_calibration_beats_a_wrong_level(method, psnr):
    x = batch("camera", 128)
    y = corrupted(Gaussian(0.1), x)
    from unnoise.restore import METHODS

    wrong = 0.06
    tuned = METHODS[method].create(**calibrate(method, y, wrong))
    assert psnr(tuned(y, wrong), x) > psnr(METHODS[method].create()(y, wrong), x)


def test_calibration_keeps_options_that_are_given():
    y = corrupted(Gaussian(0.1), batch("camera", 64))
    assert calibrate("nlm", y, 0.1, patch_size=7)["patch_size"] == 7
    with pytest.raises(InputError, match="nothing to calibrate"):
        calibrate("median", y, 0.1)
