"""The Tukey-lambda distribution against scipy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import ppcc_max, tukeylambda

from unnoise.errors import InputError
from unnoise.noise.tukey import (
    fit_shape,
    medians,
    probability_plot,
    quantile,
    standard_deviation,
    thinned,
    tukey_like,
)

P = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)


@pytest.mark.parametrize("shape", [-0.5, -0.2429, -0.0571, 0.0, 0.14, 1.0, 2.0])
def test_quantiles_are_scipys_and_odd(shape):
    q = quantile(P, shape)
    np.testing.assert_allclose(q.numpy(), tukeylambda.ppf(P.numpy(), shape), atol=1e-10, rtol=1e-10)
    assert float(q[499].abs()) < 1e-12 and torch.allclose(q, -q.flip(0), atol=1e-9)


def test_shapes_one_and_two_are_uniform():
    assert torch.allclose(quantile(P, 1.0), 2 * P - 1) and torch.allclose(quantile(P, 2.0), P - 0.5)


def test_the_shape_passes_smoothly_through_the_logistic():
    assert float((quantile(P, 1e-7) - torch.logit(P)).abs().max()) < 1e-5


@pytest.mark.parametrize("shape", [-0.3, -1e-3, -5e-5, 0.0, 5e-5, 0.14, 0.2, 1.0])
def test_standard_deviation_is_scipys(shape):
    assert standard_deviation(shape) == pytest.approx(float(tukeylambda.std(shape)), rel=3e-5)
    assert standard_deviation(-0.5) == float("inf")


@pytest.mark.parametrize("shape", [-0.14, 0.0, 0.14])
def test_draws_have_the_variance_of_the_formula(shape):
    x = tukey_like(torch.empty(1_000_000), shape, torch.Generator().manual_seed(0))
    assert bool(torch.isfinite(x).all())
    assert float(x.std()) == pytest.approx(standard_deviation(shape), rel=0.01)


def test_the_thinned_fit_equals_that_on_every_value():
    x = tukey_like(torch.empty(200_000, dtype=torch.float64), -0.1, torch.Generator().manual_seed(1)).numpy() * 3 + 5
    everything = (np.sort(x), medians(x.size))
    few = thinned(x)
    assert fit_shape(*few) == pytest.approx(fit_shape(*everything), abs=3e-3)
    assert fit_shape(*few) == pytest.approx(-0.1, abs=0.01)
    scale, location, r2 = probability_plot(*few, -0.1)
    assert scale == pytest.approx(3, rel=0.01) and location == pytest.approx(5, abs=0.03) and r2 > 0.999


def test_the_shape_is_scipys_ppcc():
    x = np.random.RandomState(0).standard_normal(1500)
    assert fit_shape(np.sort(x), medians(x.size)) == pytest.approx(ppcc_max(x, brack=(-0.2, 0.4)), abs=2e-3)


def test_equal_values_have_no_shape():
    with pytest.raises(InputError, match="show no distribution"):
        fit_shape(*thinned(np.ones(500)))
