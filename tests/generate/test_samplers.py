"""Orders of convergence, closed forms, marginals and the bookkeeping of every sampler, on exact scores."""

import math
from itertools import pairwise

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, GaussianMixture, as_denoiser
from unnoise.errors import InputError, UnnoiseError
from unnoise.generate.samplers import SAMPLERS, ddim, ddpm, dpmpp_2m, euler, heun, unipc
from unnoise.noise.grids import karras, uniform_lambda
from unnoise.noise.schedule import EDM, DiscreteVP, Flow
from unnoise.noise.seeds import generator, generators

DETERMINISTIC = ["ddim", "dpmpp_2m", "euler", "heun", "unipc"]
CALLS = {"heun": lambda n: 2 * n - 1}


def noise(n, d, level, seed=0):
    return level * torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def closed_form(x, s, t, m=0.3, v=0.49):
    return m + (x - m) * math.sqrt((v + t**2) / (v + s**2))


@pytest.mark.parametrize(
    ("name", "order", "counts"),
    [
        ("euler", 1, (64, 128, 256)),
        ("heun", 2, (32, 64, 128)),
        ("dpmpp_2m", 2, (64, 128, 256)),
        ("unipc", 2, (32, 64, 128)),
    ],
)
def test_order_of_convergence_on_a_gaussian(gaussian, name, order, counts):
    x = noise(50, 3, 20.0)
    truth = closed_form(x, 20.0, 0.01)
    errors = []
    for n in counts:
        end = SAMPLERS[name](gaussian, x, uniform_lambda(n, 0.01, 20.0)[:-1])
        errors.append((end - truth).square().mean().sqrt().item())
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert abs(slopes[-1] - order) < 0.15 or slopes[-1] > order  # UniPC's corrector makes it better than its order


@pytest.mark.parametrize(
    ("name", "steps", "error"), [("euler", 64, 0.046), ("heun", 32, 0.0071), ("dpmpp_2m", 64, 0.003)]
)
def test_end_points_on_the_mixture_are_as_near_as_measured_before(mixture, name, steps, error):
    x = noise(400, 2, 80.0)
    truth = heun(mixture, x, karras(1000, 0.01, 80.0))
    end = SAMPLERS[name](mixture, x, karras(steps, 0.01, 80.0))
    assert (end - truth).square().sum(1).mean().sqrt() < 2 * error


def test_third_order_unipc_is_more_accurate_than_second(gaussian):
    x = noise(50, 3, 20.0)
    grid = uniform_lambda(40, 0.01, 20.0)[:-1]
    truth = closed_form(x, 20.0, 0.01)
    second, third = ((unipc(gaussian, x, grid, order=p) - truth).abs().mean() for p in (2, 3))
    assert third < 0.3 * second


def test_one_euler_step_is_the_closed_form(gaussian):
    x = noise(5, 3, 4.0)
    shrink = 0.49 / (0.49 + 16)
    expected = x + (1.0 - 4.0) / 4.0 * (x - (0.3 + shrink * (x - 0.3)))
    torch.testing.assert_close(euler(gaussian, x, [4.0, 1.0]), expected, rtol=1e-12, atol=1e-12)


class Fixed(Denoiser):
    """Always the same estimate, or one linear in lambda."""

    card = Card(kind="any", value_range=None, sigma_range=(0.0, math.inf))

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, y, sigma=None):
        return torch.full_like(y, 0.5 + self.slope * -math.log(sigma))


def test_multistep_is_exact_for_a_constant_estimate_in_one_step_and_nearly_for_a_linear_one():
    x = noise(4, 2, 9.0)
    for sampler in (dpmpp_2m, unipc):
        expected = 0.5 + (x - 0.5) * 0.1 / 9.0
        torch.testing.assert_close(sampler(Fixed(0.0), x, [9.0, 0.1]), expected, rtol=1e-12, atol=1e-12)
    # dx = (x - D) dsigma / sigma with D = a - b log sigma has the solution a - b (log sigma + 1) + C sigma
    grid = uniform_lambda(33, 0.1, 9.0)[:-1]

    def particular(s):
        return 0.5 - 0.4 * (math.log(s) + 1)

    truth = particular(0.1) + (x - particular(9.0)) * 0.1 / 9.0
    first = (euler(Fixed(0.4), x, grid) - truth).abs().max()
    assert (dpmpp_2m(Fixed(0.4), x, grid) - truth).abs().max() < 0.05 * first


