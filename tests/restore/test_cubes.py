"""The door for cubes: types, holes, constant bands, the automatic choice, bad input."""

import numpy as np
import pytest
import torch

import unnoise
from unnoise.data.cube import Cube, read_cube, write_cube
from unnoise.errors import InputError
from unnoise.noise.cube_profile import analyse_cube
from unnoise.restore.cbsn_training import adapt
from unnoise.restore.door import restore


@pytest.fixture(scope="module")
def clean():
    """(40, 36, 24), rank 3, 0 to about 1000."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :36] / 36
    images = np.stack([np.sin(3 * rows) + 1, np.cos(4 * columns) + 1, (rows - 0.5) ** 2 + (columns > 0.5)], -1)
    return (images @ rng.uniform(50, 200, (3, 24))).astype(np.float32)


@pytest.fixture(scope="module")
def noisy(clean):
    return clean + 30 * np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)


def error(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, np.float64) - b) ** 2)))


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32, np.float64, ">u2"])
def test_what_comes_back_is_what_came(clean, noisy, kind):
    y = np.clip(noisy, 0, None).astype(kind)
    x_hat = unnoise.denoise(y, kind="cube")
    assert x_hat.shape == y.shape and x_hat.dtype == y.dtype
    assert error(x_hat, clean) < 0.35 * error(y, clean)


def test_tensors_have_their_bands_first(noisy, clean):
    y = torch.from_numpy(noisy).permute(2, 0, 1)
    one = unnoise.denoise(y, "hyres", kind="cube")
    batch = unnoise.denoise(torch.stack([y, 2 * y]), "hyres", kind="cube")
    assert one.shape == y.shape and torch.allclose(batch[0], one, atol=1e-3)
    assert np.allclose(one.permute(1, 2, 0), unnoise.denoise(noisy, "hyres", kind="cube"), atol=1e-3)


def test_strength_nought_is_the_input_bit_for_bit(noisy):
    assert np.array_equal(unnoise.denoise(noisy, kind="cube", strength=0), noisy)
    half = unnoise.denoise(noisy, "hyres", kind="cube", strength=0.5)
    full = unnoise.denoise(noisy, "hyres", kind="cube")
    assert np.allclose(half, (noisy + full) / 2, atol=0.01)


def test_holes_come_back_and_do_not_spoil_the_rest(noisy, clean):
    y = noisy.copy()
    y[5:8, 10:20] = np.nan  # pixels without any band
    x_hat = unnoise.denoise(y, kind="cube")
    assert np.array_equal(np.isnan(x_hat), np.isnan(y))
    seen = ~np.isnan(y)
    assert error(x_hat[seen], clean[seen]) < 0.35 * error(noisy, clean)
    counts = np.clip(noisy, 1, None).astype(np.uint16)
    counts[5:8, 10:20] = 0
    told = unnoise.denoise(counts, kind="cube", nodata=0)
    assert bool((told[5:8, 10:20] == 0).all()) and error(told[seen], clean[seen]) < 0.35 * error(noisy, clean)
    mask = np.ones(y.shape[:2], bool)
    mask[5:8, 10:20] = False
    assert np.array_equal(unnoise.denoise(counts, kind="cube", mask=mask), told)


def test_values_missing_in_some_bands_are_filled_only_when_asked(noisy, clean):
    y = noisy.copy()
    y[3, 4, 2:9] = np.nan
    done = restore(y, kind="cube")
    assert done.choice.method == "fasthyin" and done.choice.reason == "1 pixels lack some of their bands"
    assert np.array_equal(np.isnan(done.image), np.isnan(y))
    filled = unnoise.denoise(y, "fasthyin", kind="cube")
    assert error(filled[3, 4, 2:9], clean[3, 4, 2:9]) < 30
    y[9, 9] = np.nan
    filled = unnoise.denoise(y, "fasthyin", kind="cube")
    assert np.isnan(filled).sum() == 24 and bool(np.isnan(filled[9, 9]).all())
    other = unnoise.denoise(y, "hyres", kind="cube")
    assert np.array_equal(np.isnan(other), np.isnan(y))


@pytest.mark.parametrize("sigma", [None, 30])
def test_values_missing_everywhere_leave_no_pixel_complete(noisy, clean, sigma):
    y = noisy.copy()
    y[np.random.default_rng(4).random(y.shape) < 0.15] = np.nan
    y[2, 3:6], y[..., 9] = np.nan, np.nan
    done = restore(y, kind="cube", sigma=sigma)
    assert done.choice.method == "fasthyin" and done.profile.partly > 1300 and done.profile.missing == 3
    assert np.array_equal(np.isnan(done.image), np.isnan(y)) and done.profile.empty == (9,)
    live = [b for b in range(24) if b != 9]
    assert np.allclose(np.array(done.profile.sigma)[live], 30, rtol=0.2)
    seen = ~np.isnan(y)
    assert error(done.image[seen], clean[seen]) < 0.35 * error(noisy, clean)
    filled = unnoise.denoise(y, "fasthyin", kind="cube", sigma=sigma)
    made = np.isnan(y) & ~np.isnan(filled)
    assert made.sum() > 3000 and error(filled[made], clean[made]) < 0.5 * error(noisy, clean)
    if sigma is None:
        other = unnoise.denoise(y, "hyres", kind="cube")
        assert error(other[seen], clean[seen]) < 0.4 * error(noisy, clean)


def test_empty_and_constant_bands_are_reported_and_kept(noisy, clean):
    y = noisy.copy()
    y[..., 3], y[..., [7, 8]] = np.nan, 5.0
    done = restore(y, kind="cube")
    assert done.profile.empty == (3,) and done.profile.constant == (7, 8)
    assert "empty: band 3; constant: bands 7-8" in done.profile.describe()
    assert bool(np.isnan(done.image[..., 3]).all()) and bool((done.image[..., 7] == 5).all())
    rest = [b for b in range(24) if b not in (3, 7, 8)]
    assert error(done.image[..., rest], clean[..., rest]) < 0.35 * error(noisy, clean)


def test_the_noise_is_measured(noisy, clean):
    profile = analyse_cube(torch.from_numpy(noisy).permute(2, 0, 1).contiguous())
    assert np.allclose(profile.sigma, 30, rtol=0.15)
    expected = 10 * np.log10((clean**2).mean((0, 1)) / 900)
    assert np.allclose(profile.snr, expected, atol=1.5)
    assert profile.impulses == profile.stripes == ()


def test_auto_follows_the_noise(clean, noisy):
    assert restore(noisy, kind="cube").choice.method == "fasthyde"
    rng = np.random.default_rng(2)
    y = noisy.copy()
    for b in (2, 5, 11):
        y[..., b][rng.random(y.shape[:2]) < 0.06] = 2000
        y[..., b][rng.random(y.shape[:2]) < 0.06] = 0
    for b in (14, 20):
        y[:, rng.permutation(36)[:4], b] += 400
    done = restore(y, kind="cube")
    assert done.profile.impulses == (2, 5, 11) and done.profile.stripes == (14, 20)
    assert done.choice.method == "l1hymixde" and done.choice.reason == "3 bands with impulses and 2 bands with stripes"
    assert error(done.image, clean) < 0.7 * error(unnoise.denoise(y, "fasthyde", kind="cube"), clean)
    faint = clean + 0.05 * rng.standard_normal(clean.shape)
    left = restore(faint, kind="cube")
    assert left.choice.method == "none" and np.array_equal(left.image, faint)


def test_files_of_cubes_are_known_by_their_extension(tmp_path, noisy, clean):
    write_cube(tmp_path / "a.hdr", Cube(noisy, wavelengths=tuple(400 + 20.0 * b for b in range(24)), units="nm"))
    unnoise.denoise_file(tmp_path / "a.hdr", tmp_path / "b.hdr")
    cube = read_cube(tmp_path / "b.hdr")
    assert cube.wavelengths[1] == 420 and error(cube.values, clean) < 0.35 * error(noisy, clean)
    assert np.allclose(unnoise.denoise(tmp_path / "a.hdr"), cube.values, atol=1e-3)


def test_bands_may_come_first(noisy):
    first = np.ascontiguousarray(noisy.transpose(2, 0, 1))
    mask = np.ones(first.shape, bool)
    mask[:, 3, 4] = False
    x_hat = unnoise.denoise(first, "hyres", kind="cube", band_axis=0, mask=mask)
    last = unnoise.denoise(noisy, "hyres", kind="cube", mask=mask.transpose(1, 2, 0))
    assert np.allclose(x_hat.transpose(1, 2, 0), last, atol=1e-3) and not np.allclose(last, noisy, atol=1)


def test_one_of_several_cubes_in_a_file_can_be_named(tmp_path, noisy):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["b"] = noisy, noisy.transpose(2, 0, 1)
    with pytest.raises(InputError, match="several cubes"):
        unnoise.denoise(tmp_path / "a.h5", "hyres")
    a = unnoise.denoise(tmp_path / "a.h5", "hyres", dataset="a")
    unnoise.denoise_file(tmp_path / "a.h5", tmp_path / "c.h5", "hyres", dataset="b", band_axis=0)
    assert np.allclose(read_cube(tmp_path / "c.h5", "b", 0).values, a, atol=1e-3)


def test_an_array_of_bands_is_told_from_a_picture(noisy):
    with pytest.raises(InputError, match="pass kind='cube' if these are bands"):
        unnoise.denoise(noisy)


def holed(shape):
    """Noise of which 30 % is missing."""
    rng = np.random.default_rng(3)
    return np.where(rng.random(shape) < 0.3, np.nan, rng.random(shape))


@pytest.mark.parametrize(
    ("x", "options", "says"),
    [
        (np.zeros((9, 9), np.float32), {}, r"three axes \(rows, columns, bands\), got the shape \(9, 9\)"),
        (np.random.default_rng(3).random((9, 9, 1)), {}, "noise of 1 band cannot be told from the others"),
        (np.random.default_rng(3).random((4, 4, 30)), {}, "16 pixels for 30 bands"),
        (holed((4, 4, 30)), {}, "16 pixels for 30 bands"),
        (holed((9, 9, 2)), {}, "noise of 2 bands cannot be told from the others"),
        (np.full((9, 9, 5), np.nan), {}, "holds no values at all"),
        (np.ones((4, 50, 700), np.float32), {}, "axes seem to be in another order, pass band_axis=0"),
        (np.ones((31, 50, 50), np.float32), {}, "axes seem to be in another order, pass band_axis=0"),
        (np.ones((9, 9, 5)), {"band_axis": 3}, "the band axis is 0, 1 or 2, got 3"),
        (np.zeros((9, 9, 5), complex), {}, "type complex128"),
        (np.random.default_rng(3).random((9, 9, 5)), {"method": "nlm"}, "method nlm is for photos, not for cubes"),
        (np.random.default_rng(3).random((9, 9, 5)), {"sigma": [1, 2]}, "sigma of 2 values does not fit 5 bands"),
        (np.random.default_rng(3).random((9, 9, 5)), {"tile": 4}, "leave tile and calibrate out"),
        (np.random.default_rng(3).random((9, 9, 5)), {"mask": np.ones((3, 3))}, r"mask of shape \(3, 3\)"),
        (np.random.default_rng(3).random((9, 9, 5)), {"k": 4}, "method auto chooses its options itself"),
        (np.random.default_rng(3).random((9, 9, 5)), {"sigma": "x"}, "sigma must be a number, or one a band, got 'x'"),
        (torch.zeros(0, 5, 9, 9), {}, r"three axes \(rows, columns, bands\), got the shape \(0, 5, 9, 9\)"),
        ("text.hdr", {}, "does not exist"),
    ],
)
def test_bad_input_is_named(x, options, says):
    with pytest.raises(InputError, match=says):
        unnoise.denoise(x, kind="cube", **options)


def test_methods_for_cubes_do_not_take_pictures():
    with pytest.raises(InputError, match="method hyres is for cubes: pass kind='cube'"):
        unnoise.denoise(np.zeros((9, 9, 3)), "hyres")


def test_a_constant_cube_is_left_as_it_is():
    x = np.full((9, 9, 5), 3.0)
    assert np.array_equal(unnoise.denoise(x, kind="cube"), x)


@pytest.mark.parametrize("shape", [(40, 36, 1), (40, 36, 2), (4, 4, 24)])
def test_a_level_that_is_given_needs_no_other_bands(noisy, clean, shape):
    y, x = (c[: shape[0], : shape[1], : shape[2]] for c in (noisy, clean))
    done = restore(y, kind="cube", sigma=30)
    assert done.choice.method == "fasthyde" and done.profile.sigma == (30.0,) * shape[2]
    assert error(done.image, x) < (0.6 if shape[2] < 3 else 1) * error(y, x)


def test_methods_that_need_no_level_take_few_bands(noisy, clean):
    y = noisy[..., :2]
    for method, options in (("neural", {}), ("wsrrr", {"rank": 2})):
        x_hat = unnoise.denoise(y, method, kind="cube", **options)
        assert error(x_hat, clean[..., :2]) < 0.9 * error(y, clean[..., :2])
    holed = y.copy()
    holed[4, 5] = np.nan
    assert np.array_equal(np.isnan(unnoise.denoise(holed, "wsrrr", kind="cube", rank=2)), np.isnan(holed))
    with pytest.raises(InputError, match="noise of 2 bands cannot be told from the others: give sigma"):
        unnoise.denoise(y, "hyres", kind="cube")


def microscopy(channels=2):
    """A stack of channels of different brightness with white noise, in counts."""
    rows, columns = np.mgrid[:64, :80] / 20
    truth = np.stack([(c + 1) * (300 + 200 * np.sin(rows + c) * np.cos(columns)) for c in range(channels)], -1)
    return np.rint(truth + 40 * np.random.default_rng(2).standard_normal(truth.shape)).astype(np.uint16)


@pytest.mark.parametrize("channels", [2, 5])
def test_a_stack_of_channels_is_learnt_from_and_cleaned(channels):
    y = microscopy(channels)
    more = {"steps": 4, "crop": 40, "width": 8, "n_modules": 1, "stride_blind": 1}
    x_hat = unnoise.denoise(y, "cbsn", kind="cube", adapt=True, **more)
    assert x_hat.shape == y.shape and x_hat.dtype == np.uint16
    unit = torch.from_numpy(np.moveaxis(y, 2, 0).astype(np.float32) / y.max())
    learnt = adapt([unit], **more)["weights"]
    with torch.no_grad():
        expected = learnt(unit[None])[0].permute(1, 2, 0).numpy() * y.max()
    np.testing.assert_allclose(x_hat, expected.clip(0, 65535), atol=1)
    tiny = unnoise.denoise(1e-9 * y, "cbsn", kind="cube", adapt=True, **more)
    np.testing.assert_allclose(tiny * 1e9, expected, rtol=0.01, atol=2)  # whatever the unit
    first = unnoise.denoise(np.moveaxis(y, 2, 0), "cbsn", kind="cube", adapt=True, band_axis=0, **more)
    assert np.array_equal(np.moveaxis(first, 0, 2), x_hat)
    holes = y.astype(np.float32)
    holes[5:9, 5:9] = np.nan
    filled = unnoise.denoise(holes, "cbsn", kind="cube", adapt=True, **more)
    assert np.array_equal(np.isnan(filled), np.isnan(holes))


def test_a_value_without_data_that_is_named_for_a_file_is_not_learnt_from(tmp_path):
    y = microscopy()
    y[5:9, 5:9] = 60000
    np.save(tmp_path / "a.npy", y)
    more = {"kind": "cube", "adapt": True, "nodata": 60000, "steps": 2, "crop": 40, "width": 8, "n_modules": 1}
    more["stride_blind"] = 1
    found = unnoise.denoise(tmp_path / "a.npy", "cbsn", **more)
    assert np.array_equal(found, unnoise.denoise(y, "cbsn", **more)) and bool((found[5:9, 5:9] == 60000).all())


def test_what_does_not_learn_from_a_stack():
    y = microscopy()
    with pytest.raises(InputError, match="method hyres does not learn from cubes: use cbsn"):
        unnoise.denoise(y, "hyres", kind="cube", adapt=True)
    with pytest.raises(InputError, match="method nlm is for photos, not for cubes"):
        unnoise.denoise(y, "nlm", kind="cube", adapt=True)
    learnt = {"steps": 2, "crop": 40, "width": 8, "n_modules": 1, "stride_blind": 1}
    weights = adapt([torch.rand(3, 40, 40)], **learnt)["weights"]
    with pytest.raises(InputError, match="made for 3 channels, got data of shape"):
        unnoise.denoise(y, "cbsn", kind="cube", weights=weights)
