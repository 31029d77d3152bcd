"""Reports: checks decide, verdicts are computed, files come back as they were written."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unnoise.errors import InputError
from unnoise.studies.report import Check, Claim, Criterion, Figure, Report, Table, verdict

ONE_DB = Criterion(at_least=1.0)
NEAR_TWO = Criterion(at_least=1.9, at_most=2.1)


@pytest.fixture
def report():
    return Report(
        slug="cbsn",
        preset="smoke",
        command="unnoise reproduce cbsn --preset smoke",
        seeds=(0, 1),
        seconds=3.5,
        checks=(Check("one | two", 1e-7, 1e-6), Check("clean PSNR", math.inf, 40.0, ">=")),
        claims=(Claim("gain", 1.4, ONE_DB, (1.2, 1.6), paper=0.85, unit="dB"), Claim("slope", 2.0, NEAR_TWO)),
        tables=(Table("PSNR", ("method", "dB"), (("nlm", 28.1), ("none", None)), note="ten pictures"),),
    )


@pytest.mark.parametrize(
    ("value", "bound", "relation", "passed"),
    [
        (1.0, 1.0, "<=", True),
        (1.1, 1.0, "<=", False),
        (1.0, 1.0, ">=", True),
        (0.9, 1.0, ">=", False),
        (1.0, 1.0, "==", True),
        (math.nan, math.nan, "==", False),
        (math.nan, 1.0, ">=", False),
    ],
)
def test_a_check_is_its_relation(value, bound, relation, passed):
    assert Check("c", value, bound, relation).passed is passed


@pytest.mark.parametrize(
    ("value", "interval", "criterion", "expected"),
    [
        (1.5, (1.0, 2.0), ONE_DB, "reproduced"),  # touching the bound meets it
        (1.5, (0.9, 2.1), ONE_DB, "undecided"),
        (0.5, (0.1, 0.9), ONE_DB, "not reproduced"),
        (0.9, (0.8, 1.0), ONE_DB, "undecided"),  # one end of it meets the criterion
        (3.0, None, ONE_DB, "undecided"),  # a single run shows nothing
        (3.0, (3.0, 3.0), ONE_DB, "reproduced"),
        (2.0, (1.95, 2.05), NEAR_TWO, "reproduced"),
        (2.0, (1.5, 2.5), NEAR_TWO, "undecided"),
        (3.0, (2.9, 3.1), NEAR_TWO, "not reproduced"),
        (1.0, (0.9, 1.1), NEAR_TWO, "not reproduced"),
        (math.nan, (0.0, 2.0), ONE_DB, "undecided"),
        (0.2, (0.1, 0.3), Criterion(at_most=0.5), "reproduced"),
    ],
)
def test_the_interval_gives_the_verdict(value, interval, criterion, expected):
    assert verdict(value, interval, criterion) == expected


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(-5, 5), st.floats(0, 3))
def test_a_wider_interval_never_decides_more(value, half, least, wider):
    narrow = verdict(value, (value - half, value + half), Criterion(at_least=least))
    wide = verdict(value, (value - half - wider, value + half + wider), Criterion(at_least=least))
    assert wide in (narrow, "undecided")


def test_a_value_outside_its_interval_is_a_mistake():
    with pytest.raises(InputError, match="outside its interval"):
        verdict(3.0, (0.0, 1.0), ONE_DB)


@pytest.mark.parametrize("bounds", [{}, {"at_least": 2.0, "at_most": 1.0}, {"at_least": math.nan}])
def test_a_criterion_needs_a_bound(bounds):
    with pytest.raises(InputError):
        Criterion(**bounds)


def test_a_report_without_checks_has_not_passed(report):
    assert report.checks_passed
    assert not Report("s", "smoke", "c", (), 0.0, checks=()).checks_passed


def test_saved_and_loaded_is_the_same_report(report, tmp_path):
    path = report.save(tmp_path / "deep" / "report.json")
    assert Report.load(path) == report
    written = json.loads(path.read_text())
    assert written["checks_passed"] is True
    assert [c["passed"] for c in written["checks"]] == [True, True]
    assert [c["verdict"] for c in written["claims"]] == ["reproduced", "undecided"]
    assert "torch" in written["versions"]
    assert list(path.parent.iterdir()) == [path]


def test_a_typed_verdict_is_not_believed(report, tmp_path):
    path = report.save(tmp_path / "report.json")
    values = json.loads(path.read_text())
    values["claims"][1]["verdict"] = "reproduced"
    path.write_text(json.dumps(values))
    assert Report.load(path).claims[1].verdict == "undecided"


def test_a_failed_write_leaves_the_earlier_report(report, tmp_path):
    path = report.save(tmp_path / "report.json")
    before = path.read_bytes()
    broken = Report("s", "smoke", "c", (), 0.0, checks=(), tables=(Table("t", ("x",), ((object(),),)),))
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"slug": "x"}', '{"seeds": 1}'])
def test_what_is_not_a_report_is_named(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"report\.json: not a study report"):
        Report.load(path)


def test_markdown_shows_every_number_and_escapes_bars(report):
    text = report.to_markdown()
    assert "| one \\| two | 1e-07 | <= 1e-06 | yes |" in text
    assert "| gain (dB) | 1.4 | [1.2, 1.6] | >= 1 | 0.85 | reproduced |" in text
    assert "| slope | 2 | – | >= 1.9 and <= 2.1 | – | undecided |" in text
    assert "| none | – |" in text
    assert "preset smoke, seeds 0, 1, 4 s." in text


def test_table_rows_fit_their_columns():
    with pytest.raises(InputError, match="2 cells"):
        Table("t", ("a", "b"), ((1,),))


def test_figures_lie_beside_the_report_and_are_named_in_it(report, tmp_path):
    drawn = replace(report, figures=(Figure("curves", "What came out.", b"RIFF"),))
    path = drawn.save(tmp_path / "cbsn" / "report.json")
    assert (tmp_path / "cbsn" / "curves.webp").read_bytes() == b"RIFF"
    again = Report.load(path)
    assert again.figures == drawn.figures
    assert "![What came out.](../figures/curves.webp)" in again.to_markdown("../figures")
    again.save(path)  # a report that was read does not empty the figure
    assert (tmp_path / "cbsn" / "curves.webp").read_bytes() == b"RIFF"
