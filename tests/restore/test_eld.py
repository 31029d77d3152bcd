"""ELD: the paper's network, synthesis of pairs, evaluation, training."""

import numpy as np
import pytest
import torch
from PIL import Image

from unnoise.data.raw import Raw, write_developed
from unnoise.denoiser import Tiled
from unnoise.errors import InputError, MissingData
from unnoise.noise.seeds import generator
from unnoise.noise.sensor import CameraNoise
from unnoise.restore.eld import ELD, UNetSID, banding, illumination_correct, synthesise, unprocess
from unnoise.restore.eld_training import ELDPreset, clean_batch, clean_pictures, train
from unnoise.training.presets import load_preset
from unnoise.zoo import load


@pytest.mark.parametrize(("channels", "out", "count"), [(4, 4, 7_760_484), (4, 3, 7_760_451), (9, 9, 7_762_089)])
def test_parameter_counts_of_the_paper(channels, out, count):
    assert sum(p.numel() for p in UNetSID(channels, out).parameters()) == count


def test_the_papers_scale_trains_every_weight():
    p = load_preset(ELDPreset, "eld", "paper")
    assert (p.fit.steps, p.fit.batch, p.fit.lr, p.noise.ratio) == (257_600, 1, 1e-4, (100, 300))
    net = ELD(**p.net.model_dump())
    loss = (net(torch.rand(1, 4, 32, 48)) - 0.5).abs().mean()
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert [n for n, q in net.named_parameters() if q.grad is None or not bool(q.grad.abs().max() > 0)] == []


def test_any_size_and_tiles_that_do_not_show():
    torch.manual_seed(0)
    net = ELD(width=4, levels=2).eval()
    assert net.net.stride == 4
    y = torch.rand(1, 4, 67, 90)
    with torch.no_grad():
        assert torch.allclose(net(y), Tiled(net, tile=12)(y), atol=1e-5)
    with pytest.raises(InputError, match="packed raw"):
        net(torch.rand(1, 3, 8, 8))


def test_the_reach_holds_at_every_phase():
    torch.manual_seed(0)
    net = UNetSID(1, 1, 3, 2).double()
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()
    x = torch.rand(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    out = net(x)
    for at in range(44, 48):
        [g] = torch.autograd.grad(out[0, 0, at, at], x, retain_graph=True)
        seen = torch.nonzero(g[0, 0].any(1)).flatten()
        assert at - net.reach <= int(seen.min()) and int(seen.max()) <= at + net.reach


def test_pairs_of_a_sample_are_the_same_in_any_batch_and_rows_hang_together():
    camera = CameraNoise.load("SonyA7S2")
    x = torch.rand(3, 4, 8, 8)
    many = synthesise(x, camera, [generator(0, i) for i in range(3)])
    assert torch.equal(many[1:2], synthesise(x[1:2], camera, [generator(0, 1)]))
    dark = torch.zeros(4, 4, 400, 40)
    rows = synthesise(dark, camera, generator(1), "R", clip_low=False)
    assert torch.equal(rows[:, 0], rows[:, 1]) and not torch.equal(rows[:, 0], rows[:, 2])
    assert float(synthesise(dark, camera, generator(1), "G").min()) == 0
    assert float(synthesise(dark, camera, generator(1), "G", clip_low=False).min()) < 0


def test_illumination_is_fitted_on_what_is_not_saturated():
    gt = torch.rand(4, 16, 16)
    gt[:, :4] = 1
    for c in (0.3, 0.9):
        assert torch.allclose(illumination_correct(c * gt, gt)[:, 4:], gt[:, 4:], atol=1e-6)
    pred = 0.4 * torch.rand(4, 16, 16)
    assert torch.allclose(illumination_correct(pred, gt), illumination_correct(2 * pred, gt), atol=1e-6)
    assert torch.equal(illumination_correct(0 * gt, gt), 0 * gt)


def test_banding_counts_rows_and_not_white_noise():
    truth = torch.zeros(4, 200, 200)
    rows = 0.1 * torch.randn(200, generator=generator(0))
    assert banding(truth + rows[:, None], truth) == pytest.approx(0.1, rel=0.15)
    assert banding(truth + 0.1 * torch.randn(truth.shape, generator=generator(1)), truth) < 0.01


def test_photographs_become_linear_packed_raw():
    rgb = torch.full((1, 3, 4, 6), 0.5)
    rgb[:, 0] = 1
    packed = unprocess(rgb)
    assert packed.shape == (1, 4, 2, 3) and float(packed[0, 0].min()) == 1
    assert torch.allclose(packed[0, 1:], torch.tensor(0.5**2.2))
    with pytest.raises(InputError, match="6 x 3 cuts a Bayer cell"):
        unprocess(rgb[:, :, :3])


def test_the_smoke_preset_trains_and_loads(tmp_path):
    losses = []
    path = train("smoke", out=tmp_path, progress=lambda p: losses.append(p.loss))
    denoiser = load(path)
    assert isinstance(denoiser, ELD) and denoiser.card.training["camera"] == "SonyA7S2" and len(losses) == 8
    torch.manual_seed(0)
    fresh = ELD(**load_preset(ELDPreset, "eld", "smoke").net.model_dump())
    pairs = zip(denoiser.parameters(), fresh.parameters(), strict=True)
    assert all(bool((a - b).abs().max() > 1e-4) for a, b in pairs)  # every weight has moved
    with pytest.raises(InputError, match="unknown camera"):
        train("smoke", ["noise.camera=SonyA7"], out=tmp_path / "b")
    with pytest.raises(InputError, match="letters other than"):
        train("smoke", ["noise.model=PX"], out=tmp_path / "c")


def test_camera_files_are_clean_pictures_as_they_are(tmp_path):
    pytest.importorskip("rawpy", reason="needs the extra 'raw'")
    (tmp_path / "raws").mkdir()
    mosaic = np.random.default_rng(0).integers(100, 1100, (48, 64)).astype(np.uint16)
    for name in ("0a", "0b", "1c"):  # one of the scenes that are for testing
        write_developed(tmp_path / "raws" / f"{name}.dng", Raw(mosaic, "GRBG", (100.0,) * 4, 1100.0))
    options = load_preset(ELDPreset, "eld", "smoke", ["data.train=[raws/0*]", "data.crop=32"])
    crops, held = clean_pictures(options.data, tmp_path)
    assert len(crops.images) == 2 and not held.images and crops.images[0].shape == (24, 32, 4)
    x = clean_batch(crops, 0, options)
    assert x.shape == (2, 4, 16, 16)
    steps = x * 1000  # the counts above black, to the rounding of 16 bits
    assert float((steps - steps.round()).abs().max()) < 0.02 and float(steps.max()) > 900
    path = train("smoke", ["data.train=[raws/0*]", "data.crop=32"], data=tmp_path, out=tmp_path / "run")
    assert load(path).card.training["pictures"] == 2
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "raws" / "0d.png")
    with pytest.raises(InputError, match="2 camera files and 1 pictures: train on one kind"):
        clean_pictures(options.data, tmp_path)
    with pytest.raises(MissingData, match="which is not there"):
        clean_pictures(load_preset(ELDPreset, "eld", "paper").data, tmp_path)
