"""`unnoise generalise` on parts of photographs."""

import pytest
from PIL import Image
from skimage import data


@pytest.fixture
def folder(tmp_path):
    photograph = data.camera()
    for i in range(5):
        Image.fromarray(photograph[40 * i + 100 : 40 * i + 140, 150:250]).save(tmp_path / f"{i}.png")
    return tmp_path


def test_pairs_of_networks_are_trained_once_and_compared(unnoise, folder, tmp_path):
    arguments = [folder, "--sizes", "40,2", "--side", 8, "--steps", 10, "--test", 10, "-o", tmp_path / "nets"]
    said = unnoise("generalise", *arguments)
    assert said.code == 0, said.err
    rows = [line.split() for line in said.out.splitlines() if line.split()[:1] in (["2"], ["40"])]
    assert [row[0] for row in rows] == ["2", "40"]
    assert [row[-1] for row in rows] == ["untrained"] * 2  # after ten steps both hand on what they got
    assert len(list((tmp_path / "nets").glob("*/checkpoint.safetensors"))) == 4
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "nets").glob("*/checkpoint.safetensors")}
    again = unnoise("generalise", *arguments)
    assert again.out == said.out
    assert {p: p.stat().st_mtime_ns for p in times} == times


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sizes", "ten"], "whole numbers"),
        (["--side", 7], "even number"),
        (["--sizes", "2,100000", "--side", 8], "lively enough"),
        (["--sizes", "2", "--side", 64], "0 patches of 64 x 64 pixels"),
        (["--sizes", "2", "--side", 8, "--shrink", 50], "0 patches of 8 x 8 pixels"),
    ],
)
def test_mistakes_end_in_one_sentence(unnoise, folder, arguments, says):
    said = unnoise("generalise", folder, *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_two_pictures_are_too_few(unnoise, folder):
    said = unnoise("generalise", folder / "0.png", folder / "1.png")
    assert said.code == 2
    assert "three pictures" in said.err
