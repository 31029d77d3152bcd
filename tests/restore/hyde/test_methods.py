"""What holds for every method on cubes."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.cubes import BandImpulses, Mixed, NonIID, Stripes
from unnoise.noise.seeds import generator
from unnoise.restore import METHODS

NETWORK = "neural"  # needs weights, and has tests of its own
CUBE = [name for name, method in METHODS.items() if method.kinds == ("cube",) and name != NETWORK]
# times the mean square error must shrink on smooth rank 4 with noise of 0.05, about two thirds of what was measured
GAIN = {
    "fasthyde": 30, "fasthyin": 30, "l1hymixde": 28, "hyres": 27, "hyminor": 20, "wsrrr": 20, "otvca": 16, "forpdn": 6,
}  # fmt: skip


def gain(x_hat, y, x):
    return float((y - x).square().mean() / (x_hat - x).square().mean())


@pytest.mark.parametrize("name", CUBE)
def test_noise_shrinks(name, clean, noise):
    y = clean + 0.05 * noise(clean)
    x_hat = METHODS[name].create()(y)
    assert x_hat.shape == y.shape and x_hat.dtype == y.dtype
    assert gain(x_hat, y, clean) > GAIN[name]


@pytest.mark.parametrize("name", CUBE)
def test_the_cards_say_cube_and_the_whole_picture(name):
    card = METHODS[name].create().card
    assert card.kind == "cube" and card.reach is None and card.blind


@pytest.mark.parametrize("name", [n for n in CUBE if n not in ("hyminor", "forpdn", "l1hymixde")])
def test_with_no_noise_a_cube_of_low_rank_comes_back(name, clean):
    """sigma -> 0; HyMiNoR smooths whatever comes, to L1HyMixDe all is sparse then, FORPDN has its own test."""
    x_hat = METHODS[name].create()(clean, 1e-6)
    assert float((x_hat - clean).norm() / clean.norm()) < 2e-4


@pytest.mark.parametrize("name", [n for n in CUBE if n != "hyminor"])
def test_gains_of_bands_pass_through(name, clean, noise):
    """X(diag(g) Y) = diag(g) X(Y): HyMiNoR works on one scale for all bands."""
    y = clean + 0.05 * noise(clean)
    if name == "forpdn":
        g = torch.tensor(3.0)  # the roughness penalty compares bands: only one gain for all
    else:
        g = torch.linspace(0.2, 5, y.shape[1])[:, None, None]
    denoiser = METHODS[name].create()
    a, b = denoiser(g * y), g * denoiser(y)
    assert float((a - b).norm() / b.norm()) < 1e-3


@pytest.mark.parametrize("name", CUBE)
def test_transposing_pixels_transposes_the_result(name, clean, noise):
    if name in ("wsrrr", "forpdn", "hyminor", "hyres"):
        y = (clean + 0.05 * noise(clean))[..., :32, :]  # padded and unpadded axis
    else:
        y = clean + 0.05 * noise(clean)
    denoiser = METHODS[name].create()
    a, b = denoiser(y.mT.contiguous()).mT, denoiser(y)
    assert float((a - b).norm() / b.norm()) < 2e-4


@pytest.mark.parametrize("name", CUBE)
def test_a_batch_is_each_cube_alone(name, clean, noise):
    y = torch.cat([clean + 0.05 * noise(clean), 2 * clean + 0.1 * noise(clean, 1)])
    denoiser = METHODS[name].create()
    both = denoiser(y)
    assert torch.allclose(both[1:], denoiser(y[1:]), atol=1e-5)


@pytest.mark.parametrize("name", CUBE)
def test_constant_bands_come_back_and_do_not_disturb(name, clean, noise):
    y = clean + 0.05 * noise(clean)
    denoiser = METHODS[name].create()
    more = torch.cat([y[:, :7], torch.full_like(y[:, :1], 0.25), y[:, 7:], torch.zeros_like(y[:, :1])], 1)
    x_hat = denoiser(more)
    assert bool((x_hat[:, 7] == 0.25).all()) and bool((x_hat[:, -1] == 0).all())
    rest = torch.cat([x_hat[:, :7], x_hat[:, 8:-1]], 1)
    assert torch.allclose(rest, denoiser(y), atol=1e-5)


@pytest.mark.parametrize("name", CUBE)
def test_bad_cubes_are_named(name):
    denoiser = METHODS[name].create()
    with pytest.raises(InputError, match=r"got shape \(4, 5\)"):
        denoiser(torch.rand(4, 5))
    y = torch.rand(1, 6, 9, 9)
    y[0, 2, 1, 1] = torch.nan
    with pytest.raises(InputError, match="1 values of the cube are not finite, the first in band 2"):
        denoiser(y)
    with pytest.raises(InputError, match="varies over pixels"):
        denoiser(torch.rand(1, 6, 9, 9), torch.rand(1, 1, 9, 9))


@pytest.mark.parametrize("name", ["fasthyde", "hyres", "forpdn", "otvca"])
def test_too_few_pixels_or_bands_to_estimate_noise(name):
    denoiser = METHODS[name].create()
    with pytest.raises(InputError, match="9 pixels for 20 bands"):
        denoiser(torch.rand(1, 20, 3, 3))
    with pytest.raises(InputError, match="noise of 2 bands cannot be told"):
        denoiser(torch.rand(1, 2, 9, 9))


def test_mixed_noise_is_what_l1hymixde_is_for(low_rank_cube):
    x = low_rank_cube(4, 30, (64, 64))
    sparse = (BandImpulses(1 / 3, (0.05, 0.1)), Stripes(1 / 3))
    y = Mixed(NonIID(0.01, 0.04), sparse).sample(x, generator(3))
    quality = {name: gain(METHODS[name].create()(y), y, x) for name in ("l1hymixde", "fasthyde")}
    assert quality["l1hymixde"] > 1.5 * quality["fasthyde"]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("hyres", {"max_rank": 0}, "max_rank must be a whole number >= 1"),
        ("hyres", {"wavelet": "db99"}, "unknown wavelet 'db99'"),
        ("otvca", {"lam": -1}, "lam must be >= 0"),
        ("otvca", {"features": 31}, "features 31 is more than the cube's 30 bands"),
        ("wsrrr", {"rank": 31}, "rank 31 is more than the cube's 30 bands"),
        ("l1hymixde", {"median_size": 4}, "must be odd"),
        ("fasthyde", {"noise": "poison"}, "did you mean 'poisson'"),
        ("fasthyde", {"gain": 0.0}, "gain must be > 0"),
        ("fasthyde", {"denoiser": "medain"}, "unknown denoiser of pictures"),
    ],
)
def test_bad_options_are_named(name, options, says, clean):
    with pytest.raises(InputError, match=says):
        METHODS[name].create(**options)(clean)
