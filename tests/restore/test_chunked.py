"""A cube in pieces equals the whole; it goes on where it was stopped; what cannot be done in pieces is said."""

import json
import shutil

import numpy as np
import pytest

from unnoise.data.cube import Cube, read_cube, write_cube
from unnoise.data.cube_sets import synthetic_cube, with_noise
from unnoise.errors import InputError, OutputError
from unnoise.restore.cubes import restore_cube

pytest.importorskip("dask", reason="needs the extra 'cluster'")

from unnoise.restore import chunked, pieces
from unnoise.restore.chunked import restore_chunked

WAVES = tuple(400.0 + 10 * b for b in range(12))


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    """So small that a test has a dozen blocks and tiles with halos that end inside the cube."""
    monkeypatch.setattr("unnoise.data.chunked._SMALLEST", 1)
    monkeypatch.setattr("unnoise.data.chunked._LARGEST", 6000)
    monkeypatch.setattr(chunked, "_TILE", 24)


@pytest.fixture(scope="module")
def noisy():
    return with_noise(synthetic_cube((70, 60, 12)), "noniid")


def both(path, y, method, nodata=None, **options):
    """The whole cube at once, and in pieces, from a Zarr store in chunks of 16 x 20 pixels."""
    import zarr

    array = zarr.create_array(path / "a.zarr", shape=y.shape, chunks=(16, 20, 6), dtype=y.dtype, overwrite=True)
    array[:] = y
    array.attrs.update({"wavelength": list(WAVES), "wavelength_units": "nm"})
    if nodata is not None:
        array.attrs["nodata"] = nodata
    whole = restore_cube(y, method, nodata=nodata, **options)
    done = restore_chunked(path / "a.zarr", path / "b.zarr", method, overwrite=True, **options)
    return whole, done, read_cube(path / "b.zarr")


def close(a, b, y, within=1e-5):
    """Relative to the change that denoising makes."""
    assert np.abs(a - b).max() < within * np.abs(a - y).max()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fasthyde", {"denoiser": "dct", "k": 4}),  # reach 14: halos end inside
        ("fasthyde", {"denoiser": "bilateral"}),
        ("fasthyde", {"denoiser": "wavelet", "k": 4}),  # looks at whole images
        ("hyres", {}),
        ("hyminor", {}),
    ],
    ids=lambda v: v if isinstance(v, str) else v.get("denoiser", ""),
)
def test_pieces_give_what_the_whole_gives(tmp_path, noisy, method, options):
    whole, done, cube = both(tmp_path, noisy, method, **options)
    close(whole.image, cube.values, noisy)
    assert np.allclose(done.profile.sigma, whole.profile.sigma, rtol=1e-6)
    assert cube.wavelengths == WAVES and cube.units == "nm"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_a_halo_that_is_too_small_would_show(tmp_path, noisy, monkeypatch):
    real = chunked.tiles
    monkeypatch.setattr(chunked, "tiles", lambda size, edges, reach, stride: real(size, edges, 2, stride))
    whole, _, cube = both(tmp_path, noisy, "fasthyde", denoiser="dct", k=4)
    with pytest.raises(AssertionError):
        close(whole.image, cube.values, noisy)


def test_auto_finds_the_same_method_noise_and_options(tmp_path, noisy, monkeypatch):
    monkeypatch.setattr("unnoise.restore.hyde.fasthyde.picture_denoiser", quick)
    pieces._built.cache_clear()
    whole, done, cube = both(tmp_path, noisy, "auto")
    for name in ("method", "reason", "options"):
        assert getattr(done.choice, name) == getattr(whole.choice, name)
    close(whole.image, cube.values, noisy)
    pieces._built.cache_clear()


def quick(denoiser):
    from unnoise.restore.classical import Bilateral

    return Bilateral()


def test_auto_says_what_it_would_take_if_all_were_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("unnoise.restore.hyde.fasthyde.picture_denoiser", quick)
    pieces._built.cache_clear()
    y = with_noise(synthetic_cube((70, 60, 12)), "mixed")
    write_cube(tmp_path / "a.zarr", Cube(y))
    done = restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert done.choice.method == "fasthyde" and "l1hymixde would take them apart" in done.choice.reason
    pieces._built.cache_clear()


