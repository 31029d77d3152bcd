"""`unnoise denoise IMG.DNG`."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from unnoise.data.raw import Raw, read_raw, write_developed

pytest.importorskip("rawpy", reason="needs the extra 'raw'")


@pytest.fixture
def dng(tmp_path):
    noisy = np.random.default_rng(0).poisson(500, (64, 96)).astype(np.uint16) + 64
    write_developed(tmp_path / "a.dng", Raw(noisy, "GRBG", (64.0,) * 4, 4000.0))
    return tmp_path / "a.dng"


def test_a_camera_file_becomes_a_linear_tiff_or_a_dng(dng, unnoise):
    said = unnoise("denoise", dng)
    assert said.code == 0 and "jdd: photon and read noise found" in said.out, said.err
    rgb = tifffile.imread(dng.with_name("a.denoised.tif"))
    assert rgb.shape == (64, 96, 3) and rgb.dtype == np.uint16
    assert rgb.mean() == pytest.approx(500 / 3936 * 65535, rel=0.01)
    said = unnoise("denoise", dng, "-o", dng.with_name("b.dng"))
    assert said.code == 0 and "photo: photon and read noise found" in said.out
    before, after = read_raw(dng), read_raw(dng.with_name("b.dng"))
    assert after.pattern == before.pattern and after.mosaic.std() < 0.3 * before.mosaic.std()


def test_a_folder_takes_camera_files_along(dng, unnoise):
    said = unnoise("denoise", dng.parent, "-o", f"{dng.parent}/out/")
    assert said.code == 0 and (dng.parent / "out" / "a.tif").is_file()


def test_a_gray_file_by_kind(dng, unnoise, tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", read_raw(dng).mosaic)
    levels = ("--kind", "raw", "--set", "pattern=GRBG", "--set", "black=64", "--set", "white=4000")
    said = unnoise("denoise", tmp_path / "m.tif", *levels, "-o", tmp_path / "n.npy")
    assert said.code == 0, said.err
    assert np.load(tmp_path / "n.npy").std() < 15
    said = unnoise("denoise", tmp_path / "m.tif", "--kind", "raw", "--set", "pattern=RGBX")
    assert said.code == 2 and "unknown Bayer order" in said.err


def test_one_network_gives_colours_and_a_map_and_learns_from_the_file(dng, unnoise):
    said = unnoise("denoise", dng, "--method", "jdd", "--map", "-o", dng.with_name("c.tif"))
    assert said.code == 0 and "jdd: photon and read noise found" in said.out, said.err
    rgb, noise = tifffile.imread(dng.with_name("c.tif")), tifffile.imread(dng.with_name("c.noise.tif"))
    assert rgb.shape == noise.shape == (64, 96, 3) and rgb.dtype == np.uint16 and noise.dtype == np.float32
    assert rgb.mean() == pytest.approx(500 / 3936 * 65535, rel=0.03)
    learning = ("--adapt", "--set", "steps=2", "--set", "mask_k=20", "--set", "crop=32")
    said = unnoise("denoise", dng, "--method", "jdd", *learning, "-o", dng.with_name("d.npy"))
    assert said.code == 0 and "learning from 1 picture for" in said.err, said.err
    assert np.load(dng.with_name("d.npy")).dtype == np.float32


def test_what_jdd_does_not_do(dng, unnoise, tmp_path):
    assert "demosaicked result is written as" in unnoise("denoise", dng, "-m", "jdd", "-o", tmp_path / "x.dng").err
    assert "method photo has none" in unnoise("denoise", dng, "-m", "photo", "--map").err
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((16, 16, 3), np.uint16))
    said = unnoise("denoise", tmp_path / "rgb.tif", "--kind", "raw", "-m", "jdd")
    assert said.code == 2 and "is a colour picture" in said.err


def test_a_dark_file_through_a_network_of_its_camera(dng, unnoise, tmp_path):
    from unnoise.restore.eld_training import train

    weights = train("smoke", out=tmp_path / "eld")
    said = unnoise("denoise", dng, "-m", "eld", "--set", f"weights={weights}", "--set", "ratio=3")
    assert said.code == 0 and "eld: 3 times as bright, network of the camera SonyA7S2" in said.out, said.err
    assert tifffile.imread(dng.with_name("a.denoised.tif")).shape == (64, 96, 3)
    said = unnoise("denoise", dng, "-m", "eld", "-o", tmp_path / "b.tif")
    assert said.code == 3 and "eld has no weights of its own" in said.err


def test_a_report_of_a_camera_file_shows_its_colours(dng, unnoise, tmp_path):
    said = unnoise("denoise", dng, "--report")
    assert said.code == 0 and "a.denoised.report.png" in said.out, said.err
    facts = json.loads(dng.with_name("a.denoised.report.json").read_text())
    assert facts["method"] == "jdd" and "noise found" in facts["reason"] and facts["seconds"] > 0
    with Image.open(dng.with_name("a.denoised.report.png")) as shown:
        assert shown.width > 3 * 96
    said = unnoise("denoise", dng, "--report", "-o", tmp_path / "b.dng")
    assert said.code == 2 and "--report shows colours" in said.err and not (tmp_path / "b.dng").exists()
