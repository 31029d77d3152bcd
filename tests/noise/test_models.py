"""Samples have the law they promise: mean, variance, correlation, share; a sample does not depend on its batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise.errors import InputError
from unnoise.noise.models import Correlated, Gaussian, Impulse, Jpeg, Poisson, PoissonGaussian
from unnoise.noise.seeds import generator, generators


def close(measured, expected, n, sigmas=5.0):
    """A measured variance of n normal numbers lies within `sigmas` standard errors."""
    return abs(measured / expected - 1) < sigmas * math.sqrt(2 / n)


@pytest.mark.parametrize("value", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(
    "noise", [Gaussian(0.1), Poisson(0.01), PoissonGaussian(0.004, 0.03), PoissonGaussian(0.0, 0.05)]
)
def test_variance_is_std_squared(noise, value):
    x = torch.full((1, 1, 500, 500), value, dtype=torch.float64)
    y = noise.sample(x, generator(0))
    # the kurtosis of few photons widens the error of the variance
    assert close(float((y - x).var()), float(noise.std(x)[0, 0, 0, 0]) ** 2, x.numel(), sigmas=12)
    assert abs(float((y - x).mean())) < 5 * float(noise.std(x)[0, 0, 0, 0]) / 500


def test_gaussian_takes_samples_channels_and_maps():
    x = torch.zeros(2, 3, 200, 200)
    per_sample = Gaussian(torch.tensor([0.1, 0.3])).sample(x, generator(1))
    per_channel = Gaussian(torch.tensor([0.1, 0.2, 0.4]).reshape(1, 3, 1, 1)).sample(x, generator(1))
    a_map = Gaussian(torch.linspace(0, 1, 200).reshape(1, 1, 1, 200)).sample(x, generator(1))
    assert torch.allclose(per_sample.std((1, 2, 3)), torch.tensor([0.1, 0.3]), rtol=0.02)
    assert torch.allclose(per_channel.std((0, 2, 3)), torch.tensor([0.1, 0.2, 0.4]), rtol=0.02)
    assert torch.allclose(a_map.std((0, 1, 2)), torch.linspace(0, 1, 200), atol=0.1)
    assert a_map[..., 0].abs().max() == 0


@pytest.mark.parametrize("noise", [Correlated(0.2, width=0.7), Correlated(0.2, kernel=torch.rand(3, 5))])
def test_correlated_noise_has_its_std_and_correlation_up_to_the_border(noise):
    y = noise.sample(torch.zeros(400, 1, 24, 24, dtype=torch.float64), generator(2))
    assert torch.allclose(y.std((0, 1)), torch.tensor(0.2, dtype=torch.float64), rtol=0.25)
    assert abs(float(y.std()) - 0.2) < 0.002
    for dy, dx in [(0, 1), (0, 2), (1, 0), (1, 1), (2, -1)]:
        a = y[..., dy:, max(0, dx) : 24 + min(0, dx)]
        b = y[..., : 24 - dy, max(0, -dx) : 24 - max(0, dx)]
        assert abs(float((a * b).mean()) / 0.04 - float(noise.correlation(dy, dx))) < 0.02


def test_impulses_hit_their_share():
    x = torch.full((1, 3, 300, 300), 0.4)
    y = Impulse(0.1).sample(x, generator(3))
    assert set(y.unique().tolist()) == {0.0, x[0, 0, 0, 0].item(), 1.0}
    assert abs(float((y != x).double().mean()) - 0.1) < 0.003
    assert abs(float((y == 1).double().mean()) - 0.05) < 0.003
    y = Impulse(0.3, "random").sample(x, generator(3))
    hit = y[y != x]
    assert abs(hit.numel() / x.numel() - 0.3) < 0.005
    assert abs(float(hit.mean()) - 0.5) < 0.01
    assert abs(float(hit.var()) - 1 / 12) < 0.002


def test_jpeg_is_what_pillow_writes(tmp_path):
    from PIL import Image

    rgb = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    batch = torch.cat([x, x.flip(3)])
    y = Jpeg((30, 95), "4:2:0").sample(batch)
    for i, quality in enumerate((30, 95)):
        Image.fromarray((batch[i] * 255).round().byte().permute(1, 2, 0).numpy()).save(
            tmp_path / "a.jpg", quality=quality, subsampling="4:2:0"
        )
        with Image.open(tmp_path / "a.jpg") as back:
            assert np.array_equal(np.array(back), (y[i] * 255).round().byte().permute(1, 2, 0).numpy())
    assert Jpeg(50).sample(batch[:, :1]).shape == (2, 1, 32, 40)


@pytest.mark.parametrize("noise", [Gaussian(0.1), PoissonGaussian(0.01, 0.02), Impulse(0.2, "random"), Correlated(0.1)])
def test_a_sample_is_the_same_in_any_batch(noise):
    x = torch.rand(3, 2, 9, 11, generator=generator(0))
    whole = noise.sample(x, generators(5, range(3)))
    alone = noise.sample(x[2:], [generator(5, 2)])
    assert torch.equal(whole[2:], alone)
    assert not torch.equal(whole[0] - x[0], whole[1] - x[1])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**20), max_size=3), st.integers(0, 2**20))
def test_seeds_depend_on_every_index(seed, indices, other):
    first = generator(seed, *indices).initial_seed()
    assert first == generator(seed, *indices).initial_seed()
    assert first != generator(seed, *indices, other).initial_seed()
    assert first != generator(seed + 1, *indices).initial_seed()


@pytest.mark.parametrize(
    "make,says",
    [
        (lambda: Gaussian(-1.0), "sigma must be >= 0"),
        (lambda: Gaussian(float("nan")), "sigma must be >= 0"),
        (lambda: Poisson(0.0), "gain must be > 0"),
        (lambda: PoissonGaussian(0.1, -0.1), "read must be >= 0"),
        (lambda: Impulse(1.5), "share must be between 0 and 1"),
        (lambda: Impulse(0.5, "salt"), "did you mean 'salt_pepper'"),
        (lambda: Jpeg(0), "between 1 and 100"),
        (lambda: Jpeg(50, "4:1:1"), "chroma subsampling"),
        (lambda: Jpeg(50).sample(torch.zeros(1, 4, 8, 8)), "gray or RGB"),
        (lambda: Gaussian(torch.ones(5)).sample(torch.zeros(1, 3, 4, 4)), "does not fit"),
        (lambda: Correlated(0.1, width=0.0), "width must be > 0"),
    ],
)
def test_bad_arguments_say_what_is_wrong(make, says):
    with pytest.raises(InputError, match=says):
        make()
