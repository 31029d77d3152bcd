"""Known noise on cubes: what it is, and that it repeats."""

import numpy as np
import pytest

from unnoise.data.cube_sets import CASES, real_cube, synthetic_cube, with_noise
from unnoise.errors import InputError, MissingData


def test_the_synthetic_cube_has_its_rank():
    x = synthetic_cube((30, 26, 20), rank=3)
    values = np.linalg.svd(x.reshape(-1, 20), compute_uv=False)
    # bringing it to [0, 1] subtracts a constant, which may be one rank more
    assert x.shape == (30, 26, 20) and (values > 1e-4 * values[0]).sum() <= 4
    assert float(x.min()) == 0 and float(x.max()) == 1


@pytest.mark.parametrize("case", CASES)
def test_noise_repeats_and_leaves_the_cube_alone(case):
    x = synthetic_cube()
    before = x.copy()
    y = with_noise(x, case)
    assert np.array_equal(x, before) and np.array_equal(y, with_noise(x, case))
    assert y.dtype == np.float32 and not np.array_equal(y, with_noise(x, case, seed=1))


def test_levels_are_those_of_the_case():
    x = synthetic_cube((64, 64, 60))
    assert float((with_noise(x, "iid") - x).std()) == pytest.approx(0.1, rel=0.01)
    levels = (with_noise(x, "noniid") - x).std((0, 1))
    assert levels.min() < 0.02 and 0.17 < levels.max() < 0.21
    spiky = (np.abs(with_noise(x, "mixed") - x) > 0.6).mean((0, 1))
    assert 10 <= (spiky > 0.01).sum() <= 20  # a third of the bands


def test_what_is_not_there_is_named(monkeypatch):
    with pytest.raises(InputError, match="unknown cube 'japser'"):
        real_cube("japser")
    with pytest.raises(InputError, match="unknown noise of a cube"):
        with_noise(synthetic_cube(), "pink")
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    with pytest.raises(MissingData):
        real_cube("jasper")
