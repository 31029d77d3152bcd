"""Jacobians against loops, finite differences and closed forms; reports whose answer is known."""

import math

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, GaussianMixture, expand_sigma
from unnoise.errors import InputError
from unnoise.explain.harmonic_bases import (
    block_krylov,
    filter_at,
    jacobian,
    oracle_error,
    shrinkage_basis,
    singular_vectors,
    sure,
)
from unnoise.explain.harmonic_generalisation import (
    closest,
    generalisation_report,
    kl_bound,
    psnr_curve,
    psnr_slope,
    similarity,
)
from unnoise.explain.harmonic_nets import BFCNN, BFUNet, folded
from unnoise.noise.seeds import generator, normal_like


class Wiener(Denoiser):
    """The optimal denoiser of N(0.5, C) data, on pictures."""

    card = Card(kind="any", sigma_range=(0.0, math.inf))

    def __init__(self, values, vectors, shape):
        super().__init__()
        self.values, self.vectors, self.shape = values, vectors, shape

    def forward(self, y, sigma=None):
        s = expand_sigma(sigma, y).flatten()[0]
        gain = self.values / (self.values + s**2)
        flat = (y - 0.5).flatten(1) @ self.vectors * gain @ self.vectors.T
        return 0.5 + flat.reshape(y.shape)


def wiener(side=6):
    d = side * side
    values = 0.3 * torch.arange(1, d + 1, dtype=torch.float64) ** -1.5
    vectors = torch.linalg.qr(torch.randn(d, d, generator=generator(0), dtype=torch.float64))[0]
    return Wiener(values, vectors, (1, side, side))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = BFUNet(width=16, blocks=1)
    for p in net.parameters():
        if p.ndim == 1:
            torch.nn.init.uniform_(p, 0.5, 1.5)
    net.train()
    for k in range(3):
        net(torch.rand(4, 1, 8, 8, generator=generator(k)))
    return net.double().eval()


