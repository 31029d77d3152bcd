"""Cubes on disk: read and written in pieces as they are read and written whole; blocks; the record of what is done."""

import json

import numpy as np
import pytest

from unnoise.data import cube_envi, cube_npy, cube_tiff, cube_zarr
from unnoise.data.chunked import Blocks, blocks_of, fingerprint, open_cube
from unnoise.data.cube import Cube, read_cube, write_cube
from unnoise.data.manifest import Manifest
from unnoise.data.on_disk import OnDisk
from unnoise.errors import InputError

VALUES = np.random.default_rng(0).integers(0, 4000, (7, 9, 5)).astype(np.int16)
MODULES = {".hdr": cube_envi, ".npy": cube_npy, ".tif": cube_tiff, ".zarr": cube_zarr}
PART = (slice(2, 5), slice(1, 9), slice(0, 5))


def cube(values=VALUES, **more):
    return Cube(values, wavelengths=tuple(400.0 + 10 * b for b in range(5)), units="nm", **more)


@pytest.mark.parametrize("suffix", [".hdr", ".h5", ".tif", ".npy", ".zarr"])
def test_a_piece_is_what_the_whole_holds_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_cube(path, cube())
    opened, read = open_cube(path), read_cube(path)
    assert isinstance(opened.values, OnDisk) and opened.values.shape == VALUES.shape
    assert opened.values.dtype == VALUES.dtype and np.array_equal(opened.values[PART], VALUES[PART])
    for name in ("wavelengths", "units", "nodata", "band_axis", "dataset", "format"):
        assert getattr(opened, name) == getattr(read, name), name


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("order", ["0", "1"])
def test_every_layout_of_envi(tmp_path, interleave, order):
    fields = {"interleave": interleave, "byte order": order, "map info": "{UTM, 1, 1, 500000, 4e6, 30, 30, 11}"}
    source = Cube(VALUES, format="envi", extras={"fields": fields})
    write_cube(tmp_path / "a.hdr", source)
    opened = open_cube(tmp_path / "a.hdr")
    assert np.array_equal(opened.values[PART], VALUES[PART])
    made = cube_envi.create(tmp_path / "made", opened, (2, 9))
    made[PART] = VALUES[PART] + 1
    cube_envi.finish(tmp_path / "made", tmp_path / "b.hdr", opened)
    back = read_cube(tmp_path / "b.hdr")
    assert np.array_equal(back.values[PART], VALUES[PART] + 1) and back.values[0].max() == 0
    assert back.extras["fields"]["map info"] == fields["map info"]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("fortran", [False, True])
def test_every_order_of_npy(tmp_path, axis, fortran):
    stored = np.moveaxis(VALUES, 2, axis)
    np.save(tmp_path / "a.npy", np.asfortranarray(stored) if fortran else np.ascontiguousarray(stored))
    assert np.array_equal(open_cube(tmp_path / "a.npy", band_axis=axis).values[PART], VALUES[PART])


def test_a_compressed_tiff_is_decoded_in_pieces(tmp_path):
    tags = [(33550, 12, 3, (30.0, 30.0, 0.0))]
    extras = {"tags": tags, "compression": "zstd", "separate": True}
    write_cube(tmp_path / "a.tif", Cube(VALUES, format="tiff", band_axis=0, extras=extras))
    opened = open_cube(tmp_path / "a.tif")
    assert np.array_equal(opened.values[PART], VALUES[PART])
    made = cube_tiff.create(tmp_path / "b.tif", opened, (2, 9))
    made[PART] = VALUES[PART]
    back = read_cube(tmp_path / "b.tif")
    assert np.array_equal(back.values[PART], VALUES[PART]) and back.extras["tags"] == tags


