"""Sliding windows: their weights add up to 1, and what needs no neighbours is as if there were no windows."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.restore.hyde.windows import apply, plan


@pytest.mark.parametrize("blend", ["cosine", "crop"])
@pytest.mark.parametrize(
    ("size", "window", "overlap"), [(300, 256, 16), (61, 20, 4), (95, 32, 0), (198, 10, 2), (11, 10, 2)]
)
def test_weights_add_up_to_one(size, window, overlap, blend):
    axis = plan(size, window, overlap, blend)
    total = torch.zeros(size, dtype=torch.float64)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        total[start : start + axis.length] += weights
    assert float((total - 1).abs().max()) < 1e-6
    assert axis.starts[0] == 0 and axis.starts[-1] + axis.length == size
    assert float(axis.weights.min()) >= 0


def test_crop_is_hydes_rule():
    """Windows start every w - buffer, all but the first drop their first `buffer` values, later ones overwrite."""
    size, window, buffer = 23, 8, 3
    net = torch.arange(100.0).reshape(1, 100)  # window i answers i
    expected, starts = torch.empty(size), [0, 5, 10, 15]
    for i, start in enumerate(starts):
        first = start + (buffer if i else 0)
        expected[first : start + window] = i
    axis = plan(size, window, buffer, "crop")
    assert list(axis.starts) == starts
    got = torch.zeros(size)
    for i, start in enumerate(axis.starts):
        got[start : start + window] += axis.weights[i] * net[0, i]
    assert torch.equal(got, expected)


@pytest.mark.parametrize("bands", [7, 10, 11, 31])
@pytest.mark.parametrize("size", [(61, 32), (20, 33)])
def test_a_pointwise_function_does_not_see_windows(bands, size):
    torch.manual_seed(0)
    y = torch.rand(bands, *size)
    axes = (plan(bands, 10, 2), plan(size[0], 24, 6), plan(size[1], 24, 6))
    for batch in (1, 3, None):
        torch.testing.assert_close(apply(lambda w: 2 * w + 1, y, axes, batch), 2 * y + 1, rtol=0, atol=1e-6)


def test_a_cosine_fades_where_crop_jumps():
    """Windows that disagree by a constant leave a step of it with crop, and a ramp with cosine."""

    def steps(blend):
        axis, seam = plan(40, 24, 8, blend), torch.zeros(40)
        for i, start in enumerate(axis.starts):
            seam[start : start + 24] += i * axis.weights[i]
        return float(seam.diff().abs().max())

    assert steps("crop") == 1 and steps("cosine") < 0.25


def test_a_window_that_its_overlap_covers_is_refused():
    with pytest.raises(InputError, match="overlap of 10 does not fit a window of 10"):
        plan(30, 10, 10)
    with pytest.raises(InputError, match="cosin"):
        plan(30, 10, 2, "cosin")
