"""The code in the README and in the guides runs as it stands there, top to bottom, a page at a time."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if BLOCK.search(p.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_code_on_the_page_runs(page, tmp_path, monkeypatch):
    from skimage import data, io

    monkeypatch.chdir(tmp_path)
    io.imsave(tmp_path / "photo.jpg", data.astronaut()[:96, :128])
    io.imsave(tmp_path / "photo.png", data.astronaut()[:96, :128])
    text = page.read_text()
    namespace = {"__name__": "page"}
    for block in BLOCK.finditer(text):
        first_line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * first_line + block[1], str(page), "exec"), namespace)


def test_pictures_and_pages_that_the_readme_names_are_there():
    named = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert named and [name for name in named if not (ROOT / name).exists()] == []


def test_a_python_block_is_found_in_the_readme():
    assert any(p.name == "README.md" for p in PAGES)
