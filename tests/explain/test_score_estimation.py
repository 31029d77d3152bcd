"""The kernel, its closed-form evolution, the network that follows it, and what early stopping is worth."""

import math
from itertools import pairwise

import pytest
import torch

from unnoise.denoiser import GaussianMixture
from unnoise.errors import InputError
from unnoise.explain.score_estimation import (
    KernelScoreRegressor,
    NTKScoreRegressor,
    coupling,
    draw_samples,
    error_terms,
    evolved,
    kappa,
    process,
    stop_rwy,
)
from unnoise.noise.seeds import generator

BLOBS = GaussianMixture([0.4, 0.3, 0.2, 0.1], [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], 0.15)


def truth(x, t):
    """E[X_0 | X_t = x] on the exact marginal."""
    alpha, h = process(t)
    return BLOBS(x / alpha[:, None], h.sqrt() / alpha)


@pytest.fixture(scope="module")
def x0():
    return BLOBS.sample(80, generator(0))


@pytest.fixture(scope="module")
def test_states():
    s = draw_samples(BLOBS.sample(600, generator(9)), radius=3.0, seed=9)
    return s.x, s.t


def z(n, seed=0, p=4):
    return torch.randn(n, p, generator=generator(seed), dtype=torch.float64)


def test_the_kernel_has_its_symmetries():
    a, b = z(20), z(15, 1)
    torch.testing.assert_close(kappa(a, a).diagonal(), a.square().sum(1) / 2, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(kappa(2 * a, 3 * b), 6 * kappa(a, b))
    assert kappa(a, -a).diagonal().abs().max() < 1e-6
    assert torch.linalg.eigvalsh(kappa(a, a))[0] > -1e-7


def test_the_kernel_is_the_limit_of_wide_networks_and_diagonal_over_outputs():
    points, errors = z(6), []
    for m in (1000, 4000, 16000):
        g = generator(m)
        error, off = [], []
        for _ in range(6):
            w = torch.randn(m, 4, generator=g, dtype=torch.float64)
            a = torch.randn(m, 2, generator=g, dtype=torch.float64).sign()
            on = (points @ w.T > 0).double()
            empirical = (on @ on.T / m) * (points @ points.T)
            error.append((empirical - kappa(points, points)).square().mean())
            off.append(((on * (a[:, 0] * a[:, 1])) @ on.T / m * (points @ points.T)).square().mean())
        errors.append(math.sqrt(sum(error) / 6))
        assert math.sqrt(sum(off) / 6) < 6 / math.sqrt(m)
    slope = math.log(errors[2] / errors[0]) / math.log(16)
    assert slope == pytest.approx(-0.5, abs=0.15)


@pytest.mark.parametrize("tau", [0, 1, 7, 50])
def test_the_closed_form_is_gradient_descent(x0, tau):
    k = KernelScoreRegressor(stop=tau).fit(x0)
    h, y = kappa(k.z_, k.z_), k.samples_.x0
    gamma = torch.zeros_like(y)
    for _ in range(tau):
        gamma = gamma - k.step_size_ * (h @ gamma - y)
    torch.testing.assert_close(k.gamma(tau), gamma, rtol=1e-10, atol=1e-10)


def test_in_the_end_the_kernel_interpolates_its_labels(x0):
    k = KernelScoreRegressor(stop=0).fit(x0[:30])
    tau = 40 / (k.step_size_ * float(k.eigenvalues_[0]))
    fitted = kappa(k.z_, k.z_) @ k.gamma(tau)
    torch.testing.assert_close(fitted, k.samples_.x0, rtol=1e-6, atol=1e-6)
    assert evolved(torch.zeros(1, dtype=torch.float64), 0.1, 7.0).item() == pytest.approx(0.7)


def test_the_gradient_is_that_of_autograd_and_the_symmetric_start_is_zero(x0):
    n = NTKScoreRegressor(width=64, stop=3, symmetric=True).fit(x0[:20])
    assert n._raw(n.z_, n.initial_).abs().max() < 1e-14  # zero but for the order of the sum
    w = n.weights_.clone().requires_grad_()
    residual = (n.z_ @ w.T).relu() @ n.signs_ / 8 - n.samples_.x0
    (expected,) = torch.autograd.grad(0.5 * residual.square().sum(), w)
    torch.testing.assert_close(n.gradient(residual.detach()), expected, rtol=1e-10, atol=1e-10)


def test_the_training_loss_of_a_wide_network_does_not_rise(x0):
    n = NTKScoreRegressor(width=4096, stop=15).fit(x0[:40])
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(n.history_))
    assert n.history_[-1] < 0.8 * n.history_[0]


