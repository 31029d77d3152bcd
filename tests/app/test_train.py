import subprocess
import sys

import pytest

from unnoise.app.cli.main import run


def test_smoke_preset_trains_and_says_where_the_weights_are(tmp_path, capfd):
    assert run(["train", "photo", "--preset", "smoke", "--set", "fit.steps=4", "-o", str(tmp_path / "run")]) == 0
    out, err = capfd.readouterr()
    assert (tmp_path / "run/photo.safetensors").is_file() and "photo.safetensors" in out.replace("\n", "")
    assert "step 4 loss" in err and "colour25" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "foto"], 2, "did you mean 'photo'"),
        (["train", "photo", "--preset", "smoke", "--set", "fit.stepz=3"], 2, "did you mean 'fit.steps'"),
        (["train", "photo", "--preset", "none.yaml"], 2, "no preset file none.yaml"),
        (["train", "photo", "--preset", "smoke", "--resume"], 2, "start without --resume"),
        (["train", "photo"], 3, "UNNOISE_DATA"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, monkeypatch, capfd, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    assert run(arguments) == code
    err = capfd.readouterr().err
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    code = """
import os, signal, sys
from unnoise.training import progress
from contextlib import contextmanager
@contextmanager
def bar(console):
    yield lambda p: os.kill(os.getpid(), signal.SIGINT) if p.step == 3 else None
progress.bar = bar
from unnoise.app.cli.main import main
main(sys.argv[1:])
"""
    arguments = ["train", "photo", "--preset", "smoke", "-o", str(tmp_path / "run")]
    stopped = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert stopped.returncode == 130
    assert "saved at step 3" in stopped.stderr and "--resume" in stopped.stderr
    assert run([*arguments, "--resume"]) == 0
