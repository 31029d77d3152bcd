"""Policies in words, what a threshold costs before it is tried, and the sweep."""

import math

import pytest
import torch

from unnoise.denoiser import Empirical, GaussianMixture
from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive, evaluations, fit_linear, threshold
from unnoise.generate.guidance import Full, Guided, Interval, alternating, first, last
from unnoise.generate.policies import parse_policy
from unnoise.generate.sample import default_grid, sample, start
from unnoise.generate.sweep import calls, closeness, sweep
from unnoise.noise.seeds import generator


@pytest.fixture(scope="module")
def blobs():
    """Two classes of two blobs in four dimensions."""
    means = torch.randn(4, 4, generator=generator(0), dtype=torch.float64)
    return GaussianMixture(torch.ones(4), means, 0.3, labels=[0, 0, 1, 1])


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("full", Full()),
        ("ag", Adaptive()),
        ("ag:0.98", Adaptive(0.98)),
        ("ag:0.98:v", Adaptive(0.98, "v")),
        ("interval:0.1:5", Interval(0.1, 5.0)),
        ("first:3", first(3, 8)),
        ("last:3", last(3, 8)),
        ("alternating", alternating(8)),
        ("alternating:4", alternating(8, 4)),
    ],
)
def test_words_and_policies(text, policy):
    assert parse_policy(text, 8) == policy


def test_linear_reads_its_file_and_alternates_in_the_first_half(blobs, tmp_path):
    x = start(blobs, (4,), 30, 80.0)
    file = tmp_path / "a:b.json"
    fit_linear(blobs, x, default_grid(blobs, 8), 3.0, label=torch.arange(30) % 2).save(file)
    policy = parse_policy(f"linear:{file}", 8)
    assert policy.operations == ("cfg", "linear", "cfg", "linear") + ("linear",) * 4
    assert policy.linear.scale == 3.0


@pytest.mark.parametrize("text", ["ag:x", "agg", "full:1", "interval:1", "first", "first:x", "linear", "ag:0.9:x0:1"])
def test_other_words_are_refused_with_the_list(text):
    with pytest.raises(InputError, match="none of full, ag"):
        parse_policy(text, 8)


@pytest.mark.parametrize(("text", "says"), [("first:9", "0 to 8"), ("linear:no.json", "fit"), ("ag:0.9:esp", "eps")])
def test_what_is_out_of_range_is_named(text, says):
    with pytest.raises(InputError, match=says):
        parse_policy(text, 8)


def test_full_guidance_foretells_the_cost_of_every_threshold(blobs):
    x, label = start(blobs, (4,), 40, 80.0).double(), torch.arange(40) % 2
    gamma = sample(Guided(blobs, 3.0), x_T=x, steps=12, label=label).trace.gamma
    for policy in (Adaptive(0.9), Adaptive(0.99), Adaptive(1.1), Adaptive(-1.0), Adaptive(0.5, min_steps=4)):
        drawn = sample(Guided(blobs, 3.0, policy), x_T=x, steps=12, label=label)
        assert torch.equal(evaluations(gamma, policy.gamma_bar, policy.min_steps), drawn.nfe)
    bar = threshold(gamma, 18.0)
    assert evaluations(gamma, bar).double().mean() <= 18
    above = gamma[gamma > bar].min().item()
    assert evaluations(gamma, above).double().mean() > 18
    assert threshold(gamma, 24.0) == gamma.max().item()
    with pytest.raises(InputError, match="too few"):
        threshold(gamma, 12.5)


def test_the_sweep_meets_its_budgets_and_comes_nearer_for_more(blobs):
    x, label = start(blobs, (4,), 40, 80.0), torch.arange(40) % 2
    for sampler in ("euler", "heun"):
        found = sweep(blobs, x, 3.0, sampler=sampler, steps=8, savings=(0.1, 0.3), label=label)
        full, little, _, much, _ = found.rows
        n = calls(sampler, 8)
        assert (full.nfe, full.mse) == (2 * n, 0.0)
        assert little.nfe <= 2 * n * 0.9 and much.nfe <= 2 * n * 0.7
        assert little.mse < much.mse
        assert found.gamma.shape == (n, 40)
        assert math.isnan(much.ssim)  # points are no pictures
    eps = sweep(blobs, x, 3.0, sampler="euler", steps=8, savings=(0.3,), space="eps", label=label)
    assert eps.gamma[0].min() > 0.99 and eps.rows[1].nfe > 9  # its threshold is set so that guidance goes on


def test_closeness_of_small_and_larger_pictures():
    for side in (8, 16):
        x = torch.rand(3, 1, side, side, generator=generator(0))
        mse, similar = closeness(x + 0.1, x)
        torch.testing.assert_close(mse, torch.full((3,), 0.01, dtype=torch.float64), rtol=1e-5, atol=0)
        assert bool((similar < 1).all()) and closeness(x, x)[1].tolist() == pytest.approx([1.0] * 3)
    points = Empirical(torch.rand(5, 1, 4, 4))
    assert bool(closeness(points.data.reshape(5, 1, 4, 4), points.data.reshape(5, 1, 4, 4))[1].isnan().all())
