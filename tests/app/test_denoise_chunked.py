"""`unnoise denoise` on cubes larger than the memory they may take."""

import numpy as np
import pytest

from unnoise.data.cube import Cube, read_cube, write_cube
from unnoise.data.cube_sets import synthetic_cube, with_noise

pytest.importorskip("dask", reason="needs the extra 'cluster'")

from unnoise.restore import chunked


@pytest.fixture
def cube(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = with_noise(synthetic_cube((70, 60, 12)), "iid")
    write_cube(tmp_path / "a.zarr", Cube(y, wavelengths=tuple(range(12)), units="nm"))
    return y


def test_what_does_not_fit_goes_in_pieces(unnoise, cube, monkeypatch):
    said = unnoise("denoise", "a.zarr", "-m", "hyres", "--memory", "2G")
    assert said.code == 0 and "in pieces" not in said.out, said.err
    monkeypatch.setattr(chunked, "WHOLE", 1 << 16)
    said = unnoise("denoise", "a.zarr", "-o", "b.zarr", "-m", "hyres", "--memory", "2G")
    assert said.code == 0, said.err
    assert "hyres: asked for; 70 x 60 pixels, 12 bands in pieces in" in said.out and "median SNR" in said.out
    whole, pieces = read_cube("a.denoised.zarr"), read_cube("b.zarr")
    assert np.allclose(whole.values, pieces.values, atol=1e-5) and pieces.wavelengths == whole.wavelengths
    said = unnoise("denoise", "a.zarr", "-o", "b.zarr", "-m", "hyres", "--memory", "2G")
    assert said.code == 2 and "exists" in said.err


def test_ctrl_c_leaves_a_state_and_says_how_to_go_on(unnoise, cube, tmp_path, monkeypatch):
    monkeypatch.setattr(chunked, "WHOLE", 1 << 16)
    real = chunked.rebuild

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(chunked, "rebuild", stop)
    command = ("denoise", "a.zarr", "-o", "b.zarr", "-m", "hyres", "--memory", "2G")
    said = unnoise(*command)
    assert said.code == 130 and "go on with the same command and --resume" in said.err
    monkeypatch.setattr(chunked, "rebuild", real)
    said = unnoise(*command)
    assert said.code == 2 and "--resume" in said.err and "--overwrite" in said.err
    said = unnoise(*command, "--resume")
    assert said.code == 0, said.err
    assert not list(tmp_path.glob(".b*"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--memory", "lots"), "--memory takes an amount such as 2G"),
        (("--memory", "1G", "--report"), "--report does not go with a cube in pieces"),
        (("--memory", "1G", "-m", "forpdn"), "forpdn looks at all of the cube at once"),
        (("--memory", "1G", "-o", "b.h5"), "cannot be written as .h5"),
    ],
)
def test_bad_options_are_one_sentence(unnoise, cube, monkeypatch, options, sentence):
    monkeypatch.setattr(chunked, "WHOLE", 1 << 16)
    said = unnoise("denoise", "a.zarr", "-o", "b.zarr", *options)
    assert said.code == 2 and sentence in said.err and len(said.err.strip().splitlines()) == 1