def test_integers_constant_bands_strength_and_given_levels(tmp_path, noisy):
    counts = np.rint(1000 * noisy + 500).astype(np.int16)
    counts[..., 3] = 77
    whole, _, cube = both(tmp_path, counts, "hyres", sigma=100, strength=0.5)
    assert cube.values.dtype == np.int16 and (cube.values[..., 3] == 77).all()
    off = np.abs(cube.values.astype(int) - whole.image)
    assert off.max() <= 1 and (off > 0).mean() < 1e-3  # rounding of halves
    whole, _, cube = both(tmp_path, counts, "hyres", sigma=[100.0] * 12)
    assert (np.abs(cube.values.astype(int) - whole.image) <= 1).all() and (cube.values[..., 3] == 77).all()
    _, done, cube = both(tmp_path, counts, "none")
    assert np.array_equal(cube.values, counts) and done.choice.method == "none"


def test_auto_in_pieces_takes_levels_of_which_some_are_0(tmp_path, noisy):
    whole, done, cube = both(tmp_path, noisy, "auto", sigma=[0.0, 0.1, 0.1, 0.1] * 3)
    assert done.choice.method == whole.choice.method == "fasthyde" and done.choice.options == whole.choice.options
    assert np.isfinite(cube.values).all()


def test_photon_counts_are_stabilised_in_pieces_too(tmp_path):
    y = np.random.default_rng(0).poisson(20 + 80 * synthetic_cube((70, 60, 12))).astype(np.float32)
    whole, _, cube = both(tmp_path, y, "fasthyde", noise="poisson", denoiser="bilateral")
    close(whole.image, cube.values, y, 1e-4)


def test_pixels_without_data_come_back_and_do_not_disturb(tmp_path, noisy):
    y = noisy.copy()
    y[:9] = -999
    y[30:50, 20:41] = np.nan
    y[..., 7] = np.nan
    whole, done, cube = both(tmp_path, y, "hyres", nodata=-999)
    missing = ~np.isfinite(y) | (y == -999)
    assert np.array_equal(cube.values[missing], y[missing], equal_nan=True)
    assert done.profile == whole.profile or done.profile.missing == whole.profile.missing == 9 * 60 + 20 * 21
    clean = synthetic_cube((70, 60, 12))
    kept = ~missing
    off = np.std((cube.values - clean)[kept])
    # the subspace is that of the measured pixels; in memory pixels that were filled weigh in, so that is no equality
    assert off < 1.02 * np.std((whole.image - clean)[kept])
    assert np.std((cube.values - whole.image)[kept]) < 0.25 * off


def test_missing_values_are_filled_by_fasthyin_and_refused_by_others(tmp_path, noisy):
    y = noisy.copy()
    y[np.random.default_rng(0).random(y.shape) < 0.02] = np.nan
    whole, _, cube = both(tmp_path, y, "fasthyin", denoiser="bilateral", k=4)
    assert np.isfinite(cube.values).all()
    off = np.abs(cube.values - whole.image)
    assert off.max() < 0.01 * np.nanstd(y) and off.mean() < 1e-4 * np.nanstd(y)
    with pytest.raises(InputError, match="only method fasthyin can"):
        restore_chunked(tmp_path / "a.zarr", tmp_path / "c.zarr", "hyres")
    assert not list(tmp_path.glob(".*"))  # nothing to go on with


