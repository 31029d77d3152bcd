"""`unnoise noise` and `unnoise compare` on cubes."""

import re

import numpy as np
import pytest
from PIL import Image

from unnoise.app.cube_figure import false_colour
from unnoise.data.cube import Cube, write_cube
from unnoise.restore import METHODS


@pytest.fixture
def cubes(tmp_path, monkeypatch):
    """A clean and a noisy cube of noise level 40, band 5 noisier, band 7 with impulses, band 2 constant."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.mgrid[:40, :36] / 36
    clean = np.stack([rows, columns, rows * columns], -1) @ np.random.default_rng(0).uniform(100, 900, (3, 42)) + 200
    rng = np.random.default_rng(1)
    noisy = clean + 40 * rng.standard_normal(clean.shape) * np.where(np.arange(42) == 5, 3, 1)
    noisy[..., 7][rng.random((40, 36)) < 0.1] = 3000
    clean[..., 2] = noisy[..., 2] = 7
    write_cube(tmp_path / "a.hdr", Cube(noisy.astype(np.float32), nodata=-1))
    write_cube(tmp_path / "x.hdr", Cube(clean.astype(np.float32)))
    return clean, noisy


def test_noise_of_a_cube_band_by_band(unnoise, cubes, tmp_path):
    said = unnoise("noise", "a.hdr")
    assert said.code == 0, said.err
    assert "noise of median SNR" in said.out and "constant: band 2" in said.out
    level = re.search(r"noise level +(\S+) \(band \d+\) +(\S+) +(\S+) \(band (\d+)\)", said.out)
    assert float(level[2]) == pytest.approx(40, rel=0.15) and level[4] == "7"
    assert re.search(r"impulses +bands 7", said.out)
    assert min(Image.open(tmp_path / "a.noise.png").size) > 300
    assert unnoise("noise", "a.hdr").code == 2  # the plot is there already
    np.save("b.npy", cubes[1].transpose(2, 0, 1))
    said = unnoise("noise", "b.npy", "--kind", "cube", "--band-axis", "0", "--no-plot")
    assert said.code == 0 and level[0] in said.out and not (tmp_path / "b.noise.png").exists()
    assert "unknown kind 'cub'" in unnoise("noise", "b.npy", "--kind", "cub").err


def test_compare_runs_every_method_for_cubes_and_measures(unnoise, cubes, tmp_path):
    said = unnoise("compare", "a.hdr", "--clean", "x.hdr")
    assert said.code == 0, said.err
    rows = {line.split()[0]: line.split()[-3] for line in said.out.splitlines() if len(line.split()) in (4, 6)}
    names = {n for n, m in METHODS.items() if "cube" in m.kinds and m.adapt is None} - {
        "fasthyin"
    }  # nothing is missing
    assert names | {"auto", "input"} <= set(rows)
    assert float(rows["auto"]) == float(rows["fasthyde"]) > float(rows["forpdn"]) > float(rows["input"])
    assert "auto takes" in said.out and min(Image.open(tmp_path / "a.compare.png").size) > 300


def test_compare_goes_on_past_methods_that_do_not_fit(unnoise, cubes):
    np.save("few.npy", cubes[1][:12, :12, :4])
    said = unnoise("compare", "few.npy", "--kind", "cube", "--sigma", "40")
    assert said.code == 0, said.err
    assert "rank 10 is more than the cube's" in said.out and "hyres" in said.out
    np.save("other.npy", cubes[0])
    said = unnoise("compare", "few.npy", "--kind", "cube", "--clean", "other.npy", "--overwrite")
    assert said.code == 2 and "must be of one scene and size" in said.err


def test_what_was_removed_is_told_where_no_pixel_has_all_bands(unnoise, cubes):
    y = np.where(np.random.default_rng(2).random(cubes[1].shape) < 0.15, np.nan, cubes[1])
    np.save("holes.npy", y)
    said = unnoise("compare", "holes.npy", "--kind", "cube")
    assert said.code == 0, said.err
    removed = {line.split()[0]: line.split()[-1] for line in said.out.splitlines()[2:] if len(line.split()) == 3}
    assert "fasthyin" in removed and all(float(value) > 10 for value in removed.values()), said.out


def test_a_band_that_is_missing_does_not_hide_what_the_others_measure(unnoise, cubes):
    y = cubes[1].copy()
    y[..., 9], y[3, 4] = np.nan, np.nan
    np.save("y.npy", y[..., :12])
    np.save("x.npy", cubes[0][..., :12])
    said = unnoise("compare", "y.npy", "--kind", "cube", "--clean", "x.npy")
    assert said.code == 0, said.err
    rows = {line.split()[0]: line.split() for line in said.out.splitlines() if len(line.split()) in (4, 6)}
    assert float(rows["auto"][-3]) > float(rows["input"][-3]) + 3 and len(rows) > 8


def test_a_constant_cube_has_no_table_of_noise(unnoise, cubes):
    np.save("c.npy", np.full((20, 20, 5), 3.0))
    said = unnoise("noise", "c.npy", "--kind", "cube", "--no-plot")
    assert said.code == 0 and said.out.count("\n") == 1 and "constant: bands 0-4" in said.out


def test_missing_values_do_not_set_the_colours():
    values = np.linspace(0, 1, 400).reshape(20, 20, 1).repeat(3, 2)
    holed = values.copy()
    holed[:3] = -9999
    assert np.allclose(false_colour(holed, (0, 1, 2), values, -9999)[3:], false_colour(values, (0, 1, 2))[3:])
    assert bool((false_colour(holed, (0, 1, 2), nodata=-9999)[:3] == 0).all())
    assert float(false_colour(holed, (0, 1, 2), nodata=-9999)[3:].std()) > 0.2
    assert bool((false_colour(np.full((4, 4, 3), np.nan), (0, 1, 2)) == 0).all())