@pytest.mark.parametrize("steps", [100, 400])
@pytest.mark.parametrize("name", ["ddpm", "euler_ancestral", "ddim", "heun", "dpmpp_2m_sde"])
def test_stochastic_samplers_keep_the_marginal(gaussian, name, steps):
    options = {"ddim": {"eta": 0.5}, "heun": {"churn": 40.0}}.get(name, {})
    grid = uniform_lambda(steps, 0.05, 20.0)[:-1]
    x = closed_marginal = 0.3 + noise(4000, 3, math.sqrt(0.49 + 400))
    end = SAMPLERS[name](gaussian, x, grid, randomness=generator(1), **options)
    spread = end.std() / math.sqrt(0.49 + 0.05**2)
    bias = 4.0 / steps if name != "dpmpp_2m_sde" else 0.01  # O(1/N)
    assert abs(spread - 1) < bias + 3 / math.sqrt(2 * 12_000)
    assert abs(end.mean() - 0.3) < 0.03
    assert (end - closed_marginal).abs().mean() > 1


def test_ddpm_is_ddim_with_eta_one_and_its_vp_form(gaussian):
    """One step against the equations of the paper in variance-preserving units."""
    vp = DiscreteVP.linear()
    k, k_next = 700, 500
    bar, bar_next = vp.alpha_bar[k].item(), vp.alpha_bar[k_next].item()
    s, t = vp.sigmas[k].item(), vp.sigmas[k_next].item()
    y = noise(6, 3, s)
    z = torch.randn(6, 3, generator=generator(5), dtype=torch.float64)
    r, x_t, x0 = bar / bar_next, math.sqrt(bar) * y, gaussian(y, s)
    mean = math.sqrt(bar_next) * (1 - r) / (1 - bar) * x0 + math.sqrt(r) * (1 - bar_next) / (1 - bar) * x_t
    for variance, v in [("small", (1 - bar_next) / (1 - bar) * (1 - r)), ("large", 1 - r)]:
        got = ddpm(gaussian, y, [s, t], variance=variance, randomness=generator(5))
        torch.testing.assert_close(math.sqrt(bar_next) * got, mean + math.sqrt(v) * z, rtol=1e-9, atol=1e-9)
    eps = (x_t - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
    for eta in (0.0, 0.4, 1.0):
        v = eta**2 * (1 - bar_next) / (1 - bar) * (1 - r)
        expected = math.sqrt(bar_next) * x0 + math.sqrt(1 - bar_next - v) * eps + math.sqrt(v) * z
        got = ddim(gaussian, y, [s, t], eta=eta, randomness=generator(5))
        torch.testing.assert_close(math.sqrt(bar_next) * got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_does_not_depend_on_the_units_of_the_pictures(variance):
    """A network on [-1, 1], as it is and as a denoiser on [0, 1]."""

    class Eps(torch.nn.Module):
        def forward(self, x_t, t):
            return x_t / (1 + t[:, None] / 1000)

    vp = DiscreteVP.linear()
    own, unit = (as_denoiser(Eps(), "eps", vp, signed=signed) for signed in (False, True))
    y, grid = noise(4, 3, 20.0), karras(6, 0.05, 20.0)
    expected = ddpm(own, y, grid, variance=variance, randomness=generator(0))
    found = ddpm(unit, (y + 1) / 2, grid / 2, variance=variance, randomness=generator(0))
    torch.testing.assert_close(2 * found - 1, expected, rtol=1e-6, atol=1e-6)
    assert own.card.value_range is None


class Network(torch.nn.Module):
    """The exact denoiser in any parameterisation: what a perfectly trained network would answer."""

    def __init__(self, denoiser, param, schedule):
        super().__init__()
        self.denoiser, self.param, self.schedule = denoiser, param, schedule

    def forward(self, x_t, t):
        sigma = self.schedule.sigma(t).double()[:, None]
        if self.param == "edm":
            p = self.schedule
            y = x_t / p.c_in(sigma)
            return (self.denoiser(y, sigma[:, 0]) - p.c_skip(sigma) * y) / p.c_out(sigma)
        alpha = self.schedule.alpha(sigma)
        y = x_t / alpha
        x0 = self.denoiser(y, sigma[:, 0])
        eps = (y - x0) / sigma
        return {"x0": x0, "eps": eps, "v": alpha * eps - alpha * sigma * x0, "flow": eps - x0, "score": -eps / sigma}[
            self.param
        ]


@pytest.mark.parametrize(
    ("param", "schedule"),
    [
        ("x0", DiscreteVP.linear()),
        ("eps", DiscreteVP.cosine()),
        ("v", DiscreteVP.scaled_linear()),
        ("flow", Flow()),
        ("score", EDM()),
        ("edm", EDM(0.7)),
    ],
)
def test_the_trajectory_does_not_depend_on_the_parameterisation(mixture, param, schedule):
    plain = GaussianMixture(mixture.log_w.exp(), mixture.means, mixture.values[:, 0].sqrt())
    d = as_denoiser(Network(plain, param, schedule), param, schedule, signed=False)
    x = noise(20, 2, 10.0)
    grid = karras(12, 0.05, 10.0)
    torch.testing.assert_close(heun(d, x, grid), heun(plain, x, grid), rtol=1e-8, atol=1e-8)


def test_edm_is_refused_with_another_schedule():
    with pytest.raises(InputError, match="EDM"):
        as_denoiser(torch.nn.Identity(), "edm", Flow())


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_are_the_same_in_any_batch(mixture, name):
    x = noise(6, 2, 10.0).float()
    grid = karras(8, 0.05, 10.0)
    together = SAMPLERS[name](mixture, x, grid, randomness=generators(3, range(6)))
    alone = [SAMPLERS[name](mixture, x[i : i + 1], grid, randomness=generators(3, [i])) for i in range(6)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-5, atol=1e-5)
    assert together.dtype == torch.float32


@pytest.mark.parametrize("name", SAMPLERS)
def test_steps_are_told_and_calls_counted(mixture, name):
    seen = []
    x = noise(2, 2, 10.0)
    grid = karras(7, 0.05, 10.0)
    end = SAMPLERS[name](mixture, x, grid, randomness=generators(0, range(2)), callback=seen.append)
    assert [step.i for step in seen] == list(range(7))
    assert [step.sigma for step in seen] == grid[:-1].tolist()
    assert seen[-1].nfe == CALLS.get(name, lambda n: n)(7)
    torch.testing.assert_close(seen[-1].x, end)
    torch.testing.assert_close(end, seen[-1].x0)  # the last step, to zero, ends in the clean estimate


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_network_that_fails_is_named_with_its_step(name):
    class Broken(Denoiser):
        card = Card(kind="any")

        def forward(self, y, sigma=None):
            return y * (float("nan") if sigma < 1 else 0.5)

    with pytest.raises(UnnoiseError, match="at step 2 "):
        grid = [10.0, 5.0, 0.5, 0.0] if name != "heun" else [10.0, 5.0, 2.0, 0.5, 0.0]
        SAMPLERS[name](Broken(), noise(1, 2, 10.0), grid)


def test_a_large_picture_in_float16_is_finite():
    class Bright(Denoiser):
        card = Card(kind="any")

        def forward(self, y, sigma=None):
            return torch.full_like(y, 0.9)

    x = torch.zeros(1, 1, 300, 300, dtype=torch.float16)  # the sum of the estimate, 81000, is beyond float16
    assert euler(Bright(), x, [1.0, 0.0]).sum(dtype=torch.float32) > 65504


@pytest.mark.parametrize("name", SAMPLERS)
def test_levels_that_rise_are_refused(mixture, name):
    with pytest.raises(InputError, match="fall"):
        SAMPLERS[name](mixture, noise(1, 2, 1.0), [1.0, 2.0, 0.0])


def test_gradients_pass_through_all_steps(mixture):
    x = noise(3, 2, 10.0).requires_grad_()
    (gradient,) = torch.autograd.grad(dpmpp_2m(mixture, x, karras(6, 0.05, 10.0)).sum(), x)
    assert bool(torch.isfinite(gradient).all())
    assert gradient.abs().max() > 0
