"""The study of the methods at its smallest: its checks hold."""

from unnoise.studies.methods import run


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    noise = report.tables[0]
    assert [row[0] for row in noise.rows] == ["scikit-image, Gaussian of 25", "scikit-image, 5% impulses"]