def test_jacobian_is_that_of_a_loop_and_of_finite_differences(net):
    y = torch.rand(1, 1, 8, 8, generator=generator(1), dtype=torch.float64)
    j = jacobian(net, y, chunk=10)
    leaf = y.clone().requires_grad_()
    out = net(leaf).flatten()
    loop = torch.stack([torch.autograd.grad(out[r], leaf, retain_graph=True)[0].flatten() for r in range(64)])
    torch.testing.assert_close(j, loop, rtol=1e-10, atol=1e-10)
    direction = torch.randn(64, generator=generator(2), dtype=torch.float64)
    step = 1e-6 * direction.reshape(y.shape)
    with torch.no_grad():
        difference = (net(y + step) - net(y - step)).flatten() / 2e-6
    torch.testing.assert_close(j @ direction, difference, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(filter_at(net, y, 3, 5).flatten(), j[3 * 8 + 5])


@pytest.mark.parametrize("make", [lambda: BFUNet(width=16, blocks=2), lambda: BFCNN(width=16, layers=5)])
def test_bias_free_networks_are_homogeneous_and_equal_their_jacobian(make):
    torch.manual_seed(1)
    net = make().train()
    net(torch.rand(4, 1, 8, 8))
    net.eval()
    y = torch.rand(1, 1, 8, 8)
    for c in (0.1, 3.0):
        torch.testing.assert_close(net(c * y), c * net(y), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(jacobian(net, y) @ y.flatten(), net(y).flatten(), rtol=1e-4, atol=1e-5)
    assert shrinkage_basis(net, y).homogeneity < 1e-5
    with pytest.raises(InputError, match="training mode"):
        shrinkage_basis(net.train(), y)


def test_folding_the_normalisation_changes_nothing(net):
    y = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(folded(net)(y), net(y), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("blocks", "count"), [(1, 366_080), (2, 1_825_024), (3, 7_659_264), (4, 30_993_152)])
def test_parameters_are_those_of_the_paper(blocks, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in BFUNet(blocks=blocks).parameters()) == count
        assert sum(p.numel() for p in BFCNN().parameters()) == 702_784


@pytest.mark.parametrize("method", ["full", "randomised"])
def test_the_optimal_denoiser_of_gaussian_data_shrinks_in_its_principal_components(method):
    w = wiener()
    y = torch.rand(1, 1, 6, 6, generator=generator(3), dtype=torch.float64)
    basis = shrinkage_basis(w, y, 0.1, k=8, method=method, clean=y)
    gain = w.values / (w.values + 0.01)
    torch.testing.assert_close(basis.eigenvalues, gain[:8], rtol=1e-8, atol=1e-8)
    overlap = (basis.eigenvectors.flatten(1) @ w.vectors[:, :8]).abs()
    torch.testing.assert_close(overlap, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(basis.coefficients.abs(), (y.flatten() @ w.vectors[:, :8]).abs(), rtol=1e-5, atol=1e-6)
    assert basis.trace == pytest.approx(float(gain.sum()), rel=1e-8 if method == "full" else 0.1)
    if method == "full":
        assert basis.asymmetry < 1e-12


def test_singular_vectors_rebuild_the_jacobian_and_agree_with_the_basis_where_it_is_symmetric(net):
    y = torch.rand(1, 1, 8, 8, generator=generator(6), dtype=torch.float64)
    found = singular_vectors(net, y)
    rebuilt = (found.left.flatten(1).T * found.values) @ found.right.flatten(1)
    torch.testing.assert_close(rebuilt, jacobian(net, y), rtol=1e-8, atol=1e-8)
    assert float(found.alignment.min()) < 0.9  # an untrained network turns patterns into others
    w = wiener()
    y = y[..., :6, :6]
    found, basis = singular_vectors(w, y, 0.1, k=5), shrinkage_basis(w, y, 0.1, k=5)
    torch.testing.assert_close(found.values, basis.eigenvalues)
    torch.testing.assert_close(found.alignment, torch.ones(5, dtype=torch.float64))
    with pytest.raises(InputError, match="between 1 and the 36"):
        singular_vectors(w, y, 0.1, k=37)


def test_the_integral_of_the_excess_error_is_the_divergence_of_two_gaussians():
    v, other, d = 0.5, 0.8, 3  # KL(N(0, v) || N(0, other)) of d numbers, in closed form
    sigmas = torch.logspace(-4, 4, 2000, dtype=torch.float64)
    gains = [a / (a + sigmas**2) for a in (v, other)]
    excess = (gains[1] - gains[0]) ** 2 * (v + sigmas**2)
    expected = d * 0.5 * (v / other - 1 - math.log(v / other))
    assert kl_bound(sigmas.tolist(), excess.tolist(), d) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(InputError, match="two rising"):
        kl_bound([0.2, 0.1], [0.0, 0.0], 1)


def test_the_mean_squared_error_of_the_optimal_denoiser_is_sigma_squared_times_its_trace():
    w = wiener()
    z = torch.randn(4000, 36, generator=generator(4), dtype=torch.float64)
    x = 0.5 + (z * w.values.sqrt() @ w.vectors.T).reshape(-1, 1, 6, 6)
    y = x + 0.2 * normal_like(x, generator(5))
    error = (w(y, 0.2) - x).square().flatten(1).sum(1)
    expected = 0.04 * float((w.values / (w.values + 0.04)).sum())
    assert abs(error.mean() - expected) < 4 * error.std() / math.sqrt(4000)
    stein = sure(w, y, 0.2, probes=2) * 36
    assert abs(stein.mean() - expected) < 4 * stein.std() / math.sqrt(4000)


def test_stein_estimates_the_error_of_a_network_without_the_clean_picture(net):
    x = torch.rand(64, 1, 16, 16, generator=generator(6), dtype=torch.float64)
    y = x + 0.1 * normal_like(x, generator(7))
    difference = sure(net, y, 0.1, probes=4) - (net(y) - x).square().flatten(1).mean(1).detach()
    assert abs(difference.mean()) < 3 * difference.std() / 8


def test_exact_mixtures_have_a_symmetric_positive_jacobian():
    d = GaussianMixture([0.3, 0.7], torch.randn(2, 9, generator=generator(8)).double(), [0.2, 0.4])
    y = torch.randn(1, 1, 3, 3, generator=generator(9), dtype=torch.float64)
    basis = shrinkage_basis(d, y, 0.5)
    covariance = d.posterior_cov(y, 0.5)[0] / 0.25
    torch.testing.assert_close(basis.eigenvalues, torch.linalg.eigvalsh(covariance).flip(0))
    assert basis.asymmetry < 1e-10
    assert basis.eigenvalues[-1] > -1e-12


def test_block_krylov_finds_the_top_of_a_slow_spectrum():
    d = 400
    q = torch.linalg.qr(torch.randn(d, d, generator=generator(0), dtype=torch.float64))[0]
    values = torch.arange(1, d + 1, dtype=torch.float64) ** -0.5
    a = q * values @ q.T
    found, vectors = block_krylov(lambda v: a @ v, d, 20, generator(1))
    torch.testing.assert_close(found, values[:20], rtol=5e-3, atol=0)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(20, dtype=torch.float64), rtol=0, atol=1e-8)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_oracle_shrinkage_has_the_optimal_slope(alpha):
    c = torch.arange(1, 200_001, dtype=torch.float64) ** (-(alpha + 1) / 2)
    sigmas = torch.logspace(-2, -1, 8, dtype=torch.float64)
    errors = torch.stack([oracle_error(c, float(s)) for s in sigmas])
    slope = psnr_slope((-20 * sigmas.log10()).tolist(), (-10 * errors.log10()).tolist())
    assert slope == pytest.approx(alpha / (alpha + 1), abs=0.03)
    bound = torch.stack([torch.minimum(c**2, s**2).sum() for s in sigmas])
    assert bool(((errors / bound >= 0.5) & (errors / bound <= 1)).all())


def test_one_denoiser_compared_with_itself():
    w = wiener()
    x = torch.rand(10, 1, 6, 6, generator=generator(0), dtype=torch.float64)
    (row,) = generalisation_report(w, w, (x[:5], x[5:]), x, [0.1])
    assert row.variance == 0
    assert row.ratio == 0
    assert abs(row.gap) < 3
    before, after = psnr_curve(w, x, [0.1])
    assert before[0] == pytest.approx(20, abs=1.5)  # 360 numbers
    assert after[0] == pytest.approx(row.test_psnr)


def test_similarities():
    x = torch.rand(4, 1, 6, 6, generator=generator(0))
    torch.testing.assert_close(similarity(x, 2 * x + 1), torch.ones(4))
    value, index = closest(x, torch.cat([torch.rand(3, 1, 6, 6, generator=generator(1)), x]))
    torch.testing.assert_close(value, torch.ones(4))
    assert index.tolist() == [3, 4, 5, 6]
    assert similarity(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 0  # flat pictures have no direction


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda n: jacobian(n, torch.rand(2, 1, 8, 8).double()), "one picture"),
        (lambda n: jacobian(n, torch.rand(1, 1, 90, 90).double()), "randomised"),
        (lambda n: shrinkage_basis(n, torch.rand(1, 1, 8, 8).double(), k=65), "between 1 and the 64"),
        (lambda n: shrinkage_basis(n, torch.rand(1, 1, 8, 8).double(), method="ful"), "did you mean 'full'"),
        (lambda n: filter_at(n, torch.rand(1, 1, 8, 8).double(), 8, 0), "outside"),
        (lambda n: n(torch.rand(1, 1, 7, 8).double()), "multiples of 2"),
        (lambda n: sure(n, torch.rand(1, 1, 8, 8).double(), 0.0), "above 0"),
        (lambda n: psnr_curve(n, torch.rand(2, 1, 8, 8).double(), [-0.1]), "above 0"),
        (
            lambda n: generalisation_report(
                n, BFUNet(3, 16, 1), (torch.rand(1, 1, 8, 8),) * 2, torch.rand(1, 1, 8, 8), [1]
            ),
            "1 and 3 channels",
        ),
        (lambda n: psnr_slope([1.0, 2.0], [1.0, 2.0], 5, 9), "two points"),
    ],
)
def test_bad_input_is_one_sentence(net, call, says):
    with pytest.raises(InputError, match=says):
        call(net)
