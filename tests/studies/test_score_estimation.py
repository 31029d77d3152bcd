"""The study of score estimation at its smallest, and its exact targets."""

import math

import pytest
import torch

from unnoise.errors import InputError
from unnoise.explain.score_estimation import process
from unnoise.studies.score_estimation import ScorePreset, run, slopes
from unnoise.studies.score_estimation.experiments import slope, stopping_time
from unnoise.studies.score_estimation.targets import TABLES, blobs, digits, error, grid, table
from unnoise.training.presets import load_preset


@pytest.mark.slow
def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert len(report.claims) == len(load_preset(ScorePreset, "score_estimation", "smoke").claims)
    assert all(figure.data[8:12] == b"WEBP" for figure in report.figures)


@pytest.mark.parametrize("make", [blobs, lambda: digits(2)])
def test_the_truth_is_the_mean_of_the_labels_and_the_noise_their_deviation(make):
    """Tweedie, and the deviation of the labels about the truth over many draws."""
    target = make()
    s = target.states(1000, seed=3)
    off = s.x0 - target.truth(s.x, s.t)
    assert off.mean(0).abs().max() < 4 * off.std(0).max() / math.sqrt(len(off))
    torch.testing.assert_close(target.noise(s), off.square().mean(0).sqrt(), rtol=0.1, atol=0)


def test_the_jacobian_of_the_truth_is_the_posterior_covariance():
    """Tweedie of second order: d f* / d x = alpha / h Cov(X_0 | X_t = x)."""
    target, t = blobs(), torch.tensor([0.4], dtype=torch.float64)
    x = torch.tensor([[0.4, -0.3]], dtype=torch.float64)
    alpha, h = process(t)
    jacobian = torch.autograd.functional.jacobian(lambda v: target.truth(v, t)[0], x)[:, 0]
    covariance = target.exact.posterior_cov(x / alpha, h.sqrt() / alpha)[0]
    torch.testing.assert_close(jacobian, alpha / h * covariance)


def test_digits_are_bounded_and_centred():
    x = digits(2).exact.data
    assert x.shape == (1797, 2)
    assert x.norm(dim=1).max() == pytest.approx(1)
    assert x.mean(0).abs().max() < 1e-10


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_bounded_and_their_outliers_drawn_in(name):
    norms = table(name).exact.data.norm(dim=1)
    assert norms.max() == pytest.approx(1)
    assert (norms > 1 - 1e-9).double().mean() == pytest.approx(0.05, abs=0.01)
    with pytest.raises(InputError, match="did you mean 'wine'"):
        table("vine")


def test_rules_are_numbers_of_steps_and_hold_out_is_near_the_best():
    target = blobs()
    test = target.states(500)
    truth = target.truth(test.x, test.t)
    kernel = target.fitted(60, 0)
    taus = {rule: stopping_time(kernel, target, rule, 300) for rule in ("holdout", "rwy", "discrepancy")}
    assert all(0 <= tau <= 300 for tau in taus.values())
    errors = [error(f, truth) for f in kernel.predict_x0(test.x, test.t, [taus["rwy"], 10**12])]
    assert errors[0] < errors[1]


def test_slopes_and_grid():
    assert slope([1, 10, 100], [5, 0.5, 0.05]) == pytest.approx(-1)
    assert slopes({10: {"a": [1.0, 2.0]}, 100: {"a": [0.1, 2.0]}}, "a") == pytest.approx([-1, 0])
    assert grid(100)[:4] == [0, 1, 2, 3]
    assert grid(100)[-1] == 100
