"""Cubes go through files without losing a value, a wavelength or a place on the map."""

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from scipy.io import loadmat, savemat

from unnoise.data.cube import Cube, left_behind, read_cube, write_cube
from unnoise.data.cube_envi import TYPES
from unnoise.errors import InputError, OutputError

VALUES = (np.arange(5 * 7 * 4).reshape(5, 7, 4) * 13 % 4000).astype(np.uint16)
WAVES = (450.5, 550.0, 650.0, 900.25)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("order", ["0", "1"])
def test_envi_of_every_layout(tmp_path, interleave, order):
    stored = VALUES.transpose({"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave])
    (tmp_path / "a.img").write_bytes(stored.astype(">u2" if order == "1" else "<u2").tobytes())
    (tmp_path / "a.hdr").write_text(
        f"ENVI\ndescription = {{a, b = c}}\nsamples = 7\nlines   = 5\nbands = 4\nheader offset = 0\nfile type = ENVI "
        f"Standard\ndata type = 12\ninterleave = {interleave}\nbyte order = {order}\nmap info = {{UTM, 1, 1, 500000, "
        f"4.1e6, 30, 30, 13, North}}\nwavelength units = Nanometers\nwavelength = {{450.5, 550,\n 650, 900.25}}\n"
        f"band names = {{a, b, c, d}}\ndata ignore value = 0\nsensor type = Unknown\n"
    )
    for name in ("a.hdr", "a.img"):
        cube = read_cube(tmp_path / name)
        assert np.array_equal(cube.values, VALUES)
        assert cube.wavelengths == WAVES and cube.band_names == ("a", "b", "c", "d") and cube.nodata == 0
    write_cube(tmp_path / "b.hdr", cube.with_values(cube.values + 1))
    text = (tmp_path / "b.hdr").read_text()
    kept = ("map info = {UTM, 1, 1, 500000", "sensor type = Unknown", "description = {a, b = c}", f"order = {order}")
    assert all(field in text for field in kept)
    again = read_cube(tmp_path / "b.hdr")
    assert np.array_equal(again.values, VALUES + 1) and again.wavelengths == WAVES
    assert len((tmp_path / "b.dat").read_bytes()) == VALUES.nbytes


@pytest.mark.parametrize("kind", [*TYPES.values(), "i1", "f2"])
@pytest.mark.parametrize("suffix", [".hdr", ".mat", ".h5", ".tif", ".npy", ".zarr"])
def test_types_survive_a_round_trip(tmp_path, kind, suffix):
    if suffix == ".tif" and kind in ("i8", "u8"):
        pytest.skip("64-bit integers in a TIFF are not usual")
    values = (np.arange(60).reshape(3, 5, 4) - (0 if kind[0] == "u" else 20)).astype(kind)
    if suffix == ".mat" and kind == "f2":
        pytest.skip("MATLAB has no half floats")
    write_cube(tmp_path / f"a{suffix}", Cube(values))
    back = read_cube(tmp_path / f"a{suffix}").values
    assert np.array_equal(back, values)
    if not (suffix == ".hdr" and kind in ("i1", "f2")):  # ENVI has no such types: the next larger ones
        assert back.dtype.newbyteorder("=") == np.dtype(kind)


@pytest.mark.parametrize("suffix", [".hdr", ".mat", ".h5", ".tif", ".zarr"])
def test_wavelengths_and_names_travel_to_other_formats(tmp_path, suffix):
    names = ("blue", "green & co", "red", "near infrared")
    write_cube(tmp_path / "a.hdr", Cube(VALUES, wavelengths=WAVES, units="nm", band_names=names))
    write_cube(tmp_path / f"b{suffix}", read_cube(tmp_path / "a.hdr"))
    cube = read_cube(tmp_path / f"b{suffix}")
    assert (cube.wavelengths, cube.units, cube.band_names) == (WAVES, "nm", names)
    write_cube(tmp_path / f"c{suffix}", cube.with_values(VALUES + 1))  # and on in the same format
    again = read_cube(tmp_path / f"c{suffix}")
    assert (again.wavelengths, again.units, again.band_names) == (WAVES, "nm", names)
    assert np.array_equal(again.values, VALUES + 1)


@pytest.mark.parametrize("suffix", [".hdr", ".h5", ".mat", ".zarr"])
def test_one_band_is_a_cube_where_the_format_tells_it_from_a_picture(tmp_path, suffix):
    one = Cube(VALUES[..., :1], wavelengths=WAVES[:1], units="nm", band_names=("blue",))
    write_cube(tmp_path / f"a{suffix}", one)
    cube = read_cube(tmp_path / f"a{suffix}")
    assert np.array_equal(cube.values, one.values)
    assert (cube.wavelengths, cube.units, cube.band_names) == (WAVES[:1], "nm", ("blue",))
    with pytest.raises(InputError, match="a TIFF of one band is read as a picture"):
        write_cube(tmp_path / "a.tif", one)


@pytest.mark.parametrize("suffix", [".hdr", ".h5", ".tif", ".zarr"])
def test_every_digit_of_the_value_without_data_is_kept(tmp_path, suffix):
    values = VALUES.astype(np.float64)
    values[0, 0] = -9999.123456789
    write_cube(tmp_path / f"a{suffix}", Cube(values, nodata=-9999.123456789))
    cube = read_cube(tmp_path / f"a{suffix}")
    assert bool((cube.values[0, 0] == cube.nodata).all())


def test_wavelengths_of_a_geotiff_are_those_of_gdal(tmp_path):
    items = "".join(
        f'<Item name="CENTRAL_WAVELENGTH_UM" sample="{b}" domain="IMAGERY">{0.4 + b / 10}</Item>' for b in range(4)
    )
    tag = (42112, 2, 0, f"<GDALMetadata><Item name='AREA'>Point</Item>{items}</GDALMetadata>", True)
    tifffile.imwrite(tmp_path / "a.tif", VALUES, photometric="minisblack", extratags=[tag], planarconfig="contig")
    cube = read_cube(tmp_path / "a.tif")
    assert cube.wavelengths == pytest.approx((0.4, 0.5, 0.6, 0.7)) and cube.units == "um" and cube.band_names is None
    assert not cube.georeferenced
    damaged = (42112, 2, 0, "<GDALMetadata><Item", True)
    tifffile.imwrite(tmp_path / "b.tif", VALUES, photometric="minisblack", extratags=[damaged], planarconfig="contig")
    assert read_cube(tmp_path / "b.tif").wavelengths is None


def test_what_a_format_cannot_hold_is_said(tmp_path):
    write_cube(tmp_path / "a.hdr", Cube(VALUES, wavelengths=WAVES, nodata=7))
    header = tmp_path / "a.hdr"
    assert left_behind(read_cube(header), tmp_path / "b.tif") is None
    header.write_text(header.read_text() + "map info = {UTM, 1, 1, 500000, 4.1e6, 30, 30, 13, North}\n")
    cube = read_cube(header)
    assert left_behind(cube, tmp_path / "b.hdr") is None
    lost = left_behind(cube, tmp_path / "b.tif")
    assert lost == "geo-reference of a.hdr cannot go into .tif: for that name a result that ends in .hdr"
    mat = Cube(VALUES, nodata=7, format="mat", source=tmp_path / "a.mat")  # of version 7.3, which is copied
    assert left_behind(mat, tmp_path / "b.mat") is None and "no-data" in left_behind(mat, tmp_path / "b.npy")
    assert left_behind(cube, tmp_path / "b.npy").startswith("wavelengths, no-data value and geo-reference of a.hdr")


@pytest.mark.parametrize("suffix", [".npy", ".h5", ".mat", ".zarr"])
def test_bands_go_last_into_other_formats(tmp_path, suffix):
    tifffile.imwrite(tmp_path / "a.tif", VALUES.transpose(2, 0, 1), photometric="minisblack")
    write_cube(tmp_path / f"b{suffix}", read_cube(tmp_path / "a.tif"))
    assert np.array_equal(read_cube(tmp_path / f"b{suffix}").values, VALUES)


def test_the_axis_of_the_bands_is_found_by_its_wavelengths_or_its_label(tmp_path):
    first = VALUES.transpose(2, 0, 1)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"], file["wavelength"] = first, np.array(WAVES)
        file["wavelength"].attrs["units"] = "nanometers"
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["cube"] = first
        file["cube"].dims[0].label = "band"
    savemat(tmp_path / "a.mat", {"cube": first, "wavelength": np.array(WAVES)})
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("cube", data=first, dimension_names=("band", "y", "x"))
    group.create_array("wavelength", data=np.array(WAVES)).attrs["units"] = "nanometers"
    for name in ("a.h5", "b.h5", "a.mat", "a.zarr"):
        cube = read_cube(tmp_path / name)
        assert np.array_equal(cube.values, VALUES) and cube.band_axis == 0
        assert (cube.wavelengths == WAVES) == (name != "b.h5")
        write_cube(tmp_path / f"c_{name}", cube.with_values(VALUES + 1))
        assert np.array_equal(read_cube(tmp_path / f"c_{name}").values, VALUES + 1)
    assert read_cube(tmp_path / "a.h5").units == read_cube(tmp_path / "a.zarr").units == "nanometers"


def test_other_variables_of_a_matlab_file_stay(tmp_path):
    savemat(tmp_path / "a.mat", {"data": VALUES, "map": np.eye(5, 7), "wavelength": np.array(WAVES), "note": "hello"})
    cube = read_cube(tmp_path / "a.mat")
    assert cube.dataset == "data" and cube.wavelengths == WAVES
    write_cube(tmp_path / "b.mat", cube.with_values(VALUES[::-1]))
    back = loadmat(tmp_path / "b.mat")
    assert np.array_equal(back["data"], VALUES[::-1]) and back["note"][0] == "hello" and back["map"].shape == (5, 7)


@pytest.mark.parametrize("pixels_first", [True, False])
def test_a_table_of_pixels_in_a_matlab_file_is_a_cube(tmp_path, pixels_first):
    """As Jasper Ridge and Samson come: (bands, pixels), column by column, with abundances beside it."""
    cube = np.arange(3 * 5 * 12, dtype=np.uint16).reshape(3, 5, 12)
    table = cube.reshape(-1, 12, order="F")  # MATLAB's own reshape
    table = table if pixels_first else table.T
    others = {"nRow": 3, "nCol": 5, "A": np.ones((4, 15)), "S_GT": np.ones((3, 5, 3))}
    savemat(tmp_path / "a.mat", {"Y": table, **others})
    read = read_cube(tmp_path / "a.mat")
    assert read.dataset == "Y" and np.array_equal(read.values, cube)
    write_cube(tmp_path / "b.mat", read.with_values(cube + 1))
    back = loadmat(tmp_path / "b.mat")
    assert np.array_equal(back["Y"], table + 1) and back["A"].shape == (4, 15)


def test_matlab_seven_three_has_its_axes_the_other_way_round(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["cube"] = VALUES.T
        file["cube"].attrs["MATLAB_class"] = np.bytes_("uint16")
        file["wavelength"] = np.array(WAVES)[:, None]
    cube = read_cube(tmp_path / "a.mat")
    assert np.array_equal(cube.values, VALUES) and cube.wavelengths == WAVES
    write_cube(tmp_path / "b.mat", cube.with_values(VALUES + 1))
    with h5py.File(tmp_path / "b.mat") as file:
        assert np.array_equal(file["cube"][()], VALUES.T + 1) and file["cube"].attrs["MATLAB_class"] == b"uint16"
        assert file.userblock_size == 512


def test_hdf5_keeps_all_else_and_asks_where_it_is_not_clear(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("scene/radiance", data=VALUES, chunks=True, compression="gzip").attrs["_FillValue"] = 7
        file["scene/other"] = VALUES[..., :3]
        file.attrs["mission"] = "x"
    with pytest.raises(InputError, match=r"several cubes \(scene/other .*scene/radiance .*name one with --dataset"):
        read_cube(tmp_path / "a.h5")
    with pytest.raises(InputError, match="did you mean 'scene/radiance'"):
        read_cube(tmp_path / "a.h5", "scene/radiace")
    cube = read_cube(tmp_path / "a.h5", "scene/radiance")
    assert cube.nodata == 7
    write_cube(tmp_path / "b.h5", cube.with_values(VALUES * 2))
    with h5py.File(tmp_path / "b.h5") as file:
        assert file.attrs["mission"] == "x" and file["scene/radiance"].compression == "gzip"
        assert np.array_equal(file["scene/radiance"][()], VALUES * 2)


def test_zarr_groups_keep_their_attributes(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["place"] = "here"
    array = group.create_array("cube", shape=VALUES.shape, dtype=VALUES.dtype, chunks=(2, 3, 4))
    array[...] = VALUES
    cube = read_cube(tmp_path / "a.zarr")
    write_cube(tmp_path / "b.zarr", cube.with_values(VALUES + 5))
    again = zarr.open_group(tmp_path / "b.zarr", mode="r")
    assert again.attrs["place"] == "here" and again["cube"].chunks == (2, 3, 4)
    assert np.array_equal(again["cube"][...], VALUES + 5)
    with pytest.raises(OutputError, match="exists"):
        write_cube(tmp_path / "b.zarr", cube)
    write_cube(tmp_path / "b.zarr", cube, overwrite=True)
    assert np.array_equal(read_cube(tmp_path / "b.zarr").values, VALUES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_geotiff_keeps_its_place_on_the_map(tmp_path, planar):
    scale, tie = (30.0, 30.0, 0.0), (0.0, 0.0, 0.0, 5e5, 4.1e6, 0.0)
    tags = [(33550, 12, 3, scale, True), (33922, 12, 6, tie, True), (34735, 3, 4, (1, 1, 0, 0), True)]
    tags.append((42113, 2, 0, "-9999", True))
    array = VALUES if planar == "contig" else VALUES.transpose(2, 0, 1)
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="minisblack", planarconfig=planar, extratags=tags, compression="deflate"
    )
    cube = read_cube(tmp_path / "a.tif")
    assert np.array_equal(cube.values, VALUES) and cube.nodata == -9999
    write_cube(tmp_path / "b.tif", cube.with_values(VALUES + 1))
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        page = tif.pages.first
        assert [page.tags[code].value for code in (33550, 33922, 34735)] == [scale, tie, (1, 1, 0, 0)]
        assert int(page.planarconfig) == (1 if planar == "contig" else 2) and int(page.compression) in (8, 32946)
    assert np.array_equal(read_cube(tmp_path / "b.tif").values, VALUES + 1)


def test_pages_of_a_tiff_are_bands(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VALUES.transpose(2, 0, 1), photometric="minisblack")
    assert np.array_equal(read_cube(tmp_path / "a.tif").values, VALUES)


def test_the_order_of_axes_can_be_named_and_is_kept(tmp_path):
    np.save(tmp_path / "a.npy", VALUES.transpose(2, 0, 1))
    cube = read_cube(tmp_path / "a.npy", band_axis=0)
    assert np.array_equal(cube.values, VALUES)
    write_cube(tmp_path / "b.npy", cube.with_values(VALUES + 1))
    assert np.array_equal(np.load(tmp_path / "b.npy"), VALUES.transpose(2, 0, 1) + 1)


def spoil(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        savemat(path, content)
    else:
        np.save(path, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.npy", np.zeros((9, 9)), r"shape \(9, 9\), not \(rows, columns, bands\)"),
        ("a.npy", np.zeros((4, 50, 700)), "axes seem to be in another order, name that of the bands .--band-axis 0"),
        ("a.npy", np.zeros((31, 50, 50)), "axes seem to be in another order, name that of the bands .--band-axis 0"),
        ("a.mat", {"x": np.zeros((60, 31, 60))}, "axes seem to be in another order, .*--band-axis 1"),
        ("a.npy", np.zeros((4, 5, 6), complex), "values of type complex128"),
        ("a.npy", b"not numpy", "a.npy is damaged"),
        ("a.mat", {"x": np.zeros((4, 90))}, r"no array of three axes, only x \(4, 90\)"),
        ("a.mat", {"x": np.zeros((4, 5, 6)), "y": np.zeros((4, 5, 7))}, "several cubes"),
        ("a.mat", b"MATLAB 5.0 MAT-file, truncated", "get a new copy"),
        ("a.h5", b"nothing of the kind", "a.h5 cannot be read"),
        ("a.tif", b"II*\0aaaaaaaaaaaa", "a.tif"),
        ("a.hdr", b"samples = 3", "its first line must be ENVI"),
        ("a.hdr", b"ENVI\nsamples = 3\nlines = 2\nbands = 0\ndata type = 4\n", "'bands' is '0': mend the header"),
        ("a.hdr", b"ENVI\nsamples = 3\nlines = 2\nbands = 4\ndata type = 4\n", "data of .*a.hdr is missing"),
        ("a.dat", b"1234", "needs its ENVI header a.hdr beside it"),
        ("a.xyz", b"1234", "unknown extension of a cube '.xyz'"),
    ],
)
def test_bad_files_are_named_in_one_sentence(tmp_path, name, content, says):
    path = spoil(tmp_path, name, content)
    with pytest.raises(InputError, match=says):
        read_cube(path)


def test_truncated_envi_data_is_told_from_the_header(tmp_path):
    write_cube(tmp_path / "a.hdr", Cube(VALUES))
    data = tmp_path / "a.dat"
    data.write_bytes(data.read_bytes()[:-6])
    with pytest.raises(
        InputError, match=r"a.dat is truncated, it has 274 of the 280 bytes .* promises: get a new copy"
    ):
        read_cube(tmp_path / "a.hdr")
    with pytest.raises(InputError, match="did you mean"):
        read_cube(tmp_path / "b.hdr")


def test_headers_that_disagree_with_the_data_are_named(tmp_path):
    write_cube(tmp_path / "a.hdr", Cube(VALUES, wavelengths=WAVES))
    text = (tmp_path / "a.hdr").read_text()
    (tmp_path / "a.hdr").write_text(text.replace("450.5, ", ""))
    with pytest.raises(InputError, match="names 3 wavelengths for 4 bands"):
        read_cube(tmp_path / "a.hdr")
    (tmp_path / "a.hdr").write_text(text.replace("data type = 12", "data type = 6"))
    with pytest.raises(InputError, match="data type 6 is not supported"):
        read_cube(tmp_path / "a.hdr")