@pytest.mark.parametrize("suffix", list(MODULES))
def test_what_is_made_can_be_opened_again_and_filled(tmp_path, suffix):
    write_cube(tmp_path / f"a{suffix}", cube())
    opened = open_cube(tmp_path / f"a{suffix}")
    module, path = MODULES[suffix], tmp_path / f"made{suffix}"
    made = module.create(path, opened, (2, 9))
    for rows, columns in Blocks((7, 9), (2, 9)):
        made[rows, columns, slice(None)] = VALUES[rows, columns]
    again = module.reopen(path, opened)
    assert np.array_equal(again[PART], VALUES[PART]) and again.shape == VALUES.shape


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_keeps_what_else_it_holds(tmp_path, version):
    import zarr

    group = zarr.open_group(tmp_path / "a.zarr", mode="w", attributes={"mission": "x"}, zarr_format=version)
    array = group.create_array("scene/radiance", shape=VALUES.shape, chunks=(4, 5, 5), dtype="i2")
    array[:] = VALUES
    array.attrs["wavelength"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    group.create_array("scene/cloud", shape=(7, 9), dtype="u1")[:] = 1
    opened = open_cube(tmp_path / "a.zarr")
    assert opened.dataset == "scene/radiance" and opened.values.chunks == (4, 5, 5)
    made = cube_zarr.create(tmp_path / "b.zarr", opened, (4, 5))
    made[0:4, 0:5, 0:5] = VALUES[:4, :5]
    back = zarr.open_group(tmp_path / "b.zarr", mode="r")
    assert back.attrs["mission"] == "x" and back["scene/cloud"][:].all()
    assert back["scene/radiance"].chunks == (4, 5, 5) and back["scene/radiance"].attrs["wavelength"][4] == 5
    assert np.array_equal(back["scene/radiance"][:4, :5], VALUES[:4, :5]) and not back["scene/radiance"][4:].any()
    other = cube_zarr.create(tmp_path / "c.zarr", opened, (3, 9))  # blocks that cut its chunks: others are made
    assert other.chunks[0] == 3


def test_blocks_are_made_of_chunks_and_cover_all():
    values = OnDisk(print, (1000, 900, 20), np.dtype("f4"), chunks=(64, 100, 20))
    blocks = blocks_of(values, 1 << 20)
    assert blocks.edge[0] % 64 == 0 and blocks.edge[1] % 100 == 0 and blocks.edge[0] * blocks.edge[1] * 20 <= 1 << 20
    seen = np.zeros((1000, 900), int)
    for rows, columns in blocks:
        seen[rows, columns] += 1
    assert (seen == 1).all() and len(list(blocks)) == len(blocks)


def test_a_fingerprint_changes_with_the_file(tmp_path):
    write_cube(tmp_path / "a.hdr", cube())
    before = fingerprint(tmp_path / "a.hdr")
    assert before == fingerprint(tmp_path / "a.hdr") and before["bytes"] > VALUES.nbytes
    data = tmp_path / "a.dat"
    data.write_bytes(data.read_bytes()[:-2] + b"xx")
    assert fingerprint(tmp_path / "a.hdr") != before


def test_what_cannot_be_opened_in_pieces_is_one_sentence(tmp_path):
    write_cube(tmp_path / "a.mat", cube())
    with pytest.raises(InputError, match="can only be read whole"):
        open_cube(tmp_path / "a.mat")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(InputError, match="no Zarr store"):
        open_cube(tmp_path / "b.zarr")
    with pytest.raises(InputError, match="does not exist"):
        open_cube(tmp_path / "c.npy")


def test_a_manifest_goes_on_with_the_same_work_only(tmp_path):
    path = tmp_path / "m.json"
    facts = {"input": {"bytes": 3}, "method": "hyres", "options": {"shifts": 2}}
    first = Manifest(path, facts)
    first.mark("write", 2)
    first.mark("write", 5, "holes")
    first.save()
    assert Manifest(path, facts, resume=True).done("write") == {2: None, 5: "holes"}
    assert Manifest(path, facts).done("write") == {}
    with pytest.raises(InputError, match="begun with method hyres, not fasthyde"):
        Manifest(path, facts | {"method": "fasthyde"}, resume=True)
    with pytest.raises(InputError, match=r"begun with options .*, not unset"):
        Manifest(path, facts | {"options": {}}, resume=True)
    with pytest.raises(InputError, match="the input has changed"):
        Manifest(path, facts | {"input": {"bytes": 4}}, resume=True)
    path.write_text(json.dumps({"facts": {}})[:-1])
    with pytest.raises(InputError, match="damaged"):
        Manifest(path, facts, resume=True)
