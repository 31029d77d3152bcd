"""Docstrings become Markdown for the API pages without losing a word."""

import importlib.util
from pathlib import Path

import pytest

DOCSTRING = """Averages things.

Parameters
----------
x : what is averaged, `(B, C)`,
    finite.
weights, axis : as in numpy.

Raises
------
InputError : nothing to average: [[1], [2]].

Source: somebody 1999.

>>> mean([1, 3])
2

Afterwards."""

MARKDOWN = """Averages things.

**Parameters**

- `x`: what is averaged, `(B, C)`,
    finite.
- `weights, axis`: as in numpy.

**Raises**

- `InputError`: nothing to average: [[1], [2]].

Source: somebody 1999.


```pycon
>>> mean([1, 3])
2
```

Afterwards."""


@pytest.fixture(scope="module")
def markdown():
    pytest.importorskip("griffe", reason="needs the extra 'docs'")
    path = Path(__file__).parents[2] / "docs" / "docstrings.py"
    spec = importlib.util.spec_from_file_location("unnoise_docs_docstrings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.markdown


def test_sections_become_lists_and_examples_are_fenced(markdown):
    assert markdown(DOCSTRING) == MARKDOWN


def test_prose_stays_as_it_is(markdown):
    text = "One line.\n\nA colon : in prose, and a - dash."
    assert markdown(text) == text
