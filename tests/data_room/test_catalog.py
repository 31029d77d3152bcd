"""The list of data sets against what is on the machine."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unnoise.data.catalog import DATASETS, DataSet, require, root, status, tree_hash
from unnoise.errors import InputError, MissingData

HERE = root()
needs_data = pytest.mark.skipif(HERE is None, reason="UNNOISE_DATA names no folder")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    folder = tmp_path / "set"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "b" / "c.txt").write_text("c")
    (folder / "c.txt").write_text("x")
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path))
    return DataSet("tiny", "set", "CC0", "nowhere", tree_hash(folder), 3, "this test")


def test_the_hash_of_a_folder_is_what_it_says(tiny):
    digest = {text: hashlib.sha256(text.encode()).digest() for text in "axc"}
    parts = b"a.txt\0" + digest["a"] + b"c.txt\0" + digest["x"] + b"b/c.txt\0" + digest["c"]
    assert tiny.sha256 == hashlib.sha256(parts).hexdigest()[:24]


def test_status(tiny, tmp_path, monkeypatch):
    assert status(tiny) == status(tiny, verify=True) == "present"
    (tmp_path / "set" / "a.txt").write_text("b")
    assert status(tiny) == "present" and status(tiny, verify=True) == "changed"
    (tmp_path / "set" / "a.txt").unlink()
    assert status(tiny) == "changed"
    assert status(tiny._replace(path="other")) == "missing"
    assert status(tiny._replace(sha256="", files=0), verify=True) == "present"  # never counted
    monkeypatch.delenv("UNNOISE_DATA")
    assert status(tiny) == "missing"


def test_require(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"the data set 'cc15' is not in .*CC15: get it from csjunxu") as caught:
        require("cc15")
    assert caught.value.exit_code == 3
    (tmp_path / "real_noise" / "CC15").mkdir(parents=True)
    assert require("cc15") == tmp_path / "real_noise" / "CC15"
    with pytest.raises(InputError, match=r"unknown data set 'cc51': did you mean 'cc15'\?"):
        require("cc51")
    monkeypatch.delenv("UNNOISE_DATA")
    with pytest.raises(MissingData, match="set UNNOISE_DATA to the folder that holds real_noise/CC15"):
        require("cc15")


def test_entries_are_complete():
    for name, entry in DATASETS.items():
        assert name == entry.name and entry.path and entry.licence and entry.source and entry.used_for
        assert bool(re.fullmatch("[0-9a-f]{24}", entry.sha256)) == bool(entry.files)
        assert not Path(entry.path).is_absolute()
    assert len({entry.path for entry in DATASETS.values()}) == len(DATASETS)


def test_the_catalog_needs_no_heavy_library():
    code = "import sys, unnoise.data.catalog; print({'torch', 'numpy', 'skimage', 'PIL'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "set()"


@needs_data
@pytest.mark.parametrize("name", DATASETS)
def test_what_is_here_is_what_was_recorded(name):
    if status(DATASETS[name]) == "missing":
        pytest.skip(f"{name} is not on this machine")
    assert status(DATASETS[name], verify=True) == "present"


@needs_data
def test_hashes_are_those_of_the_licence_files():
    text = "".join(path.read_text() for path in HERE.rglob("LICENSES.md"))
    recorded = set(re.findall(r"tree-sha256 `([0-9a-f]{24})`", text))
    assert recorded <= {entry.sha256 for entry in DATASETS.values()}
