"""The camera gives back what it got when nothing disturbs it, and its noise is that of real photographs."""

from dataclasses import replace

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.camera import CameraPipeline, photograph, process, unprocess
from unnoise.noise.demosaick import DEMOSAICKERS, demosaick, mosaic
from unnoise.noise.seeds import generator, generators

SILENT = {"smooth_luma": 0.0, "smooth_chroma": 0.0, "width_fine": 0.0, "sharpen": 0.0, "scale": 1.0, "jpeg": 0}


@pytest.fixture(scope="module")
def pictures():
    skimage_data = pytest.importorskip("skimage.data")
    x = torch.from_numpy(skimage_data.astronaut()).permute(2, 0, 1).float() / 255
    return torch.stack([x[:, i : i + 128, j : j + 128] for i in (0, 128, 256) for j in (0, 128, 256, 384)])


@pytest.mark.parametrize("method", DEMOSAICKERS)
def test_demosaicking_is_linear_keeps_samples_and_restores_planes(method):
    a, b = torch.randn(2, 1, 1, 20, 18, dtype=torch.float64, generator=generator(0))
    assert torch.allclose(demosaick(2 * a + b, method), 2 * demosaick(a, method) + demosaick(b, method))
    assert torch.equal(mosaic(demosaick(a, method)), a)
    plane = torch.arange(20.0)[:, None] * 0.3 + torch.arange(18.0) * 0.7
    gray = plane.expand(1, 3, 20, 18)
    assert torch.allclose(demosaick(mosaic(gray), method)[..., 4:-4, 4:-4], gray[..., 4:-4, 4:-4], atol=1e-5)


def test_gradient_corrected_beats_bilinear_demosaicking(pictures):
    error = {m: (demosaick(mosaic(pictures), m) - pictures).square().mean() for m in DEMOSAICKERS}
    assert error["malvar"] < 0.5 * error["bilinear"]


def test_unprocess_is_the_inverse_of_process(pictures):
    for i, x in enumerate(pictures):
        camera = CameraPipeline().draw(generator(1, i))
        back = process(unprocess(x[None], camera), camera)
        assert (back - x).abs().max() < 2e-3  # float32 where the gamma curve is steep
        assert (back - x).abs().mean() < 1e-4


def test_a_silent_camera_returns_the_picture(pictures):
    camera = CameraPipeline().draw(generator(2))
    silent = replace(camera, shot=1e-9, read=0.0, ideal_demosaicking=True, **SILENT)
    y, clean = photograph(pictures[:1], silent, generator(2))
    assert (clean - pictures[:1]).abs().max() < 2e-3
    assert (y - pictures[:1]).abs().max() < 1.5 / 255


def test_raw_noise_has_the_variance_of_its_parameters():
    x = torch.full((1, 3, 256, 256), 0.5)
    camera = replace(
        CameraPipeline().draw(generator(3)), shot=1e-3, read=0.01, ideal_demosaicking=True, tone=False, **SILENT
    )
    linear = unprocess(x, camera)
    y, _ = photograph(x, camera, generator(3))
    # at sensor positions of green the raw noise goes through gain and gamma alone, here to first order
    noise = unprocess(y, camera) - linear
    phase = (camera.shift[0], 1 - camera.shift[1])
    green = noise[0, 1, (2 - phase[0]) % 2 :: 2, phase[1] :: 2]
    expected = 1e-3 * float(linear[0, 1, 0, 0]) + 1e-4
    assert abs(float(green.var()) / expected - 1) < 0.08


def test_a_sample_is_the_same_in_any_batch(pictures):
    y, clean = CameraPipeline().pair(pictures, generators(4, range(len(pictures))))
    y1, clean1 = CameraPipeline().pair(pictures[5:6], [generator(4, 5)])
    assert torch.equal(y[5:6], y1)
    assert torch.equal(clean[5:6], clean1)


def test_photographs_are_8_bit_and_their_noise_spans_that_of_real_cameras(pictures):
    x = pictures.repeat(12, 1, 1, 1)
    y, clean = CameraPipeline().pair(x, generators(5, range(len(x))))
    assert torch.equal((y * 255).round() / 255, y)
    assert torch.isfinite(clean).all()
    noise = (y - clean)[:, 1]
    std = noise.std((1, 2)) * 255
    lag1, lag2 = ((noise[:, :, k:] * noise[:, :, :-k]).mean((1, 2)) / noise.square().mean((1, 2)) for k in (1, 2))
    # measured against ground truth: CC15 std 3.3 to 6.7, lags 0.61 and 0.19; PolyU std 1.9 to 6.5, lags 0.64 and 0.31
    real = (std > 2.5) & (std < 8) & ((lag1 - 0.62).abs() < 0.1) & ((lag2 - 0.25).abs() < 0.12)
    assert real.sum() >= 3
    assert std.quantile(0.05) < 3
    assert std.quantile(0.95) > 15


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="RGB pictures"):
        CameraPipeline().pair(torch.zeros(1, 1, 16, 16))