def test_network_and_kernel_draw_together_with_the_root_of_the_width(x0, test_states):
    rms = {
        m: math.sqrt(sum(coupling(x0, *test_states, m, [10], seed=s)[0].rms ** 2 for s in range(3)) / 3)
        for m in (256, 1024, 4096)
    }
    slope = math.log(rms[4096] / rms[256]) / math.log(16)
    assert -0.65 < slope < -0.35
    narrow, wide = (coupling(x0, *test_states, m, [10])[0] for m in (256, 4096))
    assert wide.move < narrow.move
    assert wide.flips < narrow.flips


def test_stopping_early_beats_interpolation_and_the_rules_find_it(x0, test_states):
    x, t = test_states
    target = truth(x, t)

    def error(regressor, tau=None):
        return float((regressor.predict_x0(x, t, tau) - target).square().sum(1).mean())

    k = KernelScoreRegressor(stop="holdout", radius=3.0).fit(x0)
    curve = {tau: error(k, tau) for tau in (0, 3, 10, 30, 100, 300, 1000, 3000)}
    best = min(curve.values())
    assert best < 0.5 * curve[3000]
    assert best < 0.5 * curve[0]
    assert error(k) < 1.6 * best
    rwy = KernelScoreRegressor(stop="rwy", radius=3.0).fit(x0)
    vector = KernelScoreRegressor(stop="rwy_vector", radius=3.0).fit(x0)
    assert 0 < vector.stopping_time_ <= rwy.stopping_time_ + 1
    assert error(rwy) < 0.7 * curve[3000]
    assert 0 < KernelScoreRegressor(stop="discrepancy", radius=3.0).fit(x0).stopping_time_ <= 3000


def test_more_label_noise_stops_earlier(x0):
    k = KernelScoreRegressor(stop=0).fit(x0)
    times = [stop_rwy(k.eigenvalues_, k.step_size_, noise) for noise in (0.05, 0.2, 0.8)]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[2]
    assert stop_rwy(k.eigenvalues_, k.step_size_, 0.0, most=70) == 70  # labels without noise are never stopped at


def test_the_loss_is_the_score_error_and_a_constant():
    """L(f) - E Tr Cov(X_0 | X_t) = E (h / alpha)**2 |s - grad log p|**2, for any f; here f is half the truth."""
    s = draw_samples(BLOBS.sample(120_000, generator(1)), radius=1e9, seed=2)
    alpha, h = process(s.t)
    f_star = truth(s.x, s.t)
    f = 0.5 * f_star
    loss = (f - s.x0).square().sum(1)
    constant = (f_star - s.x0).square().sum(1)  # its mean is that of the trace
    score = (alpha[:, None] * f - s.x) / h[:, None]
    exact = (alpha[:, None] * f_star - s.x) / h[:, None]
    weighted = (h / alpha).square() * (score - exact).square().sum(1)
    difference = loss - constant - weighted
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(len(difference))
    assert float(loss.mean() - constant.mean()) == pytest.approx(float(weighted.mean()), rel=0.03)


def test_the_score_identity():
    t = torch.tensor([0.3, 1.0], dtype=torch.float64)
    x = z(2, 3, 2)
    alpha, h = process(t)
    leaf = x.clone().requires_grad_()
    log_p = BLOBS.log_prob(leaf / alpha[:, None], h.sqrt() / alpha)
    (gradient,) = torch.autograd.grad(log_p.sum(), leaf)
    torch.testing.assert_close((alpha[:, None] * truth(x, t) - x) / h[:, None], gradient, rtol=1e-8, atol=1e-8)


