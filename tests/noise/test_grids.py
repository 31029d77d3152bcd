import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.grids import check_sigmas, discrete, flow, karras, network_steps, uniform_lambda
from unnoise.noise.schedule import EDM, VE, VP, DiscreteVP, Flow


def close(actual, expected, rtol=1e-4):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=0)


def test_karras_grid_is_the_published_one():
    published = "80 57.586 40.786 28.375 19.352 12.910 8.4009 5.3152 3.2568 1.9233 1.0882 .58535 .29644 .13952 .059947"
    grid = karras(18)
    close(grid[:-1], [*map(float, published.split()), 0.022935, 0.007528, 0.002])
    assert grid[-1] == 0


def test_uniform_lambda_has_even_log_steps():
    steps = uniform_lambda(9, 0.01, 10)[:-1].log().diff()
    torch.testing.assert_close(steps, steps[:1].expand(8))


def test_discrete_spacings_are_the_published_ones():
    vp = DiscreteVP.linear()
    assert network_steps(5, 1000, "leading").tolist() == [800, 600, 400, 200, 0]
    assert network_steps(5, 1000, "leading", offset=1).tolist() == [801, 601, 401, 201, 1]
    assert network_steps(5, 1000, "trailing").tolist() == [999, 799, 599, 399, 199]
    assert network_steps(5, 1000, "linspace").tolist() == [999, 749.25, 499.5, 249.75, 0]
    assert network_steps(5, 1000, "linspace_rounded").tolist() == [999, 799, 599, 400, 200]
    close(discrete(vp, 5, "linspace_rounded")[:-1], [157.407, 25.5285, 6.13521, 2.04109, 0.723591])
    close(discrete(vp, 5, "linspace")[:-1], [157.407, 17.2799, 3.43355, 0.956759, 0.0100013])


def test_flow_grid_shifts_towards_noise():
    t = flow(5, shift=1.0) / (1 + flow(5, shift=1.0))
    shifted = flow(5, shift=3.0) / (1 + flow(5, shift=3.0))
    torch.testing.assert_close(shifted, 3 * t / (1 + 2 * t))


@pytest.mark.parametrize(
    "schedule", [DiscreteVP.linear(), DiscreteVP.cosine(), VP(), VP(scale=999), VE(), EDM(), Flow()]
)
def test_time_and_level_are_inverse(schedule):
    sigma = torch.logspace(-1.9, 1.9, 40, dtype=torch.float64)
    torch.testing.assert_close(schedule.sigma(schedule.t(sigma)), sigma, rtol=1e-9, atol=0)


def test_continuous_vp_is_the_limit_of_the_discrete_one():
    # beta_t / N is DDPM's beta: 0.1/1000 to 20/1000
    sigma = DiscreteVP.linear().sigmas[[199, 499, 799]]
    torch.testing.assert_close(VP().t(sigma), torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64), rtol=3e-3, atol=0)


def test_edm_preconditioning_has_the_published_values():
    s = torch.tensor([0.002, 0.5, 80.0], dtype=torch.float64)
    close(EDM().c_skip(s), [0.999984, 0.5, 3.9061e-5])
    close(EDM().c_out(s), [0.00199998, 0.353553, 0.49999])
    close(EDM().c_in(s), [1.99998, 1.41421, 0.0124998])
    close(EDM().t(s), [-1.55365, -0.173287, 1.09551])
    close(EDM().weight(s), [250004, 8, 4.00016])


def test_zero_snr_ends_in_noise_and_keeps_the_first_step():
    before, after = DiscreteVP.scaled_linear(), DiscreteVP.scaled_linear().zero_snr()
    assert after.alpha_bar[0] == pytest.approx(before.alpha_bar[0].item())
    assert after.alpha_bar[-1] == 2**-24
    assert bool((after.sigmas.diff() > 0).all())


def test_a_rounded_process_gives_the_nearest_whole_step():
    vp = DiscreteVP(DiscreteVP.linear().alpha_bar, rounded=True)
    u = torch.logspace(-2.5, 2.5, 200, dtype=torch.float64)
    nearest = (u[:, None] - vp.sigmas).abs().argmin(1)
    assert torch.equal(vp.t(u), nearest.double())


@pytest.mark.parametrize("levels", [[1.0], [1.0, 1.0], [1.0, 2.0, 0.0], [1.0, -1.0], [float("inf"), 1.0]])
def test_levels_that_do_not_fall_are_refused(levels):
    with pytest.raises(InputError):
        check_sigmas(levels)


@pytest.mark.parametrize(
    "make",
    [
        lambda: karras(0),
        lambda: karras(3, 0.0, 1.0),
        lambda: flow(3, last=1.0),
        lambda: flow(3, shift=0),
        lambda: network_steps(0),
        lambda: network_steps(5, 1000, "trailin"),
    ],
)
def test_impossible_grids_are_refused(make):
    with pytest.raises(InputError):
        make()
