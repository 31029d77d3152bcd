"""`unnoise calibrate` and `unnoise noise --profile` on frames drawn from a known camera."""

import json

import numpy as np
import pytest
import tifffile
import torch

from unnoise.data.raw import Raw, write_developed
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise, SensorNoise

NOISE = SensorNoise(gain=0.5, read=2.0, shape=0.14, row=0.5, scale=3900.0, model="PTR")


@pytest.fixture
def shots(tmp_path):
    def frame(level, seed):
        x = torch.full((1, 1, 96, 128), level / 3900)
        y = NOISE.sample(x, generator(seed))[0, 0].numpy() * 3900 + 100
        return np.rint(y).clip(0, 4000).astype(np.uint16)

    rows = ["file,kind,iso,exposure,snap"]
    for i in range(6):
        tifffile.imwrite(tmp_path / f"dark{i}.tif", frame(0, i))
        rows.append(f"dark{i}.tif,bias,400,0.001,{i}")
    for level in (300, 900, 1800):
        for k in range(2):
            tifffile.imwrite(tmp_path / f"flat{level}_{k}.tif", frame(level, level + k))
            rows.append(f"flat{level}_{k}.tif,flat,400,{level / 1e5},{k}")
    (tmp_path / "frames.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_from_folders_of_frames_to_a_camera_that_explains_them(shots, unnoise):
    out = shots / "camera.json"
    said = unnoise("calibrate", "--bias", shots / "dark*.tif", "--flat", shots / "flat*.tif", "-o", out)
    assert said.code == 0, said.err
    assert "all frames are taken as of one ISO" in said.out and "6 flats were paired by equal mean" in said.out
    assert "Tukey-lambda and rows" in said.out and (shots / "camera.png").stat().st_size > 10_000
    camera = CameraNoise.load(out)
    assert camera.gains[0] == pytest.approx(0.5, rel=0.05) and camera.read.at(0.5) == pytest.approx(2, rel=0.05)
    noise = unnoise("noise", shots / "flat900_0.tif", "--profile", out)
    assert noise.code == 0 and "K = 0.5" in noise.out
    line = next(row for row in noise.out.splitlines() if "gray" in row).split()
    assert float(line[3]) == pytest.approx(float(line[4]), rel=0.05)


def test_a_table_of_frames_gives_iso_and_exposure(shots, unnoise):
    out = shots / "camera.json"
    said = unnoise("calibrate", "--frames", shots / "frames.csv", "--pattern", "mono", "-o", out, "--no-plot")
    assert said.code == 0 and "note: no" not in said.out
    assert json.loads(out.read_text())["table"][0]["iso"] == 400
    again = unnoise("calibrate", "--frames", shots / "frames.csv", "-o", out)
    assert again.code == 2 and "exists" in again.err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,kind,iso\n", "lacks the column exposure"),
        ("file,kind,iso,exposure,snap\ndark0.tif,lamp,1,1,1\n", "line 2: kind is 'lamp'"),
        ("file,kind,iso,exposure,snap\ndark0.tif,bias,x,1,1\n", "must be numbers"),
        ("file,kind,iso,exposure,snap\ndark0.tif,bias,100,1,1\n", "1 bias frames and 0 flats"),
    ],
)
def test_a_table_with_a_mistake(shots, unnoise, table, message):
    (shots / "t.csv").write_text(table)
    said = unnoise("calibrate", "--frames", shots / "t.csv", "-o", shots / "c.json")
    assert said.code == 2 and message in said.err and len(said.err.strip().splitlines()) == 1


def test_nothing_to_calibrate_with(tmp_path, unnoise):
    assert "give dark frames with --bias" in unnoise("calibrate", "-o", tmp_path / "c.json").err
    assert "ends in .json" in unnoise("calibrate", "-o", tmp_path / "c.txt").err


