"""The evaluation protocols, against numbers measured when the data were collected."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unnoise.data import pairs
from unnoise.data.catalog import DATASETS, status
from unnoise.data.photo import Photo, write_photo
from unnoise.data.samples import SAMPLES, sample_photo
from unnoise.errors import InputError, MissingData


def needs(name):
    return pytest.mark.skipif(status(DATASETS[name]) != "present", reason=f"UNNOISE_DATA has no {DATASETS[name].path}")


def decibel(pair):
    return -10 * np.log10(np.mean((pair.noisy.astype(np.float64) - pair.clean) ** 2))


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_DATA", str(tmp_path))

    def put(path, value):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        write_photo(tmp_path / path, Photo(np.full((16, 16), value, np.uint8)))

    return put


def test_clean_sets_are_sorted_as_strings(small):
    for k in (1, 2, 10):
        small(f"clean_test/Set12/test{k}.png", k)
    assert [(name, round(float(x[0, 0] * 255))) for name, x in pairs.clean_set("set12")] == [
        ("test1", 1),
        ("test10", 10),
        ("test2", 2),
    ]


def test_noise_is_that_of_the_published_generator_and_not_clipped(small):
    for k in range(3):
        small(f"clean_test/Set12/{k}.png", 0)
    found = list(pairs.gaussian_pairs("set12", 25, limit=2))
    assert len(found) == 2
    np.random.seed(1)  # noqa: NPY002  what the published scripts call
    np.testing.assert_allclose(found[1].noisy, np.random.randn(16, 16) * 25 / 255, atol=1e-7)  # noqa: NPY002
    assert found[1].noisy.dtype == np.float32 and found[1].noisy.min() < 0


def test_real_pairs_go_together(small):
    for name, value in (("a_real", 10), ("a_mean", 20), ("b_mean", 40), ("b_real", 30)):
        small(f"real_noise/CC15/{name}.png", value)
    found = [(p.name, round(p.noisy[0, 0] * 255), round(p.clean[0, 0] * 255)) for p in pairs.real_pairs("cc15")]
    assert found == [("a", 10, 20), ("b", 30, 40)]


def test_microscopy_targets_are_mapped(small, tmp_path):
    small("real_noise/W2S/test/avg1_001_0.png", 100)
    small("real_noise/W2S/test/avg400_001_0.png", 200)
    (tmp_path / "real_noise/W2S/test/affine.json").write_text(json.dumps({"001_0": {"gain": 0.5, "offset": 2.5}}))
    ((name, noisy, clean),) = pairs.microscopy_pairs()
    assert name == "001_0" and noisy[0, 0] * 255 == pytest.approx(100) and clean[0, 0] * 255 == pytest.approx(102.5)


def test_unknown_and_missing(monkeypatch):
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    for call in (pairs.clean_set("cc15"), pairs.real_pairs("set12"), pairs.microscopy_pairs("all")):
        with pytest.raises(InputError, match="unknown"):
            next(call)
    for call in (pairs.clean_set("set12"), pairs.real_pairs("cc15"), pairs.microscopy_pairs()):
        with pytest.raises(MissingData):
            next(call)


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        pytest.param("cc15", 15, 33.41, marks=needs("cc15")),
        pytest.param("polyu", 73, 35.74, marks=needs("polyu")),
        pytest.param("fmd", 2, 21.53, marks=needs("fmd")),
    ],
)
def test_noisy_inputs_have_the_measured_psnr(name, count, expected):
    values = [decibel(pair) for pair in pairs.real_pairs(name)]
    assert len(values) == count and np.mean(values) == pytest.approx(expected, abs=0.01)


@needs("w2s")
@pytest.mark.parametrize(("split", "count", "expected"), [("train", 15, 19.55), ("test", 12, 20.96)])
def test_microscopy_has_the_measured_psnr(split, count, expected):
    values = [decibel(pair) for pair in pairs.microscopy_pairs(split)]
    assert len(values) == count and np.mean(values) == pytest.approx(expected, abs=0.01)


@needs("bsd68")
@needs("cbsd68")
def test_gray_and_colour_sets_show_the_same_scenes_in_the_same_order():
    for (_, gray), (_, colour) in zip(pairs.clean_set("bsd68"), pairs.clean_set("cbsd68"), strict=True):
        assert np.corrcoef(gray.ravel(), colour.mean(axis=2).ravel())[0, 1] > 0.98


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_inside_the_wheel(name, monkeypatch):
    import skimage.data._fetchers as fetchers

    monkeypatch.setattr(fetchers, "_image_fetcher", None)  # no network
    picture = sample_photo(name)
    assert picture.dtype == np.float32 and min(picture.shape[:2]) >= 300 and 0 <= picture.min() < picture.max() <= 1


def test_an_unknown_sample_is_an_error():
    with pytest.raises(InputError, match=r"did you mean 'camera'\?"):
        sample_photo("camara")
