"""FastHyDe, FastHyIn and L1HyMixDe: the algebra round the denoiser of pictures."""

import pytest
import torch

from unnoise.denoiser import Card, Denoiser
from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.spectral import band_sigma, regression_sigma
from unnoise.restore.hyde.base import noise_and_gram
from unnoise.restore.hyde.fasthyde import FastHyDe, FastHyIn, subspace
from unnoise.restore.hyde.l1hymixde import L1HyMixDe, adaptive_median
from unnoise.restore.hyde.missing import impute


class Nothing(Denoiser):
    """The identity, which notes what it is told."""

    card = Card(sigma_range=(0, 1))

    def forward(self, y, sigma=None):
        self.seen, self.sigma = y, sigma
        return y


class Blur(Denoiser):
    card = Card(sigma_range=(0, 1))

    def forward(self, y, sigma=None):
        return torch.nn.functional.avg_pool2d(y, 3, 1, 1, count_include_pad=False)


def test_without_denoising_fasthyde_is_the_projection(clean, noise):
    y = clean + 0.05 * noise(clean)
    flat = y[0].flatten(1)
    sigma, g = noise_and_gram(flat, None)
    e, _ = subspace(sigma, g, flat.shape[1], 6)
    expected = (sigma[:, None] * e) @ e.T @ (flat.double() / sigma[:, None])
    x_hat = FastHyDe(k=6, denoiser=Nothing())(y)[0].flatten(1)
    assert torch.allclose(x_hat.double(), expected, atol=1e-5)
    assert torch.allclose(e.T @ e, torch.eye(6, dtype=e.dtype), atol=1e-6)


def test_eigen_images_reach_the_denoiser_in_the_unit_range_with_their_level(clean, noise):
    y = clean + 0.05 * noise(clean)
    picture = Nothing()
    FastHyDe(k=6, denoiser=picture)(y)
    assert picture.seen.shape == (6, 1, 48, 40) and picture.sigma.shape == (6, 1, 1, 1)
    assert float(picture.seen.min()) == 0 and float(picture.seen.max()) == pytest.approx(1, abs=1e-6)
    # beyond the rank of the signal an eigen-image is noise, of the level that the denoiser is told
    for i in (4, 5):
        assert float(picture.seen[i].std()) == pytest.approx(float(picture.sigma[i]), rel=0.15)


def test_signs_and_order_of_the_basis_do_not_matter(clean, noise, monkeypatch):
    y = clean + 0.05 * noise(clean)
    expected = FastHyDe(k=6, denoiser=Blur())(y)
    real = subspace

    def turned(*arguments):
        e, energy = real(*arguments)
        return -e.flip(1), energy.flip(0)

    monkeypatch.setattr("unnoise.restore.hyde.fasthyde.subspace", turned)
    assert torch.allclose(FastHyDe(k=6, denoiser=Blur())(y), expected, atol=1e-5)


def test_a_denoiser_may_be_given_by_name(clean, noise):
    y = clean + 0.05 * noise(clean)
    x_hat = FastHyDe(denoiser="nlm")(y)
    assert float((x_hat - clean).square().mean()) < 0.1 * 0.05**2


def test_a_full_mask_changes_nothing(clean, noise):
    y = clean + 0.05 * noise(clean)
    full = FastHyIn()(y, mask=torch.ones_like(y, dtype=torch.bool))
    assert torch.allclose(full, FastHyDe()(y), atol=1e-5)


def test_missing_values_of_a_noiseless_cube_of_low_rank_are_recovered(clean):
    g = generator(0)
    mask = torch.ones_like(clean, dtype=torch.bool)
    missing = torch.rand(48, 40, generator=g) < 0.4
    mask[0, :, missing] = torch.rand(30, int(missing.sum()), generator=g) > 0.3
    y = clean.masked_fill(~mask, torch.nan)
    x_hat = FastHyIn(k=4, denoiser=Nothing())(y, 1e-4, mask=mask)
    assert float((x_hat - clean).norm() / clean.norm()) < 1e-3


def test_pixels_without_any_band_come_from_their_neighbours(clean):
    mask = torch.ones_like(clean, dtype=torch.bool)
    mask[0, :, 20, 20] = False
    x_hat = FastHyIn(k=4, denoiser=Nothing())(clean.masked_fill(~mask, torch.nan), 1e-4, mask=mask)
    around = clean[0, :, 19:22, 19:22].flatten(1)
    error = (x_hat[0, :, 20, 20] - clean[0, :, 20, 20]).abs().max()
    assert error < (around.amax(1) - around.amin(1)).max()


