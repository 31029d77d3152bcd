"""Counts to floats and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unnoise.data import values
from unnoise.data.values import check_finite, from_unit, full_scale, to_unit
from unnoise.errors import InputError


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_count_survives_the_round_trip(kind):
    every = np.arange(np.iinfo(kind).max + 1, dtype=kind)
    unit = to_unit(every)
    assert unit.dtype == np.float32 and unit[0] == 0 and unit[-1] == 1
    np.testing.assert_array_equal(from_unit(unit, kind), every)


@given(arrays(np.float32, st.integers(0, 50), elements=st.floats(-0.5, 1.5, width=32)))
def test_rounds_to_the_nearest_count_and_clips(unit):
    counts = from_unit(unit, np.uint8)
    expected = np.clip(unit.astype(np.float64) * 255, 0, 255)
    assert counts.dtype == np.uint8
    assert (np.abs(counts - expected) <= 0.5 + 1e-5).all()


def test_bool_and_floats():
    np.testing.assert_array_equal(to_unit(np.array([True, False])), [1, 0])
    np.testing.assert_array_equal(from_unit(np.array([0.4, 0.6]), bool), [False, True])
    same = np.array([-0.5, 0.3, 1.5], np.float32)
    assert to_unit(same) is same
    np.testing.assert_array_equal(from_unit(same, np.float32), same)  # floats are not clipped
    assert to_unit(np.array([0.25], np.float64)).dtype == np.float32


def test_a_noncontiguous_array_keeps_its_shape(monkeypatch):
    monkeypatch.setattr(values, "CHUNK", 7)
    unit = np.random.default_rng(0).random((5, 6, 3))[:, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(from_unit(unit, np.uint16), np.rint(unit.astype(np.float64) * 65535))


def test_full_scale():
    assert [full_scale(kind) for kind in ("uint8", "uint16", "float32", "bool")] == [255, 65535, 1, 1]
    with pytest.raises(InputError, match="int32 are not supported: convert to uint8, uint16 or float32"):
        full_scale(np.int32)


@pytest.mark.parametrize("bad", [-0.51, 1.51, 255])
def test_an_unknown_range_is_asked_for(bad):
    with pytest.raises(InputError, match=r"float photos are in \[0, 1\]: divide by the value that means white"):
        to_unit(np.array([0.5, bad], np.float32))


def test_values_that_are_no_numbers_are_counted(monkeypatch):
    monkeypatch.setattr(values, "CHUNK", 3)
    array = np.ones((4, 5), np.float32)
    array[0, 0] = array[3, 4] = np.nan
    array[2, 2] = -np.inf
    with pytest.raises(InputError, match=r"x.tif holds 3 of 20 values that are NaN or infinite: fill them"):
        check_finite(array, "x.tif")
    with pytest.raises(InputError, match="3 of 20"):
        to_unit(array)
    check_finite(np.ones(3, np.uint8))


def test_memory_is_bounded():
    import tracemalloc

    unit = np.zeros((3000, 4000, 3), np.float32)
    tracemalloc.start()
    counts = from_unit(unit, np.uint8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < counts.nbytes + 3 * 4 * values.CHUNK
