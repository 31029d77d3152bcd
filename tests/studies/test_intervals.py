"""Intervals: closed forms, and the coverage they promise."""

import numpy as np
import pytest
from scipy import stats

from unnoise.errors import InputError
from unnoise.studies.intervals import bootstrap_groups, bootstrap_interval, mean_interval


def test_t_interval_equals_scipy():
    values = [1.0, 2.5, 2.0, 4.0]
    mean, interval = mean_interval(values)
    assert mean == pytest.approx(2.375)
    assert interval == pytest.approx(stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values)))


def test_t_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(7.0, 2.0, (2000, 5))
    covered = sum(low <= 7.0 <= high for _, (low, high) in map(mean_interval, draws))
    assert abs(covered / 2000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_bootstrap_agrees_with_the_normal_interval_on_many_values():
    values = np.random.default_rng(1).normal(0.0, 1.0, 400)
    mean, (low, high) = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.02)


def test_bootstrap_takes_a_statistic_and_repeats_by_seed():
    values = [1.0, 2.0, 3.0, 100.0]
    median, interval = bootstrap_interval(values, np.median, seed=3)
    assert median == 2.5
    assert bootstrap_interval(values, np.median, seed=3) == (median, interval)
    assert interval[0] >= 1.0


@pytest.mark.parametrize("interval_of", [mean_interval, bootstrap_interval])
def test_one_value_has_no_interval_and_bad_values_are_refused(interval_of):
    assert interval_of([3.0]) == (3.0, None)
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(InputError, match="finite values"):
            interval_of(bad)


def test_groups_are_resampled_each_by_itself_and_rows_stay_whole():
    rng = np.random.default_rng(2)
    a, b = rng.normal(1.0, 1.0, 300), rng.normal(0.0, 2.0, 200)
    value, (low, high) = bootstrap_groups(lambda x, y: x.mean() - y.mean(), a, b)
    half = 1.96 * np.sqrt(a.var() / 300 + b.var() / 200)
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.04)
    pairs = np.stack([a, a + 1], 1)
    assert bootstrap_groups(lambda x: (x[:, 1] - x[:, 0]).mean(), pairs)[1] == pytest.approx((1, 1))
    assert bootstrap_groups(lambda x: x.mean(), [3.0]) == (3.0, None)
    with pytest.raises(InputError, match="finite"):
        bootstrap_groups(lambda x: x.mean(), [np.nan, 1.0])
