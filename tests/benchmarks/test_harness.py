"""The harness: separate processes, interleaved rounds, ratios within a round, honest reasons for what did not run."""

import json
import math
import os
import sys

import pytest

from unnoise.benchmarks import harness
from unnoise.benchmarks.figure import quality_time
from unnoise.benchmarks.harness import Contender, _result, compare
from unnoise.errors import InputError, UnnoiseError

CONTENDERS = """
import os, time
from unnoise.benchmarks.harness import Work
from unnoise.errors import MissingExtra

def sleeping(seconds, log, tag):
    def run():
        with open(log, "a") as file:
            file.write(f"{tag} {os.getpid()}\\n")
        time.sleep(seconds)
        print("a library that chatters on stdout")
        return seconds
    return Work(run, 1.0, lambda result: {"slept": result, "threads": float(os.environ["OMP_NUM_THREADS"])})

def allocating(mib):
    return Work(lambda: bytearray(mib << 20))

def missing():
    raise MissingExtra("bench")

def failing():
    raise ValueError("no such picture")

def dying():
    os._exit(7)
"""


@pytest.fixture
def contender(tmp_path, monkeypatch):
    (tmp_path / "contenders_of_test.py").write_text(CONTENDERS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    return lambda name, function, **options: Contender(name, f"contenders_of_test:{function}", options)


def test_rounds_interleave_and_each_contender_has_its_process(contender, tmp_path):
    log = tmp_path / "log"
    pair = [contender(n, "sleeping", seconds=s, log=str(log), tag=n) for n, s in (("a", 0.02), ("b", 0.5))]
    report = compare("sleep", pair, reference="a", unit="nap", repeats=3, threads=1)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [name for name, _ in lines] == ["a", "b"] * 4  # a warm-up each, three rounds
    assert len({pid for _, pid in lines} - {str(os.getpid())}) == 2
    a, b = report.results
    assert a.ratio == (1.0, 1.0, 1.0)
    assert b.seconds[1] <= b.seconds[0] <= b.seconds[2]
    assert b.ratio[0] > 1.5
    assert b.cpu < b.seconds[0]  # sleeping costs no processor
    assert a.scores == {"slept": 0.02, "threads": 1.0}


def test_times_are_a_unit_and_ratios_within_a_round():
    rounds = [(2.0, 1.0), (4.0, 2.0), (6.0, 3.0)]  # wall and processor seconds of two megapixels
    reference = [(1.0, 1.0), (4.0, 4.0), (2.0, 2.0)]  # of one
    end = {"amount": 2.0, "base_mib": 1.0, "peak_mib": 2.0, "scores": {"psnr": 30}}
    result = _result(Contender("c", "m:f"), rounds, reference, end, end | {"amount": 1.0})
    assert result.seconds == (2.0, 1.5, 2.5)
    assert result.cpu == 1.0
    assert result.ratio == (1.0, 0.75, 1.25)


def test_peak_memory_is_the_contenders_own(contender):
    ballast = bytearray(400 << 20)
    small, large = compare(
        "memory",
        [contender("small", "allocating", mib=1), contender("large", "allocating", mib=200)],
        reference="small",
        unit="run",
        repeats=1,
    ).results
    assert len(ballast) == 400 << 20
    assert large.peak_mib - small.peak_mib == pytest.approx(199, abs=15)
    assert small.peak_mib < 300  # no memory of the process that started it
    assert large.base_mib == pytest.approx(small.base_mib, abs=15)


def test_what_is_missing_is_skipped_with_its_reason(contender, tmp_path):
    here = contender("here", "allocating", mib=1)
    report = compare("x", [here, contender("gone", "missing")], reference="here", unit="run", repeats=1)
    assert [r.name for r in report.results] == ["here"]
    assert report.skipped == {"gone": "needs the extra 'bench': pip install 'unnoise[bench]'"}
    with pytest.raises(UnnoiseError, match="reference 'gone' did not run"):
        compare("x", [here, contender("gone", "missing")], reference="gone", unit="run", repeats=1)


@pytest.mark.parametrize(
    ("function", "words"), [("failing", "ValueError: no such picture"), ("dying", "ended with code 7")]
)
def test_a_failure_is_an_error_that_names_the_contender(contender, function, words):
    with pytest.raises(UnnoiseError, match=f"'bad' failed: .*{words}"):
        compare("x", [contender("bad", function)], reference="bad", unit="run", repeats=1)


@pytest.mark.parametrize(
    ("names", "options"),
    [(["a", "a"], {"reference": "a"}), (["a"], {"reference": "b"}), (["a"], {"reference": "a", "repeats": 0})],
)
def test_bad_arguments_start_nothing(contender, names, options):
    with pytest.raises(InputError):
        compare("x", [contender(n, "dying") for n in names], unit="run", **options)


def test_a_busy_machine_is_said(contender, monkeypatch):
    monkeypatch.setattr(harness, "load", lambda: 9.0)
    said = []
    report = compare(
        "x", [contender("a", "allocating", mib=1)], reference="a", unit="run", repeats=1, progress=said.append
    )
    assert "busy (load 9.0" in report.warnings[0]
    assert said[0] == report.warnings[0]


def test_report_and_figure_are_written(contender, tmp_path):
    pair = [
        contender(n, "sleeping", seconds=s, log=str(tmp_path / "log"), tag=n) for n, s in (("a", 0.01), ("b", 0.02))
    ]
    report = compare("sleep", pair, reference="a", unit="nap", repeats=2)
    values = json.loads(report.save(tmp_path / "out" / "sleep.json").read_text())
    assert values["machine"]["cores"] >= 1
    assert values["versions"]["python"]
    assert math.isfinite(values["results"][1]["ratio"][0])
    figure = quality_time(report, "slept", "seconds slept", tmp_path / "out" / "sleep.webp")
    assert figure.read_bytes()[8:12] == b"WEBP"
