import math

import pytest
import torch

from unnoise.errors import InputError
from unnoise.explain.harmonic_data import background, c_alpha, disk, disks, ray, shuffle_pixels, sine_cone
from unnoise.noise.seeds import generator


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_backgrounds_have_the_power_law(beta):
    size = 64
    power = torch.fft.fft2(background(60, beta, size, generator(0))).abs().square().mean(0)
    f = torch.fft.fftfreq(size, dtype=torch.float64)
    radius = (f[:, None] ** 2 + f**2).sqrt()
    band = (radius > 0.05) & (radius < 0.45)
    a, b = radius[band].log(), power[band].log()
    a, b = a - a.mean(), b - b.mean()
    assert float((a * b).sum() / (a * a).sum()) == pytest.approx(-2 * beta, abs=0.15)


def test_c_alpha_pictures_are_in_range_reproducible_and_have_an_edge():
    x = c_alpha(6, 3.0, size=32, seed=2)
    assert x.shape == (6, 1, 32, 32)
    assert x.min() >= 0
    assert x.max() <= 1
    torch.testing.assert_close(c_alpha(3, 3.0, size=32, seed=2), x[:3])
    flat = c_alpha(1, 3.0, size=32, seed=2, blur=(1, 1))[0, 0]
    assert flat.diff(dim=0).abs().max() > 0.1


def test_disks_have_a_tangent_space_of_five_dimensions():
    p = torch.tensor([15.0, 17.0, 6.0, 0.8, 0.2], dtype=torch.float64)

    def picture(p):
        return disk(p[None, :2], p[2:3], p[3:4], p[4:5], 32).flatten()

    step = 1e-3 * torch.eye(5, dtype=torch.float64)
    tangent = torch.stack([(picture(p + e) - picture(p - e)).double() / 2e-3 for e in step])
    singular = torch.linalg.svdvals(tangent)
    assert singular.shape == (5,)
    assert singular[-1] > 0.02 * singular[0]
    x = disks(20, 32, seed=1)
    assert x.shape == (20, 1, 32, 32)
    assert 0 <= x.min() <= x.max() <= 1
    torch.testing.assert_close(disks(5, 32, seed=1), x[:5])


def test_rays_cones_and_permutations():
    x = torch.rand(1, 8, 8)
    assert torch.linalg.matrix_rank(ray(x, 10).flatten(1)) == 1
    cone = sine_cone(30, 16)
    assert torch.linalg.matrix_rank(cone.flatten(1), rtol=1e-4) == 3  # mean, sine and cosine
    shuffled = shuffle_pixels(cone, seed=3)
    torch.testing.assert_close(shuffled.flatten(1).sort(1).values, cone.flatten(1).sort(1).values)
    assert not torch.equal(shuffled, cone)
    assert math.isclose(float(shuffled.sum()), float(cone.sum()), rel_tol=1e-5)


def test_impossible_pictures_are_refused():
    with pytest.raises(InputError):
        c_alpha(0, 1.0)
    with pytest.raises(InputError):
        c_alpha(1, -1.0)
