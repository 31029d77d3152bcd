"""Measurements are met exactly and the prior fills in the rest."""

import pytest
import torch

from unnoise.denoiser import Empirical
from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive
from unnoise.generate.guidance import Guided
from unnoise.generate.inverse import Measured, deblurring, inpainting, super_resolution
from unnoise.generate.sample import sample
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator

X = torch.rand(12, 1, 8, 8, generator=generator(0))
KERNEL = torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])
MEASUREMENTS = {
    "inpainting": inpainting(torch.rand(8, 8, generator=generator(1)) < 0.4),
    "super-resolution": super_resolution(2),
    "deblurring": deblurring(KERNEL),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_the_pseudo_inverse_returns_the_measurements(name):
    a = MEASUREMENTS[name]
    c = a.forward(X)
    torch.testing.assert_close(a.forward(a.inverse(c)), c, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["inpainting", "deblurring"])  # means of blocks are too few to tell random pictures
def test_the_picture_is_found_from_what_is_known_of_it(name):
    a = MEASUREMENTS[name]
    c = a.forward(X[3:4])
    x = sample(Measured(Empirical(X), a, c), (1, 8, 8), 3, sampler="ddpm", sigmas=karras(40, 0.01, 2.0)).x
    torch.testing.assert_close(a.forward(x), c.expand(3, *c.shape[1:]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x, X[3:4].expand(3, -1, -1, -1), rtol=0, atol=0.02)


def test_an_enlarged_picture_has_the_means_that_were_measured():
    a = MEASUREMENTS["super-resolution"]
    c = a.forward(X[3:4])
    x = sample(Measured(Empirical(X), a, c), (1, 8, 8), 3, sampler="dpmpp_2m", sigmas=karras(15, 0.01, 2.0)).x
    torch.testing.assert_close(a.forward(x), c.expand(3, *c.shape[1:]), rtol=1e-4, atol=1e-4)


def test_a_noisy_measurement_has_no_say_at_small_noise_levels():
    a = MEASUREMENTS["inpainting"]
    y = X[:2] + 0.01
    noisy = Measured(Empirical(X), a, a.forward(X[:2] + 0.3), noise=0.3)
    torch.testing.assert_close(noisy(y, 1e-3), Empirical(X)(y, 1e-3), rtol=0, atol=1e-4)
    exact = Measured(Empirical(X), a, a.forward(X[:2] + 0.3))
    assert (exact(y, 1e-3) - Empirical(X)(y, 1e-3)).abs().max() > 0.2


def test_guidance_inside_measurements_remembers_the_run_and_is_counted():
    a, label = MEASUREMENTS["inpainting"], torch.arange(4) % 2
    d, c = Empirical(X, torch.arange(12) % 2), a.forward(X[:4])
    options = {"sampler": "dpmpp_2m", "sigmas": karras(12, 0.01, 2.0), "label": label}
    full = sample(Measured(Guided(d, 3.0), a, c), (1, 8, 8), 4, **options)
    assert full.nfe.tolist() == [24] * 4 and full.trace.gamma.shape == (12, 4)
    torch.testing.assert_close(a.forward(full.x), c, rtol=1e-4, atol=1e-4)
    # of one picture the two orders are the same
    outside = sample(Guided(Measured(d, a, c[:1]), 3.0), (1, 8, 8), 4, **options)
    inside = sample(Measured(Guided(d, 3.0), a, c[:1]), (1, 8, 8), 4, **options)
    torch.testing.assert_close(inside.x, outside.x, rtol=1e-4, atol=1e-4)
    once = sample(Measured(Guided(d, 3.0, Adaptive(-1.0)), a, c), (1, 8, 8), 4, **options)
    assert once.nfe.tolist() == [13] * 4 and once.trace.switched_at.tolist() == [1] * 4
    with pytest.raises(InputError, match=r"Measured\(Guided"):
        sample(Guided(Measured(d, a, c), 3.0), (1, 8, 8), 4, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: super_resolution(0),
        lambda: super_resolution(3).forward(X),
        lambda: deblurring(torch.ones(2, 3)),
        lambda: Measured(Empirical(X), MEASUREMENTS["inpainting"], X, noise=-1),
        lambda: Measured(Empirical(X), MEASUREMENTS["super-resolution"], X)(X, 0.1),
    ],
)
def test_bad_input_is_refused(make):
    with pytest.raises(InputError):
        make()
