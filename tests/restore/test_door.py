"""Facts about the door: the same kind of thing comes out, bad input is one sentence."""

import numpy as np
import pytest
import torch

from unnoise.data.photo import Photo, read_photo, write_photo
from unnoise.errors import InputError, OutputError
from unnoise.restore.door import denoise, denoise_file, restore


@pytest.fixture(scope="module")
def noisy_photo():
    """(96, 80, 3) float64 in about [0, 1], sigma 0.1, and its clean version."""
    from skimage import data

    clean = data.astronaut()[:96, 170:250] / 255.0
    return clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape), clean


def counts(y, dtype):
    white = np.iinfo(dtype).max
    return (np.clip(y, 0, 1) * white).round().astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64", ">u2", ">f4"])
@pytest.mark.parametrize("layout", ["gray", "gray1", "rgb", "rgba"])
def test_arrays_keep_shape_and_type_and_lose_noise(noisy_photo, dtype, layout):
    y, clean = noisy_photo
    y, clean = (y[..., 1], clean[..., 1]) if layout == "gray" else (y, clean)
    y, clean = (y[..., :1], clean[..., :1]) if layout == "gray1" else (y, clean)
    white = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    x = y.astype(dtype) if white == 1 else counts(y, dtype)
    alpha = np.arange(96 * 80).reshape(96, 80, 1) % 251 / (250 if white == 1 else 1)
    x = np.concatenate([x, alpha.astype(dtype)], 2) if layout == "rgba" else x
    x_hat = denoise(x, "tv", sigma=0.1 * white)
    assert x_hat.shape == x.shape and x_hat.dtype == x.dtype
    if layout == "rgba":
        assert np.array_equal(x_hat[..., 3], x[..., 3])
        x_hat, x = x_hat[..., :3], x[..., :3]
    before, after = (np.std(a.astype(float) / white - clean) for a in (x, x_hat))
    assert after < 0.6 * before


def test_tensors_keep_shape_type_and_batch(noisy_photo):
    y = torch.from_numpy(noisy_photo[0]).permute(2, 0, 1)
    for x in (y, y.float(), y.half(), (y.clip(0, 1) * 255).byte(), y.float()[None].repeat(2, 1, 1, 1)):
        x_hat = denoise(x, "nlm", sigma=0.1 if x.is_floating_point() else 25.5)
        assert x_hat.shape == x.shape and x_hat.dtype == x.dtype and x_hat.device == x.device
    assert torch.equal(x_hat[0], x_hat[1])


def test_counts_and_floats_agree(noisy_photo):
    x = counts(noisy_photo[0], np.uint16)
    integers = denoise(x, "bilateral", sigma=6553.5)
    floats = denoise(x.astype(np.float32) / 65535, "bilateral", sigma=0.1)
    assert np.abs(integers / 65535 - floats.clip(0, 1)).max() < 1 / 65535


def test_tile_changes_nothing_that_can_be_seen(noisy_photo):
    x = noisy_photo[0].astype(np.float32)
    assert np.abs(denoise(x, "nlm", sigma=0.1, tile=17) - denoise(x, "nlm", sigma=0.1)).max() < 1e-5


def test_strength_blends_and_zero_is_bit_for_bit(noisy_photo):
    x = noisy_photo[0].astype(np.float32)
    none, half, full = (denoise(x, "tv", sigma=0.1, strength=s) for s in (0, 0.5, 1))
    assert np.array_equal(none, x) and none is not x
    assert np.allclose(half, (x + full) / 2, atol=1e-6)
    u8 = counts(x, np.uint8)
    assert np.array_equal(denoise(u8, strength=0), u8)


def test_the_input_is_left_alone_and_views_are_taken(noisy_photo):
    x = noisy_photo[0].astype(np.float32)
    before = x.copy()
    flipped = denoise(x[::-1, :, ::-1], "bilateral", sigma=0.1)
    assert np.array_equal(x, before)
    assert np.allclose(flipped, denoise(x[::-1, :, ::-1].copy(), "bilateral", sigma=0.1))
    x.flags.writeable = False
    with np.errstate(all="raise"):
        assert denoise(x, "tv", sigma=0.1).shape == x.shape


def test_sigma_may_be_a_number_a_channel_or_a_map(noisy_photo):
    x = noisy_photo[0].astype(np.float32)
    number = denoise(x, "dct", sigma=0.1)
    assert np.allclose(denoise(x, "dct", sigma=[0.1, 0.1, 0.1]), number, atol=1e-6)
    assert np.allclose(denoise(x, "dct", sigma=np.full((96, 80), 0.1)), number, atol=1e-5)
    assert np.allclose(denoise(x, "dct", sigma=np.full((96, 80, 3), 0.1)), number, atol=1e-5)


def test_progress_counts_every_pixel(noisy_photo):
    seen = []
    denoise(noisy_photo[0], "bilateral", sigma=0.1, tile=40, progress=lambda done, total: seen.append((done, total)))
    assert [total for _, total in seen] == [96 * 80] * len(seen)
    assert seen[-1][0] == 96 * 80 and len(seen) == 6


def test_restore_says_what_and_why(noisy_photo):
    restored = restore(noisy_photo[0])
    assert restored.choice.method == "photo" and "independent" in restored.choice.reason
    assert abs(np.mean(restored.profile.sigma) - 0.1) < 0.015
    assert restored.seconds > 0


