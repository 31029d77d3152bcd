"""The study of C-BSN at its smallest, and the noise it is made with."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.estimate import autocorrelation
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn_training import LossOptions, StudyOptions
from unnoise.studies.cbsn import OUTPUTS, camera_noise, run, study_pairs, trainings


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert [row[0] for row in report.tables[0].rows] == ["noisy", *OUTPUTS]
    assert len(report.claims) == 4 and report.claims[0].interval is not None


def test_the_ablations_differ_in_one_thing():
    base = LossOptions().model_dump()
    changed = {
        name: {k for k, v in o.model_dump().items() if v != base[k]} for name, o in trainings(LossOptions()).items()
    }
    assert changed == {"cbsn": set(), "plain": {"stride_blind", "ramp_steps"}, "no invariance": {"lam"}}


def test_demosaicked_noise_is_correlated_over_one_or_two_pixels():
    flat = torch.full((1, 3, 256, 256), 0.5)
    y = camera_noise(flat, 0.02, 0.0012, generator(0))
    lags = autocorrelation(y, 5).amax((0, 1, 2))
    assert 0.3 < float(lags[0]) < 0.7 and float(lags[3:].max()) < 0.1
    linear = 0.5**2.2
    green = (y[0, 1, 1::2, ::2] ** 2.2 - linear).std()  # samples that were measured keep their variance
    assert float(green) == pytest.approx((0.02 * linear + 0.0012) ** 0.5, rel=0.05)


def test_an_unknown_set():
    with pytest.raises(InputError, match="did you mean 'cc15'"):
        next(study_pairs(StudyOptions(data="cc51")))
