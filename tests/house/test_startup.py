"""Listing things, help and usage errors must be instant: none of them imports what is slow to import."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "scipy", "skimage", "cv2", "matplotlib", "pywt", "tifffile", "imagecodecs", "PIL"}
HEAVY |= {"lightning", "torchmetrics", "safetensors"}
PROGRAM = """
import json, sys
from unnoise.app.cli.main import run
code = run(sys.argv[1:])
sys.stdout.flush()
print("\\n" + json.dumps([code, sorted(m for m in sys.modules if "." not in m)]))
"""


def imported(*arguments):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, HEAVY & set(modules)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["denoise", "--help"], 0),
        (["papers"], 0),
        (["methods"], 0),
        (["models"], 0),
        (["data"], 0),
        (["bench"], 0),
        (["reproduce"], 0),
        (["no-such-command"], 2),
        (["denoise"], 2),
        (["reproduce", "no-such-study"], 2),
        (["bench", "no-such-benchmark"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_must_be_instant_imports_nothing_heavy(arguments, code):
    assert imported(*arguments) == (code, set())


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, unnoise; print(*(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