def test_camera_files_in_folders_are_read_in_their_colours(tmp_path, unnoise):
    rng = np.random.default_rng(0)

    def shots(kind, light, sizes=(64, 96)):
        (tmp_path / kind).mkdir(exist_ok=True)
        for level in light:
            for k in range(2):
                cells = np.tile([[1.0, 2.0], [2.0, 0.5]], (sizes[0] // 2 + 1, sizes[1] // 2 + 1))[
                    : sizes[0], : sizes[1]
                ]
                counts = 100 + 2 * rng.standard_normal(sizes) + rng.poisson(level * cells)
                raw = Raw(np.rint(counts).astype(np.uint16), "RGGB", (100.0,) * 4, 4000.0, 800, max(level, 1) / 1e4)
                write_developed(tmp_path / kind / f"{level}_{k}.dng", raw)

    shots("dark", [0])
    shots("flat", [200, 600])
    out = tmp_path / "c.json"
    said = unnoise("calibrate", "--bias", tmp_path / "dark", "--flat", tmp_path / "flat", "-o", out, "--no-plot")
    assert said.code == 0, said.err
    camera = CameraNoise.load(out)
    assert camera.pattern == "RGGB" and camera.table[0]["iso"] == 800 and len(camera.bias[0]) == 4
    assert camera.gains[0] == pytest.approx(1, rel=0.1)
    shots("odd", [0], (63, 95))
    shots("oddflat", [200, 600], (63, 95))
    said = unnoise("calibrate", "--bias", tmp_path / "odd", "--flat", tmp_path / "oddflat", "-o", out, "--overwrite")
    assert said.code == 2 and "95 x 63 pixels cut a Bayer cell" in said.err


def frame_files(folder, pictures):
    for name, picture in pictures.items():
        tifffile.imwrite(folder / f"{name}.tif", picture)


def even(level, size=(64, 64), seed=0):
    return np.random.default_rng(seed).normal(level, 2, size).round().clip(0, 4000).astype(np.uint16)


GOOD = {
    **{f"dark{i}": even(100, seed=i) for i in range(2)},
    **{f"flat{v}_{k}": even(v, seed=v + k) for v in (500, 900) for k in range(2)},
}
BAD = {
    "light in the dark frames": ({"dark1": even(600, seed=9)}, "not dark: their means lie between 100.0 and 600"),
    "flats that clip": (
        {f"flat{v}_{k}": np.full((64, 64), 4000, np.uint16) for v in (500, 900) for k in range(2)},
        "100% or more of their pixels are at 4000",
    ),
    "one dark frame": ({"dark1": None}, "has 1 bias frame: give 2"),
    "one flat": ({"flat500_1": None, "flat900_0": None, "flat900_1": None}, "none of the 1 flats has a partner"),
    "sizes": ({"flat900_1": even(900, (64, 80), seed=901)}, "different sizes, 64 x 64 and 80 x 64"),
    "colour": ({"flat900_1": np.zeros((64, 64, 3), np.uint16)}, "is a colour picture of shape (64, 64, 3)"),
    "cut off at black": ({f"dark{i}": even(0, seed=i) for i in range(2)}, "of a bias frame of ISO 100 is clipped at 0"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_frames_that_cannot_calibrate_are_refused_in_a_sentence_with_numbers(tmp_path, unnoise, mistake):
    changes, message = BAD[mistake]
    frame_files(tmp_path, {name: f for name, f in (GOOD | changes).items() if f is not None})
    said = unnoise(
        "calibrate", "--bias", tmp_path / "dark*.tif", "--flat", tmp_path / "flat*.tif", "--white", 4000,
        "-o", tmp_path / "c.json",
    )  # fmt: skip
    assert said.code == 2 and message in said.err, said.err
    assert len(said.err.strip().splitlines()) == 1 and not (tmp_path / "c.json").exists()


def test_dark_frames_and_flats_of_different_iso_are_named(tmp_path, unnoise):
    frame_files(tmp_path, GOOD)
    rows = [f"{name}.tif,{'bias,100' if name.startswith('dark') else 'flat,200'},{name[4:7]},0" for name in GOOD]
    (tmp_path / "f.csv").write_text("\n".join(["file,kind,iso,exposure,snap", *rows]) + "\n")
    said = unnoise("calibrate", "--frames", tmp_path / "f.csv", "-o", tmp_path / "c.json")
    assert said.code == 2 and "ISO 100, 200 has bias frames or flats but not both" in said.err, said.err


def test_frames_that_do_not_state_their_iso_join_one_other_iso_and_no_two(tmp_path, unnoise):
    def write(name, picture, iso):
        raw = Raw(picture, "RGGB", (100.0,) * 4, 4000.0, iso, None)
        write_developed(tmp_path / f"{name}.dng", raw, overwrite=True)

    def calibrate():
        which = ("--bias", tmp_path / "dark*.dng", "--flat", tmp_path / "flat*.dng")
        return unnoise("calibrate", *which, "-o", tmp_path / "c.json", "--no-plot", "--overwrite")

    rng = np.random.default_rng(0)
    lit = {
        f"flat{v}_{k}": rng.poisson(v, (64, 64)) + 100 + 2 * rng.standard_normal((64, 64))
        for v in (400, 800)
        for k in (0, 1)
    }
    for name, picture in (GOOD | {name: x.round().astype(np.uint16) for name, x in lit.items()}).items():
        if name.startswith("dark") or name in lit:
            write(name, picture, None if name == "dark0" else 800)
    said = calibrate()
    assert said.code == 0 and "1 of 6 frames do not state their ISO and are taken as of ISO 800" in said.out, said.err
    assert CameraNoise.load(tmp_path / "c.json").table[0]["iso"] == 800
    write("flat400_1", even(500), 1600)
    said = calibrate()
    assert said.code == 2 and "1 of 6 frames do not state their ISO, the others are of ISO 800, 1600" in said.err
