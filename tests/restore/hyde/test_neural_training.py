"""Training of the networks for cubes: the recipe's order, and a run that ends in a weight file."""

import numpy as np
import pytest
import torch

from unnoise.data.crops import Crops
from unnoise.errors import InputError
from unnoise.restore.hyde.neural import BANDS, Neural, trained
from unnoise.restore.hyde.neural_training import CubeNoiseOptions, Preset, pairs, train
from unnoise.training.presets import load_preset
from unnoise.zoo import load


def crops():
    rng = np.random.default_rng(1)
    return Crops([rng.integers(20, 230, (40, 50, 1)).astype(np.uint8) for _ in range(2)])


@pytest.fixture
def preset():
    return load_preset(Preset, "hyde_training", "smoke")


def test_both_are_scaled_by_the_extent_of_the_noisy_crop(preset):
    x, y = pairs(crops(), 0, preset, 3)
    assert x.shape == y.shape == (3, BANDS, 16, 16)
    assert torch.allclose(y.amin((2, 3)), torch.zeros(3, BANDS), atol=1e-5)
    assert torch.allclose(y.amax((2, 3)), torch.ones(3, BANDS), atol=1e-5)


def test_the_clean_crops_extent_is_there_to_compare(preset):
    clean = preset.model_copy(update={"normalize": "clean"})
    x, y = pairs(crops(), 0, clean, 3)
    assert torch.allclose(x.amax((2, 3)), torch.ones(3, BANDS), atol=1e-5) and float(y.amax()) > 1


def test_the_noise_has_the_level_that_was_drawn(preset):
    """One level for all bands of a cube, before every band is scaled: 20 to 30 dB."""
    quiet = preset.model_copy(update={"noise": CubeNoiseOptions(snr=(30.0, 30.0))})
    loud = preset.model_copy(update={"noise": CubeNoiseOptions(snr=(20.0, 20.0))})
    error = [float((y - x).square().mean()) for x, y in (pairs(crops(), 0, p, 8) for p in (quiet, loud))]
    assert error[1] > 3 * error[0]  # ten times, less what the noise adds to the extent


def test_mixed_noise_is_another_choice(preset):
    mixed = preset.model_copy(update={"noise": CubeNoiseOptions(kind="mixed")})
    x, y = pairs(crops(), 0, mixed, 2)
    assert bool(torch.isfinite(y).all()) and float((y - x).abs().max()) > 0.3  # impulses


def test_every_step_is_a_function_of_its_number(preset):
    a, b = pairs(crops(), 7, preset, 2), pairs(crops(), 7, preset, 2)
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(a[1], pairs(crops(), 8, preset, 2)[1])


def test_smoke_training_ends_in_a_file_that_loads(tmp_path):
    path = train("smoke", ["arch=memnet3d", "fit.steps=2"], None, tmp_path)
    denoiser = load(path)
    assert path.name == "memnet3d.safetensors" and isinstance(denoiser, Neural)
    assert denoiser.card.kind == "cube" and denoiser.card.blind and denoiser.card.training["steps"] == 2
    assert set(denoiser.card.measured["synthetic"]) == {"noisy mpsnr", "mpsnr", "noisy sam", "sam"}
    y = torch.rand(1, 11, 12, 12)
    assert torch.isfinite(trained(path, window=None)(y)).all()
    with pytest.raises(InputError, match="overlap of 16 does not fit a window of 8"):
        trained(path, window=8)
    with pytest.raises(InputError, match="overlap must be"):
        trained(path, overlap="[4, 4]")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"memnet3d\.safetensors"):
        trained(path)


def test_the_papers_scale_can_be_built_and_learns():
    p = load_preset(Preset, "hyde_training", "paper")
    assert (p.arch, p.data.crop, p.fit.batch, p.fit.steps, p.noise.snr) == ("qrnn3d", 256, 16, 12_500, (20.0, 30.0))
    torch.manual_seed(0)
    net = Neural(p.arch).net.train()
    assert sum(v.numel() for v in net.parameters()) == 860_453
    y = torch.rand(1, 1, 4, 8, 8)
    loss = (net(y) - y / 2).square().mean()
    loss.backward()
    assert bool(torch.isfinite(loss)) and all(float(v.grad.abs().max()) > 0 for v in net.parameters())


def test_weights_of_another_kind_are_refused():
    with pytest.raises(InputError, match="photo are not of a network for cubes"):
        trained("photo")


def test_without_weights_it_says_how_to_make_them(monkeypatch):
    monkeypatch.setattr("unnoise.zoo.models", list)
    with pytest.raises(InputError, match="unnoise train hyde"):
        trained()
