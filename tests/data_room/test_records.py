"""JSON records: whole or not at all, infinities included."""

import json
import math

import pytest

from unnoise.data.records import write_json


def test_what_is_not_finite_reads_back_by_float(tmp_path):
    path = write_json(tmp_path / "new" / "r.json", {"a": [math.inf, -math.inf, 1.5], "b": {"c": math.nan}, "n": None})
    values = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert [float(v) for v in values["a"]] == [math.inf, -math.inf, 1.5]
    assert math.isnan(float(values["b"]["c"]))
    assert values["n"] is None


def test_what_json_cannot_hold_leaves_the_earlier_record(tmp_path):
    path = write_json(tmp_path / "r.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