def test_masks_that_cannot_be_used_are_named(clean):
    with pytest.raises(InputError, match="does not fit the cube"):
        FastHyIn()(clean, mask=torch.ones(1, 1, 48, 40))
    hardly = torch.rand(clean.shape, generator=generator(1)) < 0.2
    with pytest.raises(InputError, match="half of the pixels have no more than 6 of 30 bands, too few for 10 eigen"):
        FastHyIn()(clean, mask=hardly)


def test_a_cube_without_any_complete_pixel_is_recovered(clean):
    """Section 11 of the spec: 30 % random missing entries of a noiseless cube of rank k, to 1e-3."""
    mask = torch.rand(clean.shape, generator=generator(1)) > 0.3
    assert not bool(mask.all(1).any())
    y = clean.masked_fill(~mask, torch.nan)
    x_hat = FastHyIn(k=4, denoiser=Nothing())(y, 1e-4, mask=mask)
    assert float((x_hat - clean).norm() / clean.norm()) < 1e-3


def test_its_noise_is_measured_with_values_missing(clean, noise):
    mask = torch.rand(clean.shape, generator=generator(1)) > 0.2
    sigma = torch.linspace(0.02, 0.08, 30)
    y = clean + sigma[:, None, None] * noise(clean)
    full, level = impute(y.masked_fill(~mask, 0)[0].flatten(1), mask[0].flatten(1), 4)
    complete = band_sigma(y)[0, :, 0, 0]
    assert torch.allclose(level.float(), complete, rtol=0.1)
    assert torch.equal(full[mask[0].flatten(1)], y[mask])
    x_hat = FastHyIn()(y, mask=mask)
    assert float((x_hat - clean).square().mean()) < 1.6 * float((FastHyIn()(y) - clean).square().mean())


def test_counted_photons_are_stabilised(low_rank_cube):
    x = 40 * low_rank_cube(3, 20, (48, 48)) + 5
    y = torch.poisson(x, generator=generator(2))
    x_hat = FastHyDe(k=3, noise="poisson")(y)
    assert float((x_hat - x).square().mean()) < 0.05 * float((y - x).square().mean())
    assert abs(float((x_hat - x).mean())) < 0.01 * float(x.mean())


def test_l1hymixde_with_no_sparse_part_and_one_step_is_fasthyde(clean, noise):
    y = clean + 0.05 * noise(clean)
    once = L1HyMixDe(iterations=1, sparse=float("inf"), denoiser="dct")(y)
    assert torch.allclose(once, FastHyDe(denoiser="dct")(y), atol=1e-5)


def test_the_adaptive_median_is_centred_and_removes_impulses_exactly():
    ramp = (torch.arange(20.0)[:, None] + 0.5 * torch.arange(24.0)).expand(2, 20, 24)
    assert torch.equal(adaptive_median(ramp)[:, 1:-1, 1:-1], ramp[:, 1:-1, 1:-1])
    y = ramp.clone()
    y[0, 8, 9], y[1, 12, 5] = 1e3, -1e3
    repaired = adaptive_median(y)
    assert torch.allclose(repaired[:, 2:-2, 2:-2], ramp[:, 2:-2, 2:-2], atol=0.5 + 1e-6)
    z = torch.rand(2, 15, 18, generator=generator(3))
    z[z > 0.85] = 1
    assert torch.equal(adaptive_median(z.flip(1, 2)).flip(1, 2), adaptive_median(z))


def test_a_level_a_band_is_used_as_given(clean, noise):
    levels = torch.linspace(0.01, 0.1, 30)[None, :, None, None]
    y = clean + levels * noise(clean)
    told, found = FastHyDe()(y, levels), FastHyDe()(y)
    errors = [float((x - clean).square().mean()) for x in (told, found)]
    assert errors[0] < 1.1 * errors[1]
    g = y[0].flatten(1).double()
    # a quiet band predicted from loud ones looks louder than it is, never quieter
    ratio = regression_sigma(g @ g.T, g.shape[1]) / levels.flatten()
    assert float(ratio.min()) > 0.9 and float(ratio.max()) < 1.6
