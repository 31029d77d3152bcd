import json

import numpy as np
import pytest
from PIL import Image
from skimage import data


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2)


def pixels(path):
    return np.asarray(Image.open(path))


def test_cleans_a_picture_and_says_what_and_why(unnoise, noisy_png, tmp_path):
    said = unnoise("denoise", noisy_png, "--report")
    assert said.code == 0, said.err
    result = tmp_path / "noisy.denoised.png"
    assert str(result) in said.out
    assert "Mpx/s" in said.out
    clean = data.astronaut()[100:196, 150:270]
    assert psnr(pixels(result), clean) > psnr(pixels(noisy_png), clean) + 3
    report = Image.open(tmp_path / "noisy.denoised.report.png")
    assert report.width > 3 * 120
    facts = json.loads((tmp_path / "noisy.denoised.report.json").read_text())
    assert facts["method"] in said.out
    assert 10 < facts["profile"]["level"] * 255 < 20


def test_strength_zero_is_the_input(unnoise, noisy_png, tmp_path):
    assert unnoise("denoise", noisy_png, "--method", "median", "--strength", "0", "-o", tmp_path / "o.png").code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "o.png"), pixels(noisy_png))


def test_sigma_means_8_bit_levels_at_every_depth(unnoise, tmp_path, noisy_png):
    from unnoise.data.photo import Photo, read_photo, write_photo

    y = pixels(noisy_png)
    write_photo(tmp_path / "y16.png", Photo(y.astype(np.uint16) * 257))
    write_photo(tmp_path / "yf.tif", Photo(y.astype(np.float32) / 255))
    for name in ("noisy.png", "y16.png", "yf.tif"):
        said = unnoise("denoise", tmp_path / name, "--method", "nlm", "--sigma", 15, "-o", f"{tmp_path}/out/")
        assert said.code == 0, said.err
    a = read_photo(tmp_path / "out/noisy.png").pixels / 255
    b = read_photo(tmp_path / "out/y16.png").pixels / 65535
    c = read_photo(tmp_path / "out/yf.tif").pixels
    np.testing.assert_allclose(b, c, atol=1e-4)
    np.testing.assert_allclose(a, c, atol=0.6 / 255)


def test_a_batch_goes_on_past_a_bad_file_and_resumes(unnoise, noisy_png, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    said = unnoise("denoise", tmp_path, "-o", tmp_path / "out", "--method", "median")
    assert said.code == 1
    assert "bad.png" in said.err
    assert "1 of 2 files failed" in said.err
    first = (tmp_path / "out/noisy.png").stat()
    said = unnoise("denoise", tmp_path, "-o", tmp_path / "out", "--method", "median")
    assert "kept" in said.out
    assert (tmp_path / "out/noisy.png").stat().st_mtime_ns == first.st_mtime_ns


def test_existing_results_are_replaced_only_on_request(unnoise, noisy_png, tmp_path):
    out = tmp_path / "o.png"
    out.write_bytes(b"mine")
    said = unnoise("denoise", noisy_png, "-o", out, "--method", "median")
    assert said.code == 2
    assert "--overwrite" in said.err
    assert out.read_bytes() == b"mine"
    before = noisy_png.read_bytes()
    said = unnoise("denoise", noisy_png, "-o", noisy_png, "--method", "median")
    assert said.code == 2
    assert noisy_png.read_bytes() == before
    assert unnoise("denoise", noisy_png, "-o", out, "--method", "median", "--overwrite").code == 0
    assert pixels(out).shape == pixels(noisy_png).shape


BAD_USAGE = [
    (["--method", "medain"], "did you mean 'median'"),
    (["--sigma", "-3"], "sigma"),
    (["--sigma", "nan"], "sigma"),
    (["--tile", "0"], "tile"),
    (["--strength", "2"], "strength"),
    (["--kind", "sculpture"], "kind"),
    (["--set", "weight"], "KEY=VALUE"),
    (["--method", "median", "--set", "wieght=3"], "wieght"),
    (["--max-pixels", "100"], "pixels"),
    (["--device", "abacus"], "device"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_USAGE)
def test_bad_usage_is_one_sentence(unnoise, noisy_png, tmp_path, arguments, says):
    said = unnoise("denoise", noisy_png, *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "Traceback" not in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["noisy.png"]


def _truncated(path, noisy):
    Image.fromarray(noisy).save(path, quality=90)
    path.write_bytes(path.read_bytes()[:1000])


def _huge(path, noisy):
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)))


BAD_FILES = {
    "text.png": lambda path, noisy: path.write_text("hello"),
    "empty.png": lambda path, noisy: path.write_bytes(b""),
    "truncated.jpg": _truncated,
    "huge.png": _huge,
    "nan.npy": lambda path, noisy: np.save(path, np.full((8, 8), np.nan, np.float32)),
    "two.npy": lambda path, noisy: np.save(path, np.zeros((8, 8, 2), np.uint8)),
    "object.npy": lambda path, noisy: np.save(path, np.array([{}]), allow_pickle=True),
    "counts.npy": lambda path, noisy: np.save(path, np.full((8, 8), 200.0, np.float32)),
    "unknown.xyz": lambda path, noisy: path.write_bytes(b"\x00\x01\x02\x03" * 9),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_one_sentence_naming_them(unnoise, noisy_png, tmp_path, name):
    path = tmp_path / name
    BAD_FILES[name](path, pixels(noisy_png))
    before = path.read_bytes()
    said = unnoise("denoise", path)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert name in said.err
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["noisy.png", name])


def test_missing_file_suggests_its_neighbour(unnoise, noisy_png, tmp_path):
    said = unnoise("denoise", tmp_path / "nosy.png")
    assert said.code == 2
    assert "did you mean" in said.err
    assert "noisy.png" in said.err


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 1, 3), (2, 7, 3)])
def test_tiny_pictures_pass(unnoise, tmp_path, shape):
    Image.fromarray(np.full(shape, 90, np.uint8)).save(tmp_path / "tiny.png")
    said = unnoise("denoise", tmp_path / "tiny.png")
    assert said.code == 0, said.err
    np.testing.assert_array_equal(pixels(tmp_path / "tiny.denoised.png"), np.full(shape, 90, np.uint8))


def test_ctrl_c_leaves_nothing_half_done(unnoise, noisy_png, tmp_path, monkeypatch):
    from unnoise.denoiser import Tiled

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tiled, "forward", stop)
    said = unnoise("denoise", noisy_png, "--method", "median")
    assert said.code == 130
    assert "stopped" in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["noisy.png"]


def test_a_bug_is_called_one(unnoise, noisy_png, monkeypatch):
    from unnoise.denoiser import Tiled

    def broken(*args, **kwargs):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Tiled, "forward", broken)
    said = unnoise("denoise", noisy_png, "--method", "median")
    assert said.code == 70
    assert "please report" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("message", ["DefaultCPUAllocator: can't allocate memory", None])
def test_running_out_of_memory_names_the_mend(unnoise, noisy_png, monkeypatch, message):
    from unnoise.denoiser import Tiled

    def full(*args, **kwargs):
        raise RuntimeError(message) if message else MemoryError

    monkeypatch.setattr(Tiled, "forward", full)
    said = unnoise("denoise", noisy_png, "--method", "median")
    assert said.code == 2
    assert "--tile" in said.err
