"""The wavelet bank is orthonormal, and SURE is what it says."""

import math

import pytest
import torch

from unnoise.noise import dwt2, generator
from unnoise.noise.wavelets import analysis_matrix
from unnoise.restore.hyde.base import symmetric_pad
from unnoise.restore.hyde.hyres import shifts_2d
from unnoise.restore.hyde.transform import Subbands, risk_at, soft, sure_threshold


@pytest.mark.parametrize(("n", "wavelet"), [(2, "haar"), (4, "db5"), (10, "db5"), (32, "db6"), (24, "sym4")])
def test_the_matrix_is_one_level_of_the_transform_and_orthonormal(n, wavelet):
    a = analysis_matrix(n, wavelet)
    assert torch.allclose(a @ a.T, torch.eye(n, dtype=a.dtype), atol=1e-10)
    x = torch.randn(1, 1, n, 6, dtype=a.dtype, generator=generator(0))
    low, details = dwt2(x, wavelet)
    z = a @ x @ analysis_matrix(6, wavelet).T
    half = n // 2
    assert torch.allclose(z[..., :half, :3], low, atol=1e-10)
    assert torch.allclose(z[..., half:, 3:], details[:, :, 2], atol=1e-10)


@pytest.mark.parametrize("shape", [(61, 95), (64, 64), (7, 40), (520, 33)])
def test_reconstruction_is_perfect_and_energy_is_kept(shape):
    x = torch.randn(3, *shape, generator=generator(1))
    bank = Subbands(shape, "db5", 5)
    c = bank.analyse(x)
    padded = symmetric_pad(x, bank.multiple)
    assert sum(float(k.square().sum()) for k in c) == pytest.approx(float(padded.square().sum()), rel=1e-5)
    assert torch.allclose(bank.synthesise(c), padded, atol=1e-5)


def test_matrix_products_and_convolution_agree(monkeypatch):
    x = torch.randn(2, 64, 32, generator=generator(2))
    bank = Subbands((64, 32), "db6", 3)
    dense = bank.analyse(x)
    monkeypatch.setattr("unnoise.restore.hyde.transform._DENSE", 1)
    for a, b in zip(dense, bank.analyse(x), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert torch.allclose(bank.synthesise(dense), x, atol=1e-5)


def test_white_noise_stays_white_with_unit_variance():
    c = Subbands((256, 256), "db5", 3).analyse(torch.randn(1, 256, 256, generator=generator(3)))
    for k in c:
        n = k.numel()
        assert abs(float(k.square().mean()) - 1) < 4 * math.sqrt(2 / n)


@pytest.mark.parametrize("spikes", [0, 5, 300])
def test_the_threshold_is_that_of_a_search_over_all_magnitudes(spikes):
    x = torch.randn(1000, generator=generator(4), dtype=torch.float64)
    x[:spikes] += 10
    t, risk = sure_threshold(x, hybrid=False)
    tries = torch.cat([torch.zeros(1, dtype=x.dtype), x.abs()])
    risks = torch.stack([risk_at(x, k) for k in tries])
    assert float(risk) == pytest.approx(float(risks.min()), abs=1e-6)
    assert float(risk_at(x, t)) == pytest.approx(float(risk), abs=1e-6)


def test_the_risk_is_an_unbiased_estimate_of_the_squared_error():
    truth = torch.zeros(400, dtype=torch.float64)
    truth[:40] = torch.linspace(-4, 4, 40)
    y = truth + torch.randn(200, 400, dtype=torch.float64, generator=generator(5))
    t = torch.full((200,), 1.3, dtype=torch.float64)
    difference = risk_at(y, t) - (soft(y, 1.3) - truth).square().sum(1)
    assert abs(float(difference.mean())) < 3 * float(difference.std()) / math.sqrt(200)


def test_sparse_coefficients_get_the_universal_threshold():
    x = torch.randn(4096, generator=generator(6))
    assert float(sure_threshold(x)[0]) == pytest.approx(math.sqrt(2 * math.log(4096)), rel=1e-6)


def test_shifts_are_distinct_and_symmetric():
    for n in (1, 2, 4, 8, 16):
        shifts = set(shifts_2d(n))
        assert len(shifts) == n and {(b, a) for a, b in shifts} == shifts
    assert {(a % 2, b % 2) for a, b in shifts_2d(4)} == {(0, 0), (0, 1), (1, 0), (1, 1)}