def test_calibration_helps_where_the_level_given_is_wrong(noisy_photo):
    y, clean = noisy_photo
    wrong = denoise(y, "dct", sigma=0.07)
    tuned = restore(y, "dct", sigma=0.07, calibrate=True)
    assert "calibrated" in tuned.choice.reason and tuned.choice.options["scale"] > 1
    assert np.std(tuned.image - clean) < np.std(wrong - clean)


def test_calibration_refuses_correlated_noise(noisy_photo):
    clean = noisy_photo[1]
    noise = np.random.default_rng(0).normal(size=(97, 81, 3))
    blurred = noise[1:, 1:] + noise[:-1, 1:] + noise[1:, :-1] + noise[:-1, :-1]
    with pytest.raises(InputError, match="independent"):
        denoise(0.5 + 0 * clean + 0.05 * blurred, "nlm", calibrate=True)


def test_paths_give_arrays_and_files_keep_their_metadata(noisy_photo, tmp_path):
    src, dst = tmp_path / "a.png", tmp_path / "b.png"
    pixels = counts(noisy_photo[0], np.uint16)
    alpha = np.full((96, 80), 7, np.uint16)
    write_photo(src, Photo(pixels, alpha, dpi=(300, 300)))
    before = src.read_bytes()
    array = denoise(src, "tv", sigma=6553.5)
    assert array.dtype == np.uint16 and array.shape == (96, 80, 4) and (array[..., 3] == 7).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"] and src.read_bytes() == before
    restored = denoise_file(src, dst, "tv", sigma=6553.5)
    photo = read_photo(dst)
    assert restored.image is None and restored.choice.method == "tv"
    assert np.array_equal(photo.stacked(), array) and round(photo.dpi[0]) == 300
    with pytest.raises(OutputError, match="overwrite"):
        denoise_file(src, dst, "tv", sigma=6553.5)
    denoise_file(src, dst, "tv", sigma=6553.5, overwrite=True)


GRAY = np.full((16, 16), 0.5, np.float32)


@pytest.mark.parametrize(
    ("x", "arguments", "says"),
    [
        (np.full((16, 16), np.nan), {}, "NaN or infinite"),
        (np.full((16, 16), np.inf), {}, "NaN or infinite"),
        (np.full((16, 16), 200.0), {}, r"floats from 200 to 200, but float photos are in \[0, 1\]"),
        (torch.full((1, 16, 16), -3.0), {}, r"in \[0, 1\]"),
        (np.zeros((16, 16), np.int32), {}, "int32"),
        (np.zeros((16, 16), bool), {}, "bool"),
        (np.zeros((16, 16), complex), {}, "complex"),
        (np.zeros((16, 16, 2)), {}, "2 channels"),
        (np.zeros((3, 16, 16)), {}, "transpose"),
        (np.zeros((16, 16, 31)), {}, "kind='photo'"),
        (np.zeros((4, 16, 16, 3)), {}, "batch"),
        (np.zeros(16), {}, "none of"),
        (np.zeros((0, 16)), {}, "no pixels"),
        (torch.zeros(16, 16, 3), {}, "permute"),
        (torch.zeros(2, 16, 16), {}, "neither"),
        (torch.zeros(3, 16, 16, dtype=torch.int64), {}, "int64"),
        ([[0.5]], {}, "cannot denoise list"),
        ("nowhere.png", {}, "does not exist"),
        (GRAY, {"method": "medain"}, "did you mean 'median'"),
        (GRAY, {"method": "nlm", "patchsize": 3}, "did you mean 'patch_size'"),
        (GRAY, {"patch_size": 3}, "name a method"),
        (GRAY, {"sigma": -1}, "sigma must be a finite number >= 0, got -1"),
        (GRAY, {"sigma": float("nan")}, "sigma must be"),
        (GRAY, {"sigma": [0.1, 0.2]}, "does not fit"),
        (GRAY, {"tile": 0}, "tile must be at least 1"),
        (GRAY, {"method": "wavelet", "sigma": 0.1, "tile": 64}, "leave tile out"),
        (GRAY, {"strength": 1.5}, "between 0 and 1"),
        (GRAY, {"kind": "cubes"}, "unknown kind 'cubes'.*photo"),
        (GRAY, {"device": "abacus"}, "device 'abacus'"),
    ],
)
def test_bad_input_is_one_sentence(x, arguments, says):
    with pytest.raises(InputError, match=says) as error:
        denoise(x, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (3, 5, 3), (1, 200)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_tiny_pictures_pass(shape, dtype):
    x = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    x_hat = denoise(x)
    assert x_hat.shape == x.shape and x_hat.dtype == x.dtype


def test_tails_of_a_known_noise_may_leave_the_range():
    y = 0.5 + 0.4 * np.random.default_rng(2).normal(size=(64, 64))
    assert y.max() > 1.5
    assert denoise(y, "tv", sigma=0.4).std() < 0.1
    with pytest.raises(InputError, match="divide by"):
        denoise(y, "tv")


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("auto", "method auto does not learn"),
        ("classical", "method classical does not learn"),
        ("jdd", "method jdd is for raws: pass kind='raw'"),
        ("nlm", "method nlm does not learn from pictures"),
    ],
)
def test_what_does_not_learn_from_a_picture(noisy_photo, method, says):
    with pytest.raises(InputError, match=says):
        denoise(noisy_photo[0], method, adapt=True)
