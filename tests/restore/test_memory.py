"""A picture of 100 megapixels passes the door in bounded memory."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from unnoise.restore.door import denoise
x = np.empty((10_000, 10_000, 3), np.float32)
rows = np.random.default_rng(0).normal(0.5, 0.05, (500, 10_000, 3))
for top in range(0, len(x), len(rows)):
    x[top : top + len(rows)] = rows
x_hat = denoise(x, "bilateral")
assert x_hat.shape == x.shape and x_hat[:500].std() < 0.7 * rows.std()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_100_megapixels_of_float_rgb_stay_under_3_gib_with_input_and_output():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 3