def test_outside_the_radius_the_score_points_home_and_the_denoiser_is_f(x0):
    k = KernelScoreRegressor(stop=20, radius=2.0).fit(x0)
    x = torch.tensor([[3.0, 0.0], [0.5, 0.2]], dtype=torch.float64)
    t = torch.tensor([0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(k.score(x, t)[0], -x[0] / -math.expm1(-0.5))
    sigma = math.sqrt(math.expm1(0.5))
    y = x[1:] / math.exp(-0.25)
    torch.testing.assert_close(k.denoiser()(y, sigma), k.predict_x0(x[1:], t[1:]))


def test_times_and_noise_are_independent_of_data_drawn_with_the_same_seed():
    """Else the time would tell the component, and the truth would not be the mean of the labels."""
    s = draw_samples(BLOBS.sample(20_000, generator(4)), radius=1e9, seed=4)
    off = s.x0 - truth(s.x, s.t)
    assert bool((off.mean(0).abs() < 4 * off.std(0) / math.sqrt(len(off))).all())


def test_several_step_numbers_and_other_labels(x0, test_states):
    x, t = test_states
    k = KernelScoreRegressor(stop=5, radius=3.0).fit(x0)
    both = k.predict_x0(x, t, [5, 50])
    torch.testing.assert_close(both[0], k.predict_x0(x, t))
    torch.testing.assert_close(k.predict_x0(x, t, 50, labels=2 * k.samples_.x0), 2 * both[1])


def test_nystrom_with_every_sample_as_a_landmark_is_exact_and_with_fewer_close(x0, test_states):
    x, t = test_states
    exact = KernelScoreRegressor(stop=30, radius=3.0).fit(x0)
    whole = KernelScoreRegressor(stop=30, radius=3.0, method="nystrom", landmarks=80).fit(x0)
    torch.testing.assert_close(whole.predict_x0(x, t), exact.predict_x0(x, t), rtol=1e-5, atol=1e-5)
    for rule in ("rwy", "discrepancy", "holdout"):
        assert whole.stopping_time(rule) == exact.stopping_time(rule)
    part = KernelScoreRegressor(stop=30, radius=3.0, method="nystrom", landmarks=30).fit(x0)
    off = (part.predict_x0(x, t) - exact.predict_x0(x, t)).square().mean().sqrt()
    assert 0 < off < 0.1 * exact.predict_x0(x, t).square().mean().sqrt()


def test_more_samples_than_the_exact_matrix_allows(test_states):
    many = KernelScoreRegressor(stop=20, radius=3.0, method="nystrom", landmarks=60)
    many.fit(BLOBS.sample(20_500, generator(3)))
    x, t = test_states
    off = many.predict_x0(x, t) - truth(x, t)
    assert off.square().sum(1).mean() < 0.1


def test_the_error_is_at_most_the_sum_of_its_four_terms(x0, test_states):
    net = NTKScoreRegressor(width=512, stop=20, radius=3.0).fit(x0)
    terms = error_terms(net, truth, *test_states, n=300)
    parts = (terms.coupling, terms.mismatch, terms.stopping, terms.approximation)
    assert all(part > 0 for part in parts)
    assert max(parts) / 4 < terms.total <= sum(parts) + 1e-12
    assert terms.approximation < terms.total
    with pytest.raises(InputError, match="smaller n"):
        error_terms(net, truth, *test_states, n=1000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: KernelScoreRegressor(stop="holdou").fit(x), "did you mean 'holdout'"),
        (lambda x: KernelScoreRegressor(step_size=1e3).fit(x), "diverges"),
        (lambda x: KernelScoreRegressor(step_size=0.0).fit(x), "stands still"),
        (lambda x: KernelScoreRegressor(stop=-1).fit(x), "must not be negative"),
        (lambda x: KernelScoreRegressor(most=0).fit(x), "at least 1"),
        (lambda x: KernelScoreRegressor(radius=1e-3).fit(x), "none of the 80 samples"),
        (lambda x: KernelScoreRegressor().fit(x[:4]), "5 samples"),
        (lambda x: KernelScoreRegressor().fit(torch.full((5, 2), math.nan)), "finite"),
        (lambda x: KernelScoreRegressor(t_min=0.0).fit(x), "t_min"),
        (lambda x: KernelScoreRegressor().fit(torch.zeros(30_000, 1)), "method='nystrom'"),
        (lambda x: KernelScoreRegressor(stop=1).fit(x).predict_x0(torch.zeros(1, 3), torch.ones(1)), "as in fit"),
        (lambda x: NTKScoreRegressor(width=8, stop=1).fit(x).predict_x0(x, torch.ones(80), 3), "where its training"),
    ],
)
def test_bad_input_is_one_sentence(x0, make, says):
    with pytest.raises(InputError, match=says):
        make(x0)
