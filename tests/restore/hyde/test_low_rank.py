"""Alternations that cannot go uphill; orthonormal spectra; HyMiNoR's step and objective."""

import itertools

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise import generator
from unnoise.noise.spectral import gram
from unnoise.restore.hyde.base import eigenbasis, symmetric_pad
from unnoise.restore.hyde.hyminor import Banded, HyMiNoR, mixed_l1
from unnoise.restore.hyde.hyres import HyRes
from unnoise.restore.hyde.otvca import OTVCA
from unnoise.restore.hyde.subspace import pca
from unnoise.restore.hyde.total_variation import divergence, gradient, rof, total_variation
from unnoise.restore.hyde.transform import Subbands
from unnoise.restore.hyde.wsrrr import WSRRR


def identity(v):
    return torch.allclose(v.T.double() @ v.double(), torch.eye(v.shape[1], dtype=torch.float64), atol=1e-5)


def downhill(trace):
    return all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(trace))


def principal(y):
    """All principal images of a cube (bands, H, W), strongest first."""
    return torch.einsum("bk,bhw->khw", eigenbasis(gram(y.flatten(1)))[1].to(y), y)


def test_wsrrr_goes_downhill_with_orthonormal_spectra(clean, noise):
    z = symmetric_pad(principal((clean + 0.05 * noise(clean))[0] / 0.05), 8)
    trace = []
    _, v = WSRRR(rank=6, tolerance=0, iterations=15).factors(z, Subbands((48, 40), "db5", 3), trace)
    assert identity(v) and len(trace) == 15 and downhill(trace)


@pytest.mark.parametrize("inner", [1, 3])
def test_otvca_goes_downhill_with_orthonormal_spectra(inner, clean, noise):
    z = principal((clean + 0.05 * noise(clean))[0] / 0.05)
    trace = []
    _, v = OTVCA(features=6, iterations=12, inner=inner).factors(z, trace)
    assert identity(v) and downhill(trace) and trace[-1] < trace[0]


def test_otvca_without_total_variation_is_the_projection_on_principal_spectra(clean, noise):
    y = clean + 0.05 * noise(clean)
    assert torch.allclose(OTVCA(features=6, lam=0)(y, 0.05), pca(y, 6), atol=1e-4)


def test_otvca_gives_feature_images(clean, noise):
    f = OTVCA(features=5).features(clean + 0.05 * noise(clean))
    assert f.shape == (1, 5, 48, 40)
    assert bool((total_variation(f[0]) < total_variation(torch.randn(5, 48, 40, generator=generator(0)) * 30)).all())


def test_feature_images_leave_constant_bands_out_and_take_a_level(clean, noise):
    y = clean + 0.05 * noise(clean)
    more = torch.cat([y[:, :7], torch.full_like(y[:, :1], 0.5), y[:, 7:]], 1)
    otvca = OTVCA(features=5)
    assert torch.allclose(otvca.features(more), otvca.features(y), atol=1e-4)
    assert torch.allclose(otvca.features(2 * y, 0.1), otvca.features(y, 0.05), atol=1e-3)
    with pytest.raises(InputError, match="not finite"):
        otvca.features(y.masked_fill(y == y.max(), torch.nan))


def test_divergence_is_minus_the_adjoint_of_the_gradient():
    g = generator(1)
    f, p = torch.randn(2, 9, 7, generator=g), gradient(torch.randn(2, 9, 7, generator=g))
    assert float((gradient(f) * p).sum()) == pytest.approx(-float((f * divergence(p)).sum()), abs=1e-4)


def test_rof_agrees_with_the_library_at_convergence(clean, noise):
    from skimage.restoration import denoise_tv_chambolle

    c = (clean + 0.05 * noise(clean))[0, :3]
    ours, _ = rof(c, 0.05, iterations=500)
    theirs = torch.stack([torch.from_numpy(denoise_tv_chambolle(i.numpy(), 0.05, 1e-9, 4000)) for i in c])
    assert float((ours - theirs).abs().max()) < 2e-3


def test_rof_goes_on_from_its_dual_variable(noise, clean):
    c = (clean + 0.1 * noise(clean))[0, :2]
    exact, _ = rof(c, 0.1, iterations=2000)
    _, dual = rof(c, 0.1, iterations=200)
    assert float((rof(c, 0.1, dual, 3)[0] - exact).norm()) < 0.2 * float((rof(c, 0.1, None, 3)[0] - exact).norm())


