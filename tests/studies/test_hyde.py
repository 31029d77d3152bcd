"""The study of cube methods: at its smallest its checks hold; the real one asks what it should."""

import pytest

from unnoise.errors import InputError, MissingData
from unnoise.studies.hyde import run
from unnoise.training.presets import read_presets


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert len(report.checks) == 7 and len(report.tables[0].rows) == 9
    assert len(report.claims) == 6 and [len(t.rows) for t in report.tables] == [9, 3, 3]


def test_the_laptop_preset_measures_every_method_against_hyde():
    cases = read_presets("hyde")["laptop"]["cases"]
    methods = {method for case in cases for method in case["methods"]}
    assert methods == {"hyres", "hyminor", "forpdn", "wsrrr", "otvca", "fasthyde", "l1hymixde"}
    assert all(
        set(b) == ({"at_least"} if "draw" in case else {"hyde", "margin"})
        for case in cases
        for b in case["methods"].values()
    )


def test_without_data_or_preset_it_says_so(monkeypatch):
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    with pytest.raises(MissingData):
        run("laptop")
    with pytest.raises(InputError, match="unknown preset"):
        run("larger")
