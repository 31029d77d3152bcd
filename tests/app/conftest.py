"""The command line in this process: its exit code, and what it said."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from skimage import data

from unnoise.app.cli.main import run


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def unnoise(capfd):
    def call(*arguments):
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def noisy_png(tmp_path):
    """A 96 x 120 RGB part of a photograph with Gaussian noise of sigma 15/255."""
    x = data.astronaut()[100:196, 150:270].astype(np.float64)
    y = x + 15 * np.random.RandomState(0).randn(*x.shape)
    path = tmp_path / "noisy.png"
    Image.fromarray(np.clip(np.rint(y), 0, 255).astype(np.uint8)).save(path)
    return path
