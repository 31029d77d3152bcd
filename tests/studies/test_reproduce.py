"""`unnoise reproduce`: the checks decide the exit code, claims do not, missing data is exit code 3."""

import json
import sys

import pytest

from unnoise import studies
from unnoise.app.cli.main import run
from unnoise.errors import MissingData
from unnoise.studies.report import Check, Claim, Criterion, Report


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Enter a study that gives a report whose check has this value."""

    def make(value):
        def run_study(preset):
            if value is None:
                raise MissingData("the study needs cbsd68 in UNNOISE_DATA")
            lost = Claim("gain", 0.1, Criterion(at_least=1.0), (0.0, 0.2), paper=1.5, unit="dB")
            return Report("mine", preset, "unnoise reproduce mine", (0,), 1.0, (Check("parity", value, 1.0),), (lost,))

        module = type(sys)("study_of_this_test")
        module.run = run_study
        monkeypatch.setitem(sys.modules, "study_of_this_test", module)
        monkeypatch.setitem(studies.STUDIES, "mine", "study_of_this_test:run")
        monkeypatch.chdir(tmp_path)

    return make


def test_checks_that_hold_are_exit_code_0_whatever_the_claims_say(study, tmp_path, capsys):
    study(0.5)
    assert run(["reproduce", "mine", "--preset", "smoke", "-o", "out"]) == 0
    written = json.loads((tmp_path / "out" / "mine" / "report.json").read_text())
    assert (written["preset"], written["checks_passed"]) == ("smoke", True)
    said = capsys.readouterr().out
    assert "holds" in said and "not reproduced" in said


def test_a_failed_check_is_exit_code_1_and_still_written(study, tmp_path, capsys):
    study(2.0)
    assert run(["reproduce", "mine", "--preset", "smoke", "-o", "out"]) == 1
    assert json.loads((tmp_path / "out" / "mine" / "report.json").read_text())["checks_passed"] is False
    assert "fails" in capsys.readouterr().out


def test_missing_data_is_exit_code_3_with_the_reason(study, tmp_path, capfd):
    study(None)
    assert run(["reproduce", "mine"]) == 3
    assert "needs cbsd68 in UNNOISE_DATA" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["no-such-study"], "unknown study"), (["genie"], "planned"), (["genie", "--preset", "huge"], "huge")],
)
def test_what_cannot_be_run_is_exit_code_2(arguments, words, capfd):
    if arguments[0] in studies.STUDIES:
        pytest.skip("the study has been written since")
    assert run(["reproduce", *arguments]) == 2
    assert words in capfd.readouterr().err