@pytest.mark.parametrize("suffix", [".hdr", ".npy", ".tif"])
def test_from_and_to_other_formats(tmp_path, noisy, suffix):
    write_cube(tmp_path / f"a{suffix}", Cube(noisy, wavelengths=WAVES, units="nm", nodata=-1.0))
    restore_chunked(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", "hyres", threads=2)
    cube = read_cube(tmp_path / f"b{suffix}")
    close(restore_cube(noisy, "hyres").image, cube.values, noisy)
    before = read_cube(tmp_path / f"a{suffix}")
    assert (cube.wavelengths, cube.nodata, cube.band_axis) == (before.wavelengths, before.nodata, before.band_axis)


class Stop(Exception):
    pass


@pytest.mark.parametrize("step", ["measure", "project", "clean", "rebuild"])
def test_it_goes_on_in_every_step(tmp_path, noisy, monkeypatch, step):
    whole, _, _ = both(tmp_path, noisy, "hyres")
    target, calls, real = tmp_path / "c.zarr", [], getattr(chunked, step)

    def counted(*arguments, fail_at=None, **named):
        calls.append(1)
        if len(calls) == fail_at:
            raise Stop
        return real(*arguments, **named)

    monkeypatch.setattr("unnoise.data.manifest._EVERY", 0.0)
    monkeypatch.setattr(chunked, step, lambda *a, **k: counted(*a, fail_at=3, **k))
    with pytest.raises(Stop):
        restore_chunked(tmp_path / "a.zarr", target, "hyres", threads=1)
    assert not target.exists() and (tmp_path / ".c.zarr.unnoise" / "manifest.json").exists()
    with pytest.raises(OutputError, match="--resume"):
        restore_chunked(tmp_path / "a.zarr", target, "hyres", threads=1)
    monkeypatch.setattr(chunked, step, counted)
    begun = len(calls)
    restore_chunked(tmp_path / "a.zarr", target, "hyres", threads=1, resume=True)
    close(whole.image, read_cube(target).values, noisy)
    in_all = len(calls)
    calls.clear()
    restore_chunked(tmp_path / "a.zarr", tmp_path / "d.zarr", "hyres", threads=1)
    assert in_all - begun == len(calls) - 2  # two were done, the third failed


def test_another_work_is_not_gone_on_with(tmp_path, noisy, monkeypatch):
    write_cube(tmp_path / "a.hdr", Cube(noisy))
    source, target = tmp_path / "a.hdr", tmp_path / "b.zarr"
    monkeypatch.setattr(chunked, "rebuild", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        restore_chunked(source, target, "hyres")
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / ".b.zarr.unnoise", kept)
    with pytest.raises(InputError, match=r"begun with options unset, not \{'shifts': 1\}"):
        restore_chunked(source, target, "hyres", shifts=1, resume=True)
    write_cube(source, Cube(noisy + 1), overwrite=True)
    with pytest.raises(InputError, match="the input has changed"):
        restore_chunked(source, target, "hyres", resume=True)
    assert json.loads((kept / "manifest.json").read_text())["facts"]["method"] == "hyres"
    assert (tmp_path / ".b.zarr.unnoise").exists()
    monkeypatch.undo()
    restore_chunked(source, target, "hyres", overwrite=True)
    assert target.exists() and not (tmp_path / ".b.zarr.unnoise").exists()


def test_bad_input_is_one_sentence(tmp_path, noisy):
    write_cube(tmp_path / "a.zarr", Cube(noisy))
    source = tmp_path / "a.zarr"
    for said, dst, options in [
        ("otvca looks at all of the cube at once", "b.zarr", {"method": "otvca"}),
        ("--memory 100M is too little", "b.zarr", {"method": "hyres", "memory": 100 << 20}),
        ("cannot be written as .h5", "b.h5", {"method": "hyres"}),
        ("can write a Zarr store only", "b.hdr", {"method": "hyres", "scheduler": "tcp://127.0.0.1:1"}),
        ("unknown option of method|unknown", "b.zarr", {"method": "hyres", "shift": 1}),
        ("sigma of 3 values does not fit 12 bands", "b.zarr", {"method": "hyres", "sigma": [1, 2, 3]}),
        ("folder .* does not exist", "no/b.zarr", {"method": "hyres"}),
        ("exists", "a.zarr", {"method": "hyres"}),
    ]:
        with pytest.raises((InputError, OutputError), match=said):
            restore_chunked(source, tmp_path / dst, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_whole_images_that_do_not_fit_are_refused(tmp_path, noisy, monkeypatch):
    write_cube(tmp_path / "a.zarr", Cube(noisy))
    monkeypatch.setattr(chunked, "_IMAGE", 1 << 18)
    with pytest.raises(InputError, match=r"looks at whole images, which takes 1\.5 GiB"):
        restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr", "hyres", memory=600 << 20)


def test_a_full_disk_is_said_and_what_is_done_is_kept(tmp_path, noisy, monkeypatch):
    write_cube(tmp_path / "a.zarr", Cube(noisy))

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    real = chunked.rebuild
    monkeypatch.setattr(chunked, "rebuild", full)
    with pytest.raises(OutputError, match="the disk is full; free some space and go on with --resume"):
        restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr", "hyres")
    monkeypatch.setattr(chunked, "rebuild", real)
    restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr", "hyres", resume=True)
    close(restore_cube(noisy, "hyres").image, read_cube(tmp_path / "b.zarr").values, noisy)


def test_a_cube_without_a_complete_pixel_is_refused_with_what_helps(tmp_path, noisy):
    holes = np.where(np.random.default_rng(0).random(noisy.shape) < 0.6, np.float32(np.nan), noisy)
    write_cube(tmp_path / "a.zarr", Cube(holes))
    with pytest.raises(InputError, match=r"no pixel of the cube has all bands.*give enough --memory"):
        restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr", "fasthyin", sigma=0.1)
