"""The wavelet transform equals pywt's, inverts exactly and keeps energy."""

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise.errors import InputError
from unnoise.noise.wavelets import dwt2, idwt2, max_levels

WAVELETS = ["haar", "db2", "db5", "sym4", "coif1", "bior4.4", "bior1.3", "rbio2.2", "dmey"]


def pywt_coefficients(x, wavelet, levels):
    approx, details = x, []
    for _ in range(levels):
        approx, d = pywt.dwt2(approx, wavelet, mode="periodization")
        details.append(np.stack(d, axis=-3))
    return [approx, *reversed(details)]


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("size", [(32, 48), (33, 47), (5, 3), (1, 1), (1, 8)])
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_equals_pywt(wavelet, size, dtype, tolerance):
    x = torch.randn(2, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(dwt2(x, wavelet, 3), pywt_coefficients(x.double().numpy(), wavelet, 3), strict=True):
        assert ours.shape == theirs.shape
        # float32 error grows with the gain of the coarse levels, so it is taken relative to the values
        assert np.abs(ours.double().numpy() - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max())


def test_one_level_of_unit_data_equals_pywt_to_1e_6():
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(dwt2(x, "db4", 1), pywt_coefficients(x.double().numpy(), "db4", 1), strict=True):
        assert np.abs(ours.numpy() - theirs).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(WAVELETS[:-1]), st.integers(1, 40), st.integers(1, 40), st.integers(0, 4), st.integers(0, 9999))
def test_inverse_restores_any_size(wavelet, h, w, levels, seed):
    x = torch.randn(1, 2, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(idwt2(dwt2(x, wavelet, levels), wavelet, x.shape), x, atol=1e-9)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db5", "sym4", "coif1"])
def test_orthonormal_keeps_energy_and_inner_products(wavelet):
    x, z = torch.randn(2, 1, 2, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    a, b = (torch.cat([c.flatten() for c in dwt2(t, wavelet, 3)]) for t in (x, z))
    assert torch.isclose(a @ b, (x * z).sum(), rtol=1e-10)
    assert torch.isclose(a @ a, x.square().sum(), rtol=1e-10)


def test_is_differentiable():
    x = torch.randn(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: tuple(dwt2(t, "db2", 2)), x)


def test_max_levels_is_that_of_pywt():
    assert max_levels((2, 3, 100, 64), "db4") == pywt.dwt_max_level(64, 8)


def test_bad_arguments_say_what_is_wrong():
    x = torch.zeros(1, 1, 8, 8)
    with pytest.raises(InputError, match="unknown wavelet 'nosuch'"):
        dwt2(x, "nosuch")
    with pytest.raises(InputError, match="levels must be >= 0"):
        dwt2(x, "haar", -1)
    with pytest.raises(InputError, match=r"\(B, C, H, W\)"):
        dwt2(x[0])
