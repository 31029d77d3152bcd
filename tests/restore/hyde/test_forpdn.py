"""FORPDN's filter in closed form."""

import pytest
import torch

from unnoise.noise import generator
from unnoise.restore.hyde.forpdn import FORPDN, Penalty

SIGMA = torch.linspace(0.05, 0.3, 12, dtype=torch.float64)


def dense(lam):
    d = torch.diff(torch.eye(12, dtype=torch.float64), dim=0)
    return torch.linalg.inv(torch.diag(SIGMA**-2) + lam * d.T @ d)


@pytest.mark.parametrize("lam", [0.0, 0.3, 50.0])
def test_the_filter_is_the_dense_inverse(lam):
    assert torch.allclose(Penalty(SIGMA).filter(lam), dense(lam) @ torch.diag(SIGMA**-2), atol=1e-8)


def test_a_large_weight_gives_the_weighted_mean():
    y = torch.rand(12, dtype=torch.float64, generator=generator(0))
    mean = (y / SIGMA**2).sum() / (SIGMA**-2).sum()
    assert torch.allclose(Penalty(SIGMA).filter(1e9) @ y, mean.expand(12), atol=1e-5)


def test_sure_is_its_definition():
    c = torch.rand(12, 500, dtype=torch.float64, generator=generator(1))
    for lam in (0.1, 3.0):
        x = dense(lam) @ torch.diag(SIGMA**-2) @ c
        direct = (c - x).square().sum() / 500 + 2 * dense(lam).trace() - SIGMA.square().sum()
        ours = Penalty(SIGMA).sure(torch.tensor([lam], dtype=torch.float64), c @ c.T / 500)
        assert float(ours[0]) == pytest.approx(float(direct), rel=1e-8)


def test_sure_is_an_unbiased_estimate_of_the_squared_error():
    g = generator(2)
    truth = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None].expand(12, 20000)
    c = truth + SIGMA[:, None] * torch.randn(12, 20000, dtype=torch.float64, generator=g)
    p = Penalty(SIGMA)
    error = (p.filter(5.0) @ c - truth).square().sum() / 20000
    assert float(p.sure(torch.tensor([5.0], dtype=torch.float64), c @ c.T / 20000)[0]) == pytest.approx(
        float(error), rel=0.05
    )


def test_the_weight_found_is_the_best_of_a_fine_search():
    g = generator(3)
    c = torch.linspace(0, 1, 12)[:, None].double() + SIGMA[:, None] * torch.randn(12, 900, generator=g).double()
    p, power = Penalty(SIGMA), c @ c.T / 900
    fine = torch.logspace(-4, 8, 4000, dtype=torch.float64)
    best = float(p.sure(torch.tensor([p.best(power)], dtype=torch.float64), power)[0])
    assert best <= float(p.sure(fine, power).min()) + 1e-9


def test_the_pyramid_is_the_transform_filtered_level_by_level(clean, noise, monkeypatch):
    """With lambda held, X is the transform of every band, filtered, and back: details need not be formed."""
    from unnoise.restore.hyde.base import symmetric_pad
    from unnoise.restore.hyde.transform import Subbands

    y = (clean + 0.05 * noise(clean))[0]
    held = iter([1.0, 2.0, 4.0, 8.0])
    monkeypatch.setattr(Penalty, "best", lambda self, power: next(held))
    ours = FORPDN(levels=3).cube(y, torch.full((30,), 0.05, dtype=torch.float64))
    bank = Subbands((48, 40), "db6", 3)
    approx, *details = bank.analyse(symmetric_pad(y, 8))
    p = Penalty(torch.full((30,), 0.05, dtype=torch.float64))

    def smooth(lam, c):
        return (p.filter(lam).float() @ c.flatten(1)).reshape(c.shape)

    kept = [smooth(8.0, approx)] + [smooth(lam, c) for lam, c in zip((4.0, 2.0, 1.0), details, strict=True)]
    assert torch.allclose(ours, bank.synthesise(kept)[:, :48, :40], atol=1e-5)


def test_tiny_noise_changes_nothing(clean):
    x = clean + 0.2 * torch.rand(clean.shape, generator=generator(4))
    assert float((FORPDN()(x, 1e-6) - x).norm() / x.norm()) < 1e-4
