"""The study of the shipped photo networks at its smallest: what they promise holds."""

from unnoise.studies.photo import run


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert all(row[2] > row[1] + 6 for row in report.tables[0].rows)