def test_hyres_takes_every_component_and_no_threshold_for_the_identity(clean, noise, monkeypatch):
    y = clean + 0.05 * noise(clean)
    zero = lambda x, hybrid=True: (x.new_zeros(x.shape[:-1]), x.new_zeros(x.shape[:-1], dtype=torch.float64))  # noqa: E731
    monkeypatch.setattr("unnoise.restore.hyde.hyres.sure_threshold", zero)
    monkeypatch.setattr("unnoise.restore.hyde.hyres.above_noise", lambda values, n: len(values))
    monkeypatch.setattr("unnoise.restore.hyde.hyres.fine_power", lambda d: torch.full((len(d),), -1e9))
    assert torch.allclose(HyRes(max_rank=30)(y), y, atol=1e-4)


def test_hyres_beats_the_projection_of_the_same_rank(clean, noise):
    y = clean + 0.05 * noise(clean)
    error = {n: (x - clean).square().mean() for n, x in {"hyres": HyRes()(y), "pca": pca(y, 4)}.items()}
    assert error["hyres"] < 0.5 * error["pca"]


def test_hyminor_is_the_algorithm_written_out(clean):
    """Algorithm 1 with V1, V2, L1, L2 kept apart, in float64."""
    h = clean[0].flatten(1)[:, :50].double()
    lam, mu = 0.3, 0.5
    eye = torch.eye(30, dtype=h.dtype)
    d = torch.cat([torch.diff(eye, dim=0), torch.zeros(1, 30, dtype=h.dtype)])

    def soft(x, t):
        return x.sign() * (x.abs() - t).clamp(min=0)

    v1, v2, l1, l2 = (torch.zeros_like(h) for _ in range(4))
    for _ in range(20):
        right = mu * (h + l1 - v1) + mu * d.T @ (v2 - l2)
        x = torch.linalg.solve(mu * eye + mu * d.T @ d, right)
        assert torch.allclose((mu * eye + mu * d.T @ d) @ x, right, atol=1e-6)  # the normal equations
        v1, v2 = soft(h - x + l1, 1 / mu), soft(d @ x + l2, lam / mu)
        l1, l2 = l1 + h - x - v1, l2 + d @ x - v2
    assert torch.allclose(mixed_l1(h, lam, 20, mu, mu), x, atol=1e-8)


def test_a_banded_product_leaves_out_only_rounding():
    d = torch.diff(torch.eye(90, dtype=torch.float64), dim=0)
    m = torch.linalg.inv(torch.eye(90, dtype=torch.float64) + d.T @ d)
    x = torch.randn(90, 11, generator=generator(5))
    out, banded = torch.empty_like(x), Banded(m, x)
    banded(x, out)
    assert torch.allclose(out, (m @ x.double()).float(), atol=1e-6)
    assert sum(block.numel() for _, _, block in banded.blocks) < 0.8 * m.numel()


def test_hyminor_without_smoothing_is_hyres(clean, noise):
    y = clean + 0.05 * noise(clean)
    assert torch.allclose(HyMiNoR(lam=0)(y), HyRes()(y), atol=1e-5)


@pytest.mark.parametrize(("lam", "share"), [(0.05, 1.001), (2.0, 0.8)])
def test_hyminor_lowers_its_objective(lam, share, clean, noise):
    """A weight under 1/2 leaves L1-TV at H itself; a larger one moves it."""
    h = (clean + 0.02 * noise(clean))[0].flatten(1)[:, :100].double()

    def objective(x):
        return float((h - x).abs().sum() + lam * x.diff(dim=0).abs().sum())

    assert objective(mixed_l1(h, lam, 300, 20.0, 20.0)) < share * objective(h)


def test_eigenvectors_are_sorted_orthonormal_and_of_fixed_sign():
    y = torch.randn(9, 200, generator=generator(3))
    values, v = eigenbasis(gram(y))
    assert bool((values.diff() <= 0).all()) and identity(v)
    assert torch.allclose(gram(y) @ v, v * values, atol=1e-6)
    assert bool((v.gather(0, v.abs().argmax(0, keepdim=True)) > 0).all())
