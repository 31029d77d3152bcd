"""The study of C-BSN at its smallest, and the noise it is made with."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.estimate import autocorrelation
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn_training import LossOptions
from unnoise.studies.cbsn import run
from unnoise.studies.cbsn.nets import OUTPUTS, TRAININGS, Study, loss_of, train_one
from unnoise.studies.cbsn.pictures import camera_noise, study_pairs
from unnoise.training.presets import load_preset, read_presets


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert [row[0] for row in report.tables[0].rows] == ["noisy", "median", *OUTPUTS]
    assert [row[0] for row in report.tables[1].rows] == [10, 20]
    assert len(report.claims) == 5 and all(claim.interval is not None for claim in report.claims)
    assert report.figures[0].data[8:12] == b"WEBP"


def test_a_training_that_was_cut_goes_on_and_one_that_ended_is_kept(tmp_path):
    study = load_preset(Study, "cbsn_study", "smoke")
    pairs = list(study_pairs(study.sets["samples"]))
    whole = train_one(study, "cbsn", "samples", 0, pairs, tmp_path)
    again = train_one(study, "cbsn", "samples", 0, pairs, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1 and again.seconds == pytest.approx(whole.seconds, abs=0.1)
    assert [row["step"] for row in again.curve] == [10, 20]
    for a, b in zip(whole.denoiser.parameters(), again.denoiser.parameters(), strict=True):
        assert torch.equal(a, b)
    train_one(study, "cbsn", "samples", 1, pairs, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_every_preset_is_valid():
    assert set(read_presets("cbsn_study")) == {"smoke", "laptop", "paper"}
    for name in read_presets("cbsn_study"):
        for options in load_preset(Study, "cbsn_study", name).sets.values():
            assert set(options.trainings) <= set(TRAININGS)


def test_the_ablations_differ_in_one_thing():
    base = LossOptions().model_dump()
    changed = {
        name: {k for k, v in loss_of(name, LossOptions()).model_dump().items() if v != base[k]} for name in TRAININGS
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
    with pytest.raises(InputError, match=r"'sets\.samples\.source' should be 'samples', 'isp'"):
        load_preset(Study, "cbsn_study", "smoke", ["sets.samples.source=cc51"])
