"""Wild-JDD: the closed forms against Monte Carlo and the exact evidence, demosaicking, exact tiles."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import InverseGamma, Normal

from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.wild_jdd import (
    JDDOutput,
    WildJDD,
    bound_loss,
    local_variance,
    nig_elbo,
    nig_posterior,
    prior,
    student_t_evidence,
    tiled,
)

D = torch.float64


def t(value):
    return torch.tensor(value, dtype=D)


def test_the_specs_numbers():
    out = JDDOutput(t(0.508), t(14.0), t(20.0), t(0.07))
    e = nig_elbo(t(0.52), t(0.5), out, 10.0, 23.5, t(0.0735))
    assert [float(v) for v in e] == pytest.approx([1.5726531, 1.8396678, 0.1168075, 0.1502071], abs=1e-6)
    best = nig_posterior(t(0.52), t(0.5), 10.0, 23.5, t(0.0735))
    at_best = nig_elbo(t(0.52), t(0.5), best, 10.0, 23.5, t(0.0735)).elbo
    assert float(at_best) == pytest.approx(1.8525269, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_closed_form_is_the_expectation(seed):
    u = torch.rand(8, generator=generator(seed), dtype=D)
    x, y, m = 0.5 + 0.1 * (u[:3] - 0.5)
    lam, lam_q = 1 + 20 * u[3], 1 + 20 * u[4]
    alpha, alpha_q = float(5 + 20 * u[5]), 5 + 20 * u[6]
    beta, beta_q = 0.02 + 0.05 * u[7], 0.03 + 0.04 * u[0]
    elbo = nig_elbo(x, y, JDDOutput(m, lam_q, alpha_q, beta_q), float(lam), alpha, beta).elbo
    torch.manual_seed(seed)
    q, p = InverseGamma(alpha_q, beta_q), InverseGamma(t(alpha), beta)
    s = q.sample((200_000,))
    z = Normal(m, (s / lam_q).sqrt()).sample()
    terms = Normal(z, s.sqrt()).log_prob(x) + Normal(y, (s / lam).sqrt()).log_prob(z) + p.log_prob(s)
    terms = terms - Normal(m, (s / lam_q).sqrt()).log_prob(z) - q.log_prob(s)
    assert float(elbo) == pytest.approx(float(terms.mean()), abs=4.5 * float(terms.std()) / 200_000**0.5)


def test_the_bound_never_exceeds_the_evidence_and_meets_it_at_the_posterior():
    g = generator(0)
    x, y = torch.rand(2, 500, generator=g, dtype=D)
    beta = 0.01 + torch.rand(500, generator=g, dtype=D)
    evidence = student_t_evidence(x, y, 7.0, 23.5, beta)
    best = nig_posterior(x, y, 7.0, 23.5, beta)
    assert torch.allclose(nig_elbo(x, y, best, 7.0, 23.5, beta).elbo, evidence, atol=1e-10)
    other = JDDOutput(*(v * (0.5 + torch.rand(500, generator=g, dtype=D)) for v in best))
    e = nig_elbo(x, y, other, 7.0, 23.5, beta)
    assert bool((e.elbo <= evidence).all()) and bool((e.kl_normal >= 0).all()) and bool((e.kl_ig >= 0).all())
    leaves = [v.clone().requires_grad_() for v in best]
    grads = torch.autograd.grad(nig_elbo(x, y, JDDOutput(*leaves), 7.0, 23.5, beta).elbo.sum(), leaves)
    assert max(float(v.abs().max()) for v in grads) < 1e-8
    same = nig_elbo(x, y, JDDOutput(y, t(7.0).expand(500), t(23.5).expand(500), beta), 7.0, 23.5, beta)
    assert torch.allclose(same.kl_normal, t(0.0), atol=1e-12) and torch.allclose(same.kl_ig, t(0.0), atol=1e-12)


def test_gradients_are_right():
    out = [torch.rand(4, dtype=D, generator=generator(i)).add(1).requires_grad_() for i in range(4)]
    x, y, beta = torch.rand(3, 4, dtype=D, generator=generator(5)) + 0.1
    assert torch.autograd.gradcheck(lambda *o: nig_elbo(x, y, JDDOutput(*o), 3.0, 5.0, beta).elbo, out)


@pytest.mark.parametrize("lam", [1e-8, 1.0, 50.0, 1e8])
def test_the_best_mean_keeps_a_share_of_the_input(lam):
    """Trap 1: y^ = (lam y + x~) / (lam + 1); debiasing takes the input out again."""
    x, y = t(0.9), t(0.4)
    m = torch.linspace(0.3, 1.0, 70_001, dtype=D)
    out = JDDOutput(m, t(10.0), t(20.0), t(0.1))
    best = m[nig_elbo(x, y, out, lam, 23.5, t(0.1)).elbo.argmax()]
    assert float(best) == pytest.approx(float((lam * y + x) / (lam + 1)), abs=2e-5)
    if lam == 50.0:
        exact = nig_posterior(x, y, lam, 23.5, t(0.1))
        assert float(exact.debiased(x, lam)) == pytest.approx(0.4)


def test_scaling_the_data_shifts_the_bound_by_its_logarithm():
    c, out = 3.0, JDDOutput(t(0.508), t(14.0), t(20.0), t(0.07))
    a = nig_elbo(t(0.52), t(0.5), out, 10.0, 23.5, t(0.0735)).elbo
    big = JDDOutput(c * out.mean, out.lam, out.alpha, c * c * out.beta)
    b = nig_elbo(c * t(0.52), c * t(0.5), big, 10.0, 23.5, c * c * t(0.0735)).elbo
    assert float(b - a) == pytest.approx(-math.log(c), abs=1e-9)


def test_the_prior_has_the_local_variance_as_its_mode():
    x = torch.rand(1, 3, 12, 14, dtype=D)
    xi = local_variance(x + 0.2, x)
    assert torch.allclose(xi, t(0.04))
    alpha, beta = prior(xi, 7)
    assert alpha == 23.5 and torch.allclose(beta / (alpha + 1), xi)
    with pytest.raises(InputError, match="odd"):
        local_variance(x, x, 4)


def test_the_prior_is_the_noise_of_the_samples_and_not_the_error_of_the_interpolation():
    g = generator(3)
    z = torch.rand(1, 3, 64, 64, dtype=D, generator=g)  # nothing that can be interpolated
    deviation = torch.tensor([0.02, 0.05, 0.1], dtype=D)[None, :, None, None]
    noise = deviation * torch.randn(z.shape, dtype=D, generator=g)
    xi = local_variance(demosaick(mosaic(z + noise), "bilinear"), z, 15)
    for c in range(3):
        assert float(xi[:, c].mean()) == pytest.approx(float(deviation[0, c]) ** 2, rel=0.1)


def test_a_mean_that_is_off_does_not_raise_the_noise_map():
    """The bound alone would be least at a beta larger by lam / 2 of the squared error."""
    x, y = (0.5 + 0.1 * torch.rand(1, 3, 12, 12, dtype=D, generator=generator(i)) for i in range(2))
    lam, alpha, beta = 300.0, 23.5, torch.full((1, 3, 12, 12), 0.05, dtype=D)
    best = nig_posterior(x, y, lam, alpha, beta)
    off = [t.clone().requires_grad_() for t in best._replace(mean=best.mean + 0.03)]
    gradients = torch.autograd.grad(bound_loss(x, y, JDDOutput(*off), lam, alpha, beta).sum(), off)
    assert max(float(g.abs().max()) for g in gradients[1:]) < 1e-8  # maps are at their best already
    plain = torch.autograd.grad(-nig_elbo(x, y, JDDOutput(*off), lam, alpha, beta).elbo.sum(), off)
    assert float(plain[3].max()) < -1.0  # where the bound wants a larger beta
    assert float(gradients[0].min()) > 0  # and the mean is drawn back
    at_best = [t.clone().requires_grad_() for t in best]
    loss = bound_loss(x, y, JDDOutput(*at_best), lam, alpha, beta)
    assert torch.allclose(loss, -nig_elbo(x, y, best, lam, alpha, beta).elbo)
    assert max(float(g.abs().max()) for g in torch.autograd.grad(loss.sum(), at_best)) < 1e-8


def test_interpolation_keeps_samples_ramps_and_constants():
    z = torch.rand(1, 3, 10, 12, dtype=D)
    assert torch.equal(mosaic(demosaick(mosaic(z), "bilinear")), mosaic(z))
    rows, columns = torch.arange(10, dtype=D)[:, None], torch.arange(12, dtype=D)
    ramp = torch.stack([0.1 + 0.02 * rows + 0.03 * columns, 0.5 - 0.01 * rows + 0 * columns, 0.04 * columns + 0 * rows])
    back = demosaick(mosaic(ramp[None]), "bilinear")
    assert torch.allclose(back[..., 2:-2, 2:-2], ramp[None, :, 2:-2, 2:-2])


SMALL = {"width": 8, "groups": 0, "blocks": 1}
DENSE = {"width": 8, "groups": 1, "blocks": 2, "convs": 2, "growth": 4}


def trained(config, heads="separate"):
    """A net with its last layers filled, as if it had learnt."""
    torch.manual_seed(0)
    net = WildJDD(**config, heads=heads).double().eval()
    with torch.no_grad():
        for p in net.parameters():
            if not bool(p.any()):
                p.normal_(0, 0.05)
    return net


@pytest.mark.parametrize("heads", ["shared", "separate"])
@pytest.mark.parametrize("config", [SMALL, DENSE])
def test_a_new_network_is_the_interpolation_and_the_prior(config, heads):
    net = WildJDD(**config, heads=heads, lam=100.0)
    x = torch.rand(2, 1, 9, 14)
    out = net(x)
    assert torch.equal(out.mean, demosaick(x, "bilinear"))
    assert torch.allclose(out.lam, torch.tensor(100.0)) and torch.allclose(out.alpha, torch.tensor(24.5))
    assert torch.allclose(out.variance(), out.beta / 23.5) and torch.allclose(out.std(), (out.beta / 2350).sqrt())


@pytest.mark.parametrize("config", [SMALL, DENSE])
@pytest.mark.parametrize("size", [(70, 93), (64, 44)])
def test_tiles_do_not_show(config, size):
    net = trained(config)
    x = torch.rand(1, 1, *size, dtype=D, generator=generator(1))
    with torch.no_grad():
        for whole, parts in zip(net(x), tiled(net, x, tile=13), strict=True):
            assert torch.allclose(whole, parts, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("config", [SMALL, DENSE])
def test_the_sight_of_the_mean_holds_at_every_phase(config):
    net = trained(config)
    edge = 2 * net.sight + 12
    x = torch.rand(1, 1, edge, edge, dtype=D, requires_grad=True)
    out = net(x).mean
    assert torch.equal(out, net.mean(x))
    for row in range(net.stride):
        at = edge // 2 // net.stride * net.stride + row
        [g] = torch.autograd.grad(out[0, :, at, at].sum(), x, retain_graph=True)
        seen = torch.nonzero(g[0, 0].any(1)).flatten()
        assert at - net.sight <= int(seen.min()) and int(seen.max()) <= at + net.sight


@pytest.mark.parametrize("heads", ["shared", "separate"])
@pytest.mark.parametrize("config", [SMALL, DENSE])
def test_the_reach_of_the_noise_map_holds(config, heads):
    net = trained(config, heads)
    edge = 2 * net.reach + 16
    x = torch.rand(1, 1, edge, edge, dtype=D, generator=generator(2))
    with torch.no_grad():
        before = net(x)
        for at in range(edge // 2, edge // 2 + net.stride):
            changed = x.clone()
            changed[0, 0, at, at] += 5
            for a, b in zip(before, net(changed), strict=True):
                moved = torch.nonzero((a - b)[0].abs().amax((0, 1)) > 1e-12).flatten()
                assert at - net.reach <= int(moved.min()) and int(moved.max()) <= at + net.reach


def test_a_collapsed_alpha_gives_the_mode():
    out = JDDOutput(t(0.0), t(1.0), t(0.5), t(3.0))
    assert float(out.variance()) == pytest.approx(2.0)


def test_inputs_that_are_no_mosaic():
    net = WildJDD(**SMALL)
    with pytest.raises(InputError, match="demosaicked already"):
        net(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match="no mosaic"):
        net(torch.zeros(1, 1, 2, 8))
    with pytest.raises(InputError, match="unknown heads"):
        WildJDD(**SMALL, heads="both")
    assert np.isfinite(net(torch.zeros(1, 1, 8, 8)).beta.detach().numpy()).all()
