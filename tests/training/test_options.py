import pytest
from pydantic import ValidationError

from unnoise.training.options import FitOptions, learning_rate


def test_without_decay_the_schedule_is_warm_up_then_one_half_cosine():
    o = FitOptions(steps=110, warmup=10, lr=2.0, final_lr=0.1)
    assert [learning_rate(k, o) for k in range(10)] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert learning_rate(60, o) == pytest.approx(1.1)
    assert learning_rate(110, o) == pytest.approx(0.2)


def test_the_plateau_does_not_depend_on_where_it_ends():
    short, long = FitOptions(steps=1000, warmup=10, decay=100), FitOptions(steps=9000, warmup=10, decay=100)
    assert [learning_rate(k, short) for k in range(900)] == [learning_rate(k, long) for k in range(900)]


def test_phases_must_fit():
    with pytest.raises(ValidationError, match="longer than steps"):
        FitOptions(steps=10, warmup=8, decay=5)
