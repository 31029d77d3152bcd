"""Which files were meant, and where results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from unnoise.data.inputs import expand_inputs, output_path, output_paths
from unnoise.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a10.png", "a2.png", "b.JPG", "notes.txt", "a2.denoised.png", ".hidden.png", "sub/c.png", "a[1].png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(patterns):
    return [path.name for path in expand_inputs(patterns)]


def test_a_folder_gives_its_pictures_in_natural_order(folder):
    assert names(["."]) == ["a2.png", "a10.png", "a[1].png", "b.JPG"]


def test_globs_names_and_folders_give_each_file_once(folder):
    assert names(["a10.png", "*.png", folder, "./a2.png"]) == ["a10.png", "a2.png", "a[1].png", "b.JPG"]
    assert names(["**/*.png"]) == ["a2.png", "a10.png", "a[1].png", "c.png"]


def test_a_name_with_brackets_is_a_name(folder):
    assert names(["a[1].png"]) == ["a[1].png"]


def test_our_own_results_are_taken_only_when_named(folder):
    assert names(["a2.denoised.png"]) == ["a2.denoised.png"]
    assert "a2.denoised.png" not in names(["*.png"])


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ([], "no input files: name a picture, a folder or a glob"),
        (["a3.png"], r"a3.png does not exist: did you mean a2.png\?"),
        (["*.tif"], r"no file matches '\*.tif': check the folder and the extension"),
        (["sub/sub"], "does not exist"),
        (["nowhere/a.png"], "the folder nowhere does not exist either"),
    ],
)
def test_nothing_found(folder, patterns, said):
    with pytest.raises(InputError, match=said):
        expand_inputs(patterns)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="holds no pictures"):
        expand_inputs([tmp_path])


@pytest.mark.parametrize(
    ("out", "many", "expected"),
    [
        (None, False, "in/a.denoised.jpg"),
        (None, True, "in/a.denoised.jpg"),
        ("b.png", False, "b.png"),
        ("out/", False, "out/a.jpg"),
        ("out", True, "out/a.jpg"),
        ("sub", False, "sub/a.jpg"),
    ],
)
def test_where_a_result_goes(folder, out, many, expected):
    assert output_path(Path("in/a.jpg"), out, many) == Path(expected)


def test_results_never_meet_their_inputs_nor_each_other(folder):
    a, b, c = Path("a2.png"), Path("a10.png"), Path("sub/a2.png")
    assert output_paths([a, b], None) == [Path("a2.denoised.png"), Path("a10.denoised.png")]
    with pytest.raises(InputError, match=r"would replace its input a2.png: name another with -o or pass --overwrite"):
        output_paths([a], "./a2.png")
    assert output_paths([a], "./a2.png", overwrite=True) == [Path("a2.png")]
    with pytest.raises(InputError, match=r"the result of a2.png would replace the input sub/a2.png"):
        output_paths([a, c], "sub", overwrite=True)
    with pytest.raises(InputError, match=r"a2.png and sub/a2.png would both be written to out/a2.png: run them apart"):
        output_paths([a, c], "out")
    with pytest.raises(InputError, match=r"a10.png is a file but there are several inputs: name a folder"):
        output_paths([a, b], "a10.png")


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    def closed(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(InputError, match=r"sub cannot be read \(Permission denied\): check its permissions"):
        expand_inputs(["sub"])
