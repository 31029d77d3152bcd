"""C-BSN learns from noisy pictures alone: presets, adaptation, its mistakes."""

import numpy as np
import pytest
import torch

import unnoise
from unnoise.errors import InputError
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn import CBSN, BlindSpotNet, cbsn_loss
from unnoise.restore.cbsn_training import CBSNPreset, adapt, noisy_crops, train, train_on
from unnoise.training.presets import load_preset, read_presets
from unnoise.zoo import load


@pytest.fixture(scope="module")
def picture():
    """(3, 100, 100) smooth and noisy, and what is under it."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 100), torch.linspace(0, 1, 100), indexing="ij")
    clean = torch.stack([0.5 + 0.3 * torch.sin(6 * x), 0.5 + 0.3 * torch.cos(5 * y), 0.3 + 0.4 * x * y])
    return clean + 0.1 * torch.randn(clean.shape, generator=generator(0)), clean


def test_the_papers_scale():
    p = load_preset(CBSNPreset, "cbsn", "paper", ["data.crop=40"])
    net = BlindSpotNet(**p.net.model_dump())
    assert sum(q.numel() for q in net.parameters()) == 3_656_131
    assert (p.loss.stride_blind, p.loss.stride_inv, p.loss.lam, p.loss.ramp_steps) == (5, 2, 2.0, 200_000)
    assert (p.fit.steps, p.fit.batch, p.fit.lr) == (500_000, 4, 1e-4)
    x = torch.randn(1, 3, 20, 20, generator=generator(1))
    loss, _ = cbsn_loss(net, x, 200_000, generator=generator(2))
    loss.backward()
    assert bool(torch.isfinite(loss))
    dead = [n for n, q in net.named_parameters() if q.grad is None or not bool(q.grad.abs().max() > 0)]
    assert dead == []


def test_every_preset_is_valid():
    assert set(read_presets("cbsn")) == {"smoke", "laptop", "paper"}
    for name in read_presets("cbsn"):
        assert load_preset(CBSNPreset, "cbsn", name).data.crop % 10 == 0


def test_the_smoke_preset_lowers_the_loss_stays_blind_and_can_be_loaded(tmp_path):
    losses = []
    slow_ramp = ["loss.ramp_steps=1000000", "fit.lr=3e-3"]  # the blind loss alone, so that one curve is one loss
    path = train("smoke", slow_ramp, out=tmp_path, progress=lambda p: losses.append(p.loss))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    denoiser = load(path)
    assert isinstance(denoiser, CBSN) and denoiser.card.training["steps"] == 20
    x = torch.randn(1, 3, 9, 9, requires_grad=True)
    [g] = torch.autograd.grad(denoiser.net(x, masked=True)[0, :, 4, 4].sum(), x)
    assert float(g[0, :, 4, 4].abs().max()) == 0


@pytest.mark.slow
def test_adapting_to_one_noisy_picture_cleans_it(picture):
    noisy, clean = picture
    learnt = adapt([noisy], steps=300, width=16, n_modules=1, crop=40)
    x_hat = unnoise.denoise(noisy, method="cbsn", **learnt)
    before, after = ((y - clean).square().mean().sqrt() for y in (noisy, x_hat))
    assert float(after) < 0.75 * float(before)


def test_adapting_at_the_door_and_further_from_given_weights(picture):
    gray = picture[0][:1]
    options = {"steps": 3, "width": 8, "n_modules": 1, "crop": 20}
    out = unnoise.denoise(gray, method="cbsn", adapt=True, **options)
    assert out.shape == gray.shape and out.dtype == gray.dtype
    first = adapt([gray], **options)["weights"]
    again = adapt([gray], **options, weights=first)["weights"]
    changed = [bool((a != b).any()) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(changed)


def test_four_channels_and_minutes(picture):
    packed = torch.cat([picture[0], picture[0][:1]])
    learnt = adapt([packed], minutes=0.01, width=8, n_modules=1, crop=20)["weights"]
    assert learnt.in_channels == 4 and learnt(packed[None]).shape == (1, 4, 100, 100)


def test_crops_are_the_pictures_own_pixels_and_a_function_of_the_step(picture):
    a = noisy_crops([picture[0]], 5, 3, 20, 1)
    assert torch.equal(a, noisy_crops([picture[0]], 5, 3, 20, 1))
    assert not torch.equal(a, noisy_crops([picture[0]], 6, 3, 20, 1))
    assert torch.allclose(a.mean((2, 3)), torch.zeros(3, 3), atol=1e-5)
    assert torch.allclose(a.std((2, 3), correction=0), torch.ones(3, 3), atol=1e-4)


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        ([], {}, "no picture to learn from"),
        ([torch.zeros(1, 50, 50), torch.zeros(3, 50, 50)], {}, "1 and 3 channels"),
        ([torch.zeros(1, 50, 50)], {"minutes": 0}, "minutes must be a number > 0, got 0"),
        ([torch.zeros(1, 12, 50)], {"stride_blind": 5}, "side of 12 pixels is too small .* picture of 20 or more"),
        ([torch.zeros(1, 50, 50)], {"stride_blind": 5, "crop": 3}, "crop of 3 is too small .* take 20 or more"),
        ([torch.zeros(1, 50, 50)], {"stride_blind": 0}, "option of method cbsn: 'stride_blind' .* equal to 1, got 0"),
        ([torch.zeros(1, 50, 50)], {"lam": -3}, "'lam' should be greater than or equal to 0, got -3"),
        ([torch.zeros(1, 50, 50)], {"steps": 0}, "'steps' should be greater than 0, got 0"),
        ([torch.zeros(3, 50, 50)], {"weights": CBSN(1, 8, 1, 8)}, "weights are for 1 channels, the pictures have 3"),
    ],
)
def test_pictures_that_cannot_be_learnt_from(pictures, options, message):
    with pytest.raises(InputError, match=message):
        adapt(pictures, **options)


def test_crops_that_do_not_fit(picture, tmp_path):
    p = load_preset(CBSNPreset, "cbsn", "smoke")
    with pytest.raises(InputError, match="crop of 36 must be a multiple of both strides, 5 and 2: take 30"):
        train_on([picture[0]], p.net, p.loss, p.fit, 36, tmp_path)
    with pytest.raises(InputError, match=r"crop of 120 is larger than every picture .* side of 100"):
        train_on([picture[0]], p.net, p.loss, p.fit, 120, tmp_path)


def test_the_command_line_learns_from_a_folder(picture, tmp_path, capfd):
    from PIL import Image

    from unnoise.app.cli.main import run

    for name, image in zip("ab", picture, strict=True):
        pixels = (image.permute(1, 2, 0).numpy().clip(0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    common = ["denoise", str(tmp_path), "--method", "cbsn"]
    small = ["--set", "steps=2", "--set", "width=8", "--set", "n_modules=1", "--set", "crop=20"]
    assert run([*common, "--adapt", *small, "-o", f"{tmp_path}/out/"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    assert run([*common, "-o", f"{tmp_path}/out2/"]) == 1
    assert "pass --adapt" in capfd.readouterr().err
    assert run(["denoise", str(tmp_path / "a.png"), "--adapt"]) == 2
    assert run(["denoise", str(tmp_path / "a.png"), "--adapt", "--method", "dct"]) == 2
    err = capfd.readouterr().err
    assert "--adapt needs a method that learns" in err and "does not learn from pictures" in err
