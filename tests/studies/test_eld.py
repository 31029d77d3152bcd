"""The study of ELD at its smallest: a drawn sensor is found again, drawn noise has the rows of the real."""

import numpy as np
import pytest
import torch

from unnoise.data.low_light import Exposures
from unnoise.noise.seeds import generator
from unnoise.restore.eld_quality import SETS
from unnoise.restore.eld_training import ELDPreset
from unnoise.restore.photo_training import photographs
from unnoise.studies.eld import Networks, _frames, _on_sets, calibrated, expose, run, trained
from unnoise.training.checkpoint import read_state
from unnoise.training.loop import CHECKPOINT
from unnoise.training.presets import load_preset


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert [row[0] for row in report.tables[1].rows] == ["G+P", "ELD"]
    assert report.claims[0].interval is not None
    assert [claim.name for claim in report.claims] == [
        "drawn: ELD above G+P, ratio 100",
        "drawn: rows left by ELD over those by G+P, ratio 100",
    ]


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


def test_a_study_that_was_stopped_goes_on_and_does_not_train_twice(tmp_path):
    p = load_preset(ELDPreset, "eld", "smoke")
    [options] = p.study.sensors
    sensor = calibrated(*_frames(options))
    crops, _ = photographs(p.data, None)
    short = p.model_copy(update={"fit": p.fit.model_copy(update={"max_minutes": 1e-9})})
    trained("ELD", 0, crops, sensor, short, tmp_path / "stopped")
    assert read_state(tmp_path / "stopped" / CHECKPOINT)["step"] == 1
    gone_on, _ = trained("ELD", 0, crops, sensor, p, tmp_path / "stopped")
    networks = Networks(tmp_path, crops, p)
    whole = networks.get("ELD", 0, sensor)
    once_more = networks.get("ELD", 0, sensor)
    for a, b, c in zip(*(net.state_dict().values() for net in (whole, gone_on, once_more)), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)


def test_sets_that_are_not_here_are_named_and_those_that_are_measured(tmp_path, monkeypatch):
    p = load_preset(
        ELDPreset, "eld", "smoke", ["study.sets=[SID Sony,ELD SonyA7S2]", "study.published={SID Sony: {100: 41.95}}"]
    )
    networks = Networks(tmp_path, photographs(p.data, None)[0], p)
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    table = _on_sets(networks)
    assert table.rows == () and table.note.startswith("Skipped, as not on this machine: SID Sony, ELD SonyA7S2;")
    assert networks.seconds == 0

    def pairs():
        clean = 0.9 * torch.rand(4, 24, 32, generator=generator(0))
        yield Exposures("a", clean, clean, 100.0)

    monkeypatch.setitem(SETS, "SID Sony", {100: pairs})
    [row] = _on_sets(networks).rows
    assert row[:2] == ("SID Sony", 100) and row[-1] == 41.95 and row[4] >= row[2] > 0
