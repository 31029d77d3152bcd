"""SID and ELD in miniature: their folders, names and states, filled with parts of a real mosaic."""

import numpy as np
import pytest
import torch

from unnoise.data.catalog import root
from unnoise.data.low_light import ELD_SHOTS, SID_SCENES, eld_pairs, sid_pairs
from unnoise.data.raw import Raw, read_raw, write_developed
from unnoise.errors import InputError, MissingData

rawpy = pytest.importorskip("rawpy", reason="needs the extra 'raw'")
MOSAIC = "raw/nikon_dsc1339_768x512_rggb_14bit.png"
BLACK, WHITE = 512, 16383


@pytest.fixture(scope="module")
def scene():
    """A part of a real mosaic in counts above black, and what a shutter shorter by `ratio` leaves of it."""
    if root() is None or not (root() / MOSAIC).exists():
        pytest.skip(f"UNNOISE_DATA has no {MOSAIC}")
    counts = read_raw(root() / MOSAIC).mosaic[100:172, 200:296].astype(np.float64)

    def exposed(ratio, iso=None, seconds=None, noise=0.0):
        y = counts / ratio + noise * np.random.default_rng(round(ratio)).standard_normal(counts.shape)
        mosaic = np.rint(y * 0.9 + BLACK).clip(0, WHITE).astype(np.uint16)
        return Raw(mosaic, "RGGB", (BLACK,) * 4, WHITE, iso, seconds)

    return exposed


def write(raw, path):
    """A DNG under the name of a camera's own file: readers go by what is inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_developed(path.with_suffix(".dng"), raw)
    path.with_suffix(".dng").rename(path)


@pytest.fixture
def sid(scene, tmp_path, monkeypatch):
    folder = tmp_path / "SID" / "Sony"
    for name in SID_SCENES:
        write(scene(1), folder / "long" / f"{name}_00_10s.ARW")
        for seconds, ratio in (("0.1", 100), ("0.04", 250), ("0.033", 300)):
            write(scene(ratio), folder / "short" / f"{name}_00_{seconds}s.ARW")
        write(scene(50), folder / "short" / f"{name}_01_0.1s.ARW")
    write(scene(1), folder / "long" / "00001_00_10s.ARW")  # of the training scenes
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path))
    return folder


def test_sid_pairs_the_first_short_exposure_of_a_ratio_with_the_long_one(sid):
    for asked, ratio in ((100, 100), (250, 250), (300, 300)):
        pairs = list(sid_pairs(asked))
        assert [pair.name[6:11] for pair in pairs] == list(SID_SCENES)
        assert {pair.ratio for pair in pairs} == {ratio}
        pair = pairs[0]
        assert pair.noisy.shape == pair.clean.shape == (4, 36, 48) and pair.noisy.dtype == torch.float32
        # rounding to counts before amplification is all the noise there is
        step = asked / (WHITE - BLACK)
        inside = pair.clean < 0.9
        assert float((pair.noisy - pair.clean)[inside].abs().max()) <= 0.51 * step + 1e-4
        assert float(pair.noisy.min()) >= 0 and float(pair.noisy.max()) <= 1


def test_sid_takes_the_middle(sid, monkeypatch):
    whole = next(sid_pairs(100)).clean
    monkeypatch.setattr("unnoise.data.low_light.MIDDLE", 20)
    assert torch.equal(next(sid_pairs(100)).clean, whole[:, 8:28, 14:34])


def test_sid_says_what_is_missing(sid):
    with pytest.raises(InputError, match="ratios 100, 250, 300, not at 200"):
        next(sid_pairs(200))
    (sid / "short" / "20188_00_0.04s.ARW").unlink()
    with pytest.raises(InputError, match="no exposure of scene 20188 at ratio 250"):
        next(sid_pairs(250))
    (sid / "long" / "20188_00_10s.ARW").unlink()
    with pytest.raises(InputError, match="long has no exposure of scene 20188"):
        next(sid_pairs(100))
    (sid / "short" / "holiday.ARW").write_bytes(b"")
    with pytest.raises(InputError, match=r"holiday.ARW is not named like 20188_00_0.1s.ARW"):
        next(sid_pairs(100))


@pytest.fixture
def eld(scene, tmp_path, monkeypatch):
    """Two scenes, ISO 800, 1600 and 3200; shutters as in the set, so that ratios are only nearly the factors."""
    for number in (1, 2):
        folder = tmp_path / "ELD" / "SonyA7S2" / f"scene-{number}"
        for k, reference in enumerate((1, 6, 11, 16)):
            write(scene(1, 100, 1.0), folder / f"IMG_{reference:04d}.ARW")
            if k < 3:
                iso = 800 * 2**k
                for shot, factor in ((4 + 5 * k, 100), (5 + 5 * k, 200)):
                    seconds = round(1e5 * 100 / iso / factor) / 1e5
                    write(scene(factor, iso, seconds), folder / f"IMG_{shot:04d}.ARW")
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path))
    return tmp_path / "ELD" / "SonyA7S2"


def test_eld_takes_the_nearest_reference_and_the_stated_ratio(eld):
    for factor, shots in ELD_SHOTS.items():
        pairs = list(eld_pairs("SonyA7S2", factor))
        assert [pair.name for pair in pairs] == [f"scene-{s}/IMG_{k:04d}" for s in (1, 2) for k in shots]
        assert all(pair.clean.shape == (4, 36, 48) for pair in pairs)
        ratios = [pair.ratio for pair in pairs[:3]]
        assert ratios == pytest.approx([factor] * 3, rel=0.05) and ratios != [factor] * 3
    (eld / "scene-1" / "IMG_0006.ARW").rename(eld / "scene-1" / "IMG_0007.ARW")
    with pytest.raises(InputError, match="scene-1 has no picture IMG_0006"):
        next(eld_pairs("SonyA7S2", 100))  # 4 is nearer to 6 than to 1


def test_eld_says_what_is_missing(eld, scene, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="unknown camera of the ELD set 'SonyA7'"):
        next(eld_pairs("SonyA7", 100))
    with pytest.raises(InputError, match="factors 100, 200, not at 10"):
        next(eld_pairs("SonyA7S2", 10))
    with pytest.raises(InputError, match="has no folders scene-1"):
        next(eld_pairs("NikonD850", 100))
    (eld / "scene-1" / "IMG_0006.ARW").unlink()
    write(scene(1), eld / "scene-1" / "IMG_0006.ARW")
    with pytest.raises(InputError, match=r"IMG_0006\.ARW does not state its ISO and exposure"):
        next(eld_pairs("SonyA7S2", 100))
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path / "SonyA7S2"))
    with pytest.raises(MissingData, match="the data set 'eld' is needed: set UNNOISE_DATA"):
        next(eld_pairs("SonyA7S2", 100))
    with pytest.raises(MissingData, match="the data set 'sid_sony' is needed"):
        next(sid_pairs(100))
