"""The table of docs/files.md against the writers."""

from pathlib import Path

import pytest

from unnoise.data.formats import FORMATS, label
from unnoise.data.photo_write import WRITERS

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
COLUMNS = {"8 bit": "uint8", "16 bit": "uint16"}


def table():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2 : 2 + len(FORMATS)]}


@pytest.mark.parametrize("name", FORMATS)
def test_the_table_says_what_the_writers_can(name):
    row = table()[label(name)]
    kinds = {kind for form, kind, _ in WRITERS if form == name}
    layouts = {layout for form, _, layout in WRITERS if form == name}
    assert row["extensions"].split() == list(FORMATS[name])
    assert {column: row[column] == "yes" for column in COLUMNS} == {c: kind in kinds for c, kind in COLUMNS.items()}
    assert (row["float (16, 32, 64)"] == "yes") == ({"float16", "float32", "float64"} <= kinds)
    assert (row["gray"] != "no", row["RGB"] == "yes") == ("gray" in layouts, "rgb" in layouts)
    assert (row["alpha"] == "yes") == ("rgb+alpha" in layouts)


def test_every_cell_of_a_format_is_complete():
    for name in FORMATS:
        kinds = {kind for form, kind, _ in WRITERS if form == name}
        layouts = {layout for form, _, layout in WRITERS if form == name}
        assert {(name, kind, layout) for kind in kinds for layout in layouts} <= set(WRITERS)
