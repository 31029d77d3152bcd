"""`unnoise denoise` on cubes."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from unnoise.data.cube import Cube, read_cube, write_cube


@pytest.fixture
def cube(tmp_path, monkeypatch):
    """A noisy cube as an ENVI file in the working directory, and what is clean of it."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.mgrid[:30, :32] / 32
    clean = np.stack([rows, columns], -1) @ np.random.default_rng(0).uniform(100, 900, (2, 12)) + 200
    noisy = clean + 40 * np.random.default_rng(1).standard_normal(clean.shape)
    waves = tuple(420 + 25.0 * b for b in range(12))
    write_cube(tmp_path / "a.hdr", Cube(noisy.astype(np.int16), wavelengths=waves, units="nm"))
    return clean


def test_a_cube_is_cleaned_beside_itself_with_a_report(unnoise, cube, tmp_path):
    said = unnoise("denoise", "a.hdr", "--report")
    assert said.code == 0, said.err
    assert "fasthyde: Gaussian noise of median SNR" in said.out and "30 x 32 pixels, 12 bands" in said.out
    done = read_cube(tmp_path / "a.denoised.hdr")
    assert done.wavelengths[0] == 420 and done.values.dtype == np.int16
    assert np.std(done.values - cube) < 12
    assert min(Image.open(tmp_path / "a.denoised.report.png").size) > 300
    facts = json.loads((tmp_path / "a.denoised.report.json").read_text())
    assert facts["method"] == "fasthyde" and len(facts["profile"]["sigma"]) == 12
    assert unnoise("denoise", "a.hdr").code == 2  # it is there already


def test_other_formats_methods_and_axes(unnoise, cube, tmp_path):
    np.save("b.npy", read_cube("a.hdr").values.transpose(2, 0, 1))
    said = unnoise("denoise", "b.npy", "--kind", "cube", "--band-axis", "0", "-m", "hyres", "-o", "c.npy")
    assert said.code == 0, said.err
    assert np.load("c.npy").shape == (12, 30, 32) and "hyres: asked for" in said.out
    header = tmp_path / "a.hdr"
    header.write_text(header.read_text() + "map info = {UTM, 1, 1, 500000, 4.1e6, 30, 30, 13, North}\n")
    said = unnoise("denoise", "a.hdr", "-o", "d.tif", "-m", "fasthyde", "--set", "k=3")
    assert said.code == 0 and "note: geo-reference of a.hdr cannot go into .tif" in said.out
    assert read_cube("d.tif").wavelengths[1] == 445
    assert np.std(read_cube("d.tif").values - cube) < 12


def test_bad_cubes_are_one_sentence(unnoise, cube, tmp_path):
    data = tmp_path / "a.dat"
    data.write_bytes(data.read_bytes()[:100])
    said = unnoise("denoise", "a.hdr")
    assert said.code == 2 and len(said.err.strip().splitlines()) == 1
    assert "a.dat is truncated" in said.err and "get a new copy" in said.err


def test_a_stack_of_a_microscope_is_learnt_from_and_cleaned(tmp_path, unnoise):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.integers(100, 900, (2, 48, 60)).astype(np.uint16))
    options = ("steps=2", "crop=20", "width=8", "n_modules=1", "stride_blind=1")
    small = [part for option in options for part in ("--set", option)]
    which = ("--kind", "cube", "--band-axis", "0", "--method", "cbsn", "--adapt", *small)
    said = unnoise("denoise", tmp_path / "a.tif", tmp_path / "b.tif", *which, "-o", f"{tmp_path}/out/")
    assert said.code == 0 and "learning from 2 pictures for 2 steps" in said.err, said.err
    assert tifffile.imread(tmp_path / "out" / "a.tif").size == 2 * 48 * 60
