"""The study of ELD at its smallest: a drawn sensor is found again, drawn noise has the rows of the real."""

import numpy as np
import pytest
import torch

from unnoise.noise.seeds import generator
from unnoise.studies.eld import calibrated, expose, run


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert [row[0] for row in report.tables[1].rows] == ["G+P", "ELD"]
    assert report.claims[0].interval is not None


def test_real_frames_are_added_whole_rows_at_a_time():
    rng = np.random.default_rng(0)
    dark = [20 + np.rint(3 * rng.standard_normal((64, 80)) + 5 * rng.standard_normal((64, 1))) for _ in range(32)]
    flats = [[rng.poisson(v, (64, 80)) + 20.0 for _ in range(2)] for v in (300, 900, 2000)]
    sensor = calibrated(dark, flats)
    assert sensor.fit.gain == pytest.approx(1, rel=0.1)
    x = torch.full((1, 4, 20, 30), 0.5)
    y = expose(x, "real", 5.0, sensor, sensor.test, generator(0))
    means = (y - x)[0].mean(2)
    assert float(torch.corrcoef(means[:2])[0, 1]) > 0.6 > abs(float(torch.corrcoef(means[::2])[0, 1]))
