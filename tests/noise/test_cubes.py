"""Generators of cube noise do exactly what they are asked."""

import math

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.cubes import BandImpulses, BandPoisson, DeadLines, GaussianSNR, Mixed, NonIID, Stripes, snr_sigma

X = torch.rand(2, 12, 40, 36, generator=generator(0)) + 0.1
MODELS = [
    GaussianSNR(20.0),
    GaussianSNR((20.0, 30.0)),
    NonIID(0.0, 0.1),
    BandPoisson(15.0),
    BandImpulses(),
    Stripes(),
    DeadLines(),
    Mixed(),
]


def snr(x, y):
    return 10 * math.log10(float(x.double().square().sum() / (y - x).double().square().sum()))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_the_input_stays_and_a_seed_repeats(model):
    before = X.clone()
    y = model.sample(X, generator(1))
    assert torch.equal(X, before) and not torch.equal(y, X)
    assert torch.equal(y, model.sample(X, generator(1)))
    assert not torch.equal(y, model.sample(X, generator(2)))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_a_generator_a_sample_gives_the_same_alone(model):
    pair = model.sample(X, [generator(5), generator(6)])
    assert torch.allclose(model.sample(X[1:], [generator(6)])[0], pair[1], atol=1e-6)


def test_the_ratio_asked_for_is_the_ratio_got():
    x = torch.rand(1, 100, 100, 100, generator=generator(3)) * torch.linspace(0, 5, 100)[:, None, None]
    assert abs(snr(x, GaussianSNR(20.0).sample(x, generator(4))) - 20) < 0.05
    many = x[:, :10].expand(40, -1, -1, -1)
    ratios = [snr(a[None], b[None]) for a, b in zip(many, GaussianSNR((20.0, 30.0)).sample(many, generator(5)))]  # noqa: B905
    assert 19.9 < min(ratios) < 22 and 28 < max(ratios) < 30.1


def test_levels_are_drawn_band_by_band():
    levels = (NonIID(0.0, 0.2).sample(torch.zeros(1, 300, 30, 30), generator(6))).std((2, 3))[0]
    assert float(levels.min()) < 0.01 and float(levels.max()) > 0.19
    assert float(levels.mean()) == pytest.approx(0.1, rel=0.1)


def test_photons_keep_the_mean_and_have_the_ratio():
    x = torch.rand(1, 6, 150, 150, generator=generator(7)) + 0.2
    y = BandPoisson(15.0).sample(x, generator(8))
    deviation = y - x
    for b in range(6):
        assert abs(float(deviation[0, b].mean())) < 3 * float(deviation[0, b].std()) / 150
        assert abs(snr(x[:, b], y[:, b]) - 15) < 0.2
    assert torch.equal(BandPoisson().sample(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize(("model", "count"), [(BandImpulses(5), 5), (Stripes(0.25), 3), (DeadLines(1.0), 12)])
def test_so_many_bands_are_hit_and_no_others(model, count):
    y = model.sample(X, generator(9))
    assert (y != X).any(3).any(2).sum(1).tolist() == [count, count]


def test_impulses_are_the_ends_of_the_band():
    y = BandImpulses(1.0, (0.3,), salt=0.5).sample(X, generator(10))
    hit = y != X
    assert float(hit.float().mean()) == pytest.approx(0.3, abs=0.01)
    ends = (y == X.amax((2, 3), keepdim=True)) | (y == X.amin((2, 3), keepdim=True))
    assert bool(ends[hit].all())


def test_stripes_are_whole_columns_of_one_shift():
    y = Stripes(1.0, (0.1, 0.1), 0.25).sample(X, generator(11))
    shift = y - X
    hit = shift.abs().amax(2) > 1e-6
    assert hit.sum(2).unique().tolist() == [4]  # a tenth of 36 columns
    assert float(shift.std(2).max()) < 1e-6
    assert float(shift.abs().max()) <= 0.25 * 1.0


def test_dead_lines_read_the_least_value():
    y = DeadLines(1.0, (0.1, 0.1)).sample(X, generator(12))
    dead = (y == X.amin((2, 3), keepdim=True)).all(2)
    assert dead.sum(2).unique().tolist() == [4]


def test_sparse_corruptions_of_mixed_noise_are_on_different_bands():
    mixed = Mixed(NonIID(0.0, 0.0), (BandImpulses(4), Stripes(4), DeadLines(4)))
    y = mixed.sample(X[:1], generator(13))
    assert bool((y != X[:1]).any(3).any(2).all())
    with pytest.raises(InputError, match="may add up to 1"):
        Mixed(sparse=(Stripes(0.6), DeadLines(0.6)))
    with pytest.raises(InputError, match="bands must be a count up to 12"):
        Stripes(13).sample(X)


def test_the_level_of_a_ratio():
    assert snr_sigma(2 * torch.ones(3, 2, 4, 4), 20.0).flatten().tolist() == pytest.approx([0.2] * 3)
