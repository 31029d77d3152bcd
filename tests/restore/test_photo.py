import copy
import math
import pickle
import time

import pytest
import torch
from safetensors.torch import load_file

from unnoise.denoiser import Tiled
from unnoise.errors import InputError, MissingData
from unnoise.nets.fast import activation_ranges
from unnoise.noise.seeds import generator
from unnoise.restore.photo import Photo, fast_precision
from unnoise.restore.photo_training import (
    LOSSES,
    CameraOptions,
    DataOptions,
    NoiseOptions,
    PhotoPreset,
    PhotoRealPreset,
    camera_batch,
    noisy_batch,
    photographs,
    train,
    train_real,
)
from unnoise.training.presets import load_preset
from unnoise.zoo import load

SMALL = {"widths": (16, 32), "blocks": (1, 1)}


@pytest.fixture(params=["float32", "bfloat16", "fast"])
def photo(request):
    torch.manual_seed(0)
    return Photo(**SMALL, precision=request.param).eval().requires_grad_(False)


def test_scaling_picture_and_level_scales_the_result(photo):
    y = torch.rand(2, 3, 18, 23)
    torch.testing.assert_close(photo(4 * y, 0.4), 4 * photo(y, 0.1), rtol=1e-6, atol=1e-6)
    if photo.precision == "float32":
        torch.testing.assert_close(photo(0.3 * y, 0.03), 0.3 * photo(y, 0.1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tile", [8, 20])
@pytest.mark.parametrize("size", [(61, 47), (64, 64), (5, 90)])
def test_tiles_equal_the_whole(photo, tile, size):
    y = torch.rand(1, 3, *size)
    error = (Tiled(photo, tile)(y, 0.1) - photo(y, 0.1)).abs()
    if photo.precision == "float32":
        assert error.max() < 1e-5
    else:
        assert error.mean() < 0.02 / 255 and error.max() < 1 / 255


def test_no_value_changes_by_more_than_five_times_the_level(photo):
    y = torch.rand(1, 3, 16, 12)
    photo.net.tail.weight.mul_(1000)
    assert torch.equal(photo(y, 0.0), y)
    assert torch.allclose((photo(y, 0.01) - y).abs().max(), torch.tensor(0.05))


def test_gray_is_the_mean_of_three_equal_channels(photo):
    y = torch.rand(2, 1, 16, 12)
    torch.testing.assert_close(photo(y, 0.1), photo(y.expand(-1, 3, -1, -1), 0.1).mean(1, keepdim=True))


def test_levels_per_sample_per_channel_and_per_pixel(photo):
    y = torch.rand(2, 3, 16, 12)
    torch.testing.assert_close(photo(y, torch.tensor([0.1, 0.2]))[1:], photo(y[1:], 0.2))
    channel = torch.tensor([0.0, 0.0, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(photo(y, channel), photo(y, 0.3 / math.sqrt(3)))
    torch.testing.assert_close(photo(y, torch.full((1, 1, 16, 12), 0.1)), photo(y, 0.1))


def test_dtype_and_shape_come_back_and_others_are_refused(photo):
    assert photo(torch.rand(1, 1, 5, 3, dtype=torch.float64), 0.1).dtype == torch.float64
    for shape in [(1, 2, 8, 8), (3, 8, 8), (1, 4, 8, 8)]:
        with pytest.raises(InputError, match="1 or 3"):
            photo(torch.rand(*shape), 0.1)
    with pytest.raises(InputError, match="noise level"):
        photo(torch.rand(1, 3, 8, 8))


def test_the_blind_one_takes_no_level():
    blind = Photo(**SMALL, blind=True, precision="float32").eval()
    assert blind.card.blind
    y = torch.rand(1, 3, 8, 8)
    assert torch.equal(blind(y), blind(y, 0.3))


@pytest.fixture
def in_8_bits():
    """A network that has the ranges of its activations, and without the computation in 8 bits."""
    torch.manual_seed(0)
    exact = Photo(**SMALL, precision="float32").eval().requires_grad_(False)
    examples = torch.rand(4, 3, 64, 64, generator=generator(1))
    fast = copy.deepcopy(exact)
    fast.ranges = activation_ranges(exact.net, lambda: exact(examples, 0.2))
    fast.precision = "fast"
    return fast, exact


def test_8_bits_differ_by_less_than_a_level_also_beyond_the_trained_noise(in_8_bits):
    fast, exact = in_8_bits
    assert [r is None for r in fast.ranges] == [True, False, True]
    y = torch.rand(2, 3, 33, 50)
    for level in (0.1, torch.tensor([0.02, 0.6]), torch.rand(2, 1, 33, 50)):
        error = (fast(y, level) - exact(y, level)).abs()
        assert 0 < error.mean() < 0.5 / 255
        alone = fast(y[:1], level[:1] if torch.is_tensor(level) else level)
        assert (fast(y, level)[:1] - alone).abs().max() < 1 / 255  # whatever else is in the batch
    assert (fast(y[..., :32, :32], 3.0) - exact(y[..., :32, :32], 3.0)).abs().mean() < 10 * 0.5 / 255


def test_tiles_in_8_bits_equal_the_whole(in_8_bits):
    y = torch.rand(1, 3, 61, 90)
    error = (Tiled(in_8_bits[0], 20)(y, 0.1) - in_8_bits[0](y, 0.1)).abs()
    assert error.mean() < 0.02 / 255 and error.max() < 1 / 255


def test_the_prepared_network_follows_its_weights_and_is_not_copied(in_8_bits):
    fast, _ = in_8_bits
    y = torch.rand(1, 3, 16, 16)
    before = fast(y, 0.1)
    for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(again(y, 0.1), before)
    fast.net.tail.weight.zero_()
    assert torch.equal(fast(y, 0.1), y)


def test_gradients_go_past_the_prepared_network(in_8_bits):
    fast, exact = in_8_bits
    y = torch.rand(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(fast(y, 0.1).square().sum(), y)
    (wanted,) = torch.autograd.grad(exact(y, 0.1).square().sum(), y)
    torch.testing.assert_close(gradient, wanted, rtol=0.05, atol=0.02)


def test_training_can_end_in_8_bits_and_start_from_a_narrower_network(tmp_path):
    own = {"data": tmp_path, "out": tmp_path / "narrow"}
    narrow = train("smoke", ["fit.steps=4", "int8=true"], **own)
    stored, net = load_file(narrow), load(narrow)
    assert stored["net.encoder.1.0.conv1.weight"].dtype == torch.int8
    assert stored["net.encoder.0.0.conv1.weight"].dtype == stored["net.tail.weight"].dtype == torch.float16
    assert [r is None for r in net.ranges] == [True, False, True]
    wide = ["net.widths=[32,48]", "fit.steps=4", "fit.lr=1e-9", "fit.weight_decay=0"]
    grown = load(train("smoke", wide, data=tmp_path, out=tmp_path / "wide", resume=narrow))
    y = torch.rand(1, 3, 24, 24)
    for denoiser in (net, grown):
        denoiser.precision = "float32"
    torch.testing.assert_close(grown(y, 0.1), net(y, 0.1), rtol=1e-3, atol=2e-3)
    with pytest.raises(InputError, match="does not fit into"):
        train("smoke", ["net.widths=[16,16]"], data=tmp_path, out=tmp_path / "less", resume=narrow)


def test_bfloat16_differs_from_float32_by_less_than_a_level(photo):
    y = torch.rand(1, 3, 32, 32)
    exact = Photo(**SMALL, precision="float32").eval()
    exact.load_state_dict(photo.state_dict())
    assert (photo(y, 0.1) - exact(y, 0.1)).abs().mean() < 0.25 / 255


def test_training_pairs_have_the_noise_they_say():
    x = torch.rand(64, 3, 1, 1).expand(-1, -1, 64, 64)
    batch = noisy_batch(x, NoiseOptions(sigma_max=75, gray=0.5, varying=0.5), generator(0))
    z = (batch["y"] - batch["x"]) / batch["sigma"]
    assert z.mean().abs() < 0.01 and abs(z.std().item() - 1) < 0.01
    assert batch["sigma"].min() >= 0 and batch["sigma"].max() <= 75 / 255
    gray = (batch["x"][:, 0] == batch["x"][:, 1]).flatten(1).all(1)
    assert 16 < gray.sum() < 48
    assert torch.equal(z[gray][:, 0], z[gray][:, 2])
    assert (z[~gray][:, 0] * z[~gray][:, 1]).mean().abs() < 0.01
    varying = batch["sigma"].flatten(1).std(1) > 1e-6
    assert 16 < varying.sum() < 48


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("smoke", 40_000), ("laptop", None), ("wide", None), ("laptop-free", None), ("paper", 32_000_000)],
)
def test_every_preset_builds_with_finite_loss_and_gradients_everywhere(preset, parameters):
    options = load_preset(PhotoPreset, "photo", preset)
    net = Photo(**options.net.model_dump())
    count = sum(p.numel() for p in net.parameters())
    if parameters:
        assert 0.8 * parameters < count < 1.2 * parameters
    else:
        if options.int8:
            net.ranges = activation_ranges(net.net, lambda: net.net(torch.rand(1, 4, 16, 16)))
        in_8_bits = sum(net.state_dict()[name].numel() for name in net.int8_weights())
        assert 2 * count - in_8_bits <= 7e6  # bytes of the file: two networks are to fit in 14 MB
    batch = noisy_batch(torch.rand(1, 3, 16, 16), NoiseOptions(), generator(0))
    loss = (net(batch["y"], batch["sigma"]) - batch["x"]).abs().mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_loss_is_the_root_mean_square_of_each_crop():
    x, off = torch.zeros(2, 3, 4, 4), torch.tensor([0.1, 0.4]).reshape(2, 1, 1, 1)
    assert LOSSES["rms"](x + off, x).item() == pytest.approx(0.25, rel=1e-4)
    assert LOSSES["l1"](x + off, x).item() == pytest.approx(0.25, rel=1e-4)
    once = torch.zeros(1, 1, 1, 4)
    once[..., 0] = 0.4
    assert LOSSES["rms"](once, 0 * once).item() == pytest.approx(0.2, rel=1e-4)
    still = torch.zeros(1, 3, 2, 2, requires_grad=True)
    LOSSES["rms"](still, torch.zeros(1, 3, 2, 2)).backward()  # a crop without error has a gradient, of zero
    assert torch.equal(still.grad, torch.zeros_like(still))


def test_smoke_training_writes_weights_with_a_complete_card(tmp_path):
    started = time.monotonic()
    path = train("smoke", ["fit.steps=6"], None, tmp_path / "run")
    assert time.monotonic() - started < 60
    denoiser = load(path)
    assert denoiser.card.training["steps"] == 6
    assert denoiser.card.training["command"] == "unnoise train photo --preset smoke --set fit.steps=6"
    assert denoiser.card.training["pictures"] == 2 and "scikit-image" in denoiser.card.training["data_licence"]
    stored = load_file(tmp_path / "run/checkpoint.safetensors")
    for name, value in denoiser.state_dict().items():
        assert torch.equal(value, stored[f"ema.{name}"].half().float())


def test_blind_training_pairs_keep_clean_crops_clean():
    x = torch.rand(6, 3, 32, 32)
    batch = camera_batch(x, CameraOptions(clean=1.0), generator(0))
    assert torch.equal(batch["y"], x) and torch.equal(batch["x"], x)
    batch = camera_batch(x, CameraOptions(clean=0.0, gaussian=1.0), generator(0))
    assert torch.equal(batch["x"], x) and (batch["y"] - x).abs().amax((1, 2, 3)).min() > 0.01
    batch = camera_batch(x, CameraOptions(clean=0.0, gaussian=0.0), generator(0))
    assert torch.equal((batch["y"] * 255).round() / 255, batch["y"])


def test_smoke_training_of_the_blind_one(tmp_path):
    denoiser = load(train_real("smoke", ["fit.steps=4"], None, tmp_path))
    assert denoiser.card.blind and denoiser(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    load_preset(PhotoRealPreset, "photo-real", "paper")
    both = [
        Photo(**load_preset(PhotoPreset, "photo", "laptop").net.model_dump()),
        Photo(**load_preset(PhotoRealPreset, "photo-real", "laptop").net.model_dump(), blind=True),
    ]
    assert 2 * sum(p.numel() for net in both for p in net.parameters()) < 14e6  # bytes of what ships


def test_the_blind_one_can_begin_with_the_weights_of_the_other(tmp_path):
    first = load(train("smoke", ["fit.steps=2"], None, tmp_path / "first"))
    start = ["fit.steps=1", "fit.lr=1e-12", "fit.warmup=0", "fit.ema=0"]
    blind = load(train_real("smoke", start, None, tmp_path / "second", resume=tmp_path / "first/photo.safetensors"))
    torch.testing.assert_close(blind.net.head.weight, first.net.head.weight[:, :12], atol=1e-4, rtol=0)
    torch.testing.assert_close(blind.net.tail.weight, first.net.tail.weight, atol=1e-4, rtol=0)


def test_training_can_begin_with_weights_or_with_a_checkpoint(tmp_path):
    first = train("smoke", ["fit.steps=2"], None, tmp_path / "first")
    # a learning rate too small to move anything shows what a run began with
    still = ["fit.lr=1e-12", "fit.steps=3"]
    again = load(train("smoke", still, None, tmp_path / "weights", resume=first))
    for name, value in load(first).state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=1e-6)
    assert again.card.training["steps"] == 3
    checkpoint = tmp_path / "first/checkpoint.safetensors"
    assert load(train("smoke", still, None, tmp_path / "checkpoint", resume=checkpoint)).card.training["steps"] == 3
    with pytest.raises(InputError, match="another network"):
        train("smoke", ["net.widths=[16, 16]"], None, tmp_path / "other", resume=first)


def test_missing_data_is_named(tmp_path):
    with pytest.raises(MissingData, match="UNNOISE_DATA"):
        train("laptop", out=tmp_path)
    with pytest.raises(MissingData, match="BSD431"):
        train("laptop", data=tmp_path, out=tmp_path / "run")
    for pattern in ("clean/*", f"{tmp_path}/clean/?.png"):
        with pytest.raises(MissingData, match=r"clean.* is not there"):
            train("smoke", [f"data.train=[{pattern!r}]", "data.holdout={}"], data=tmp_path, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"holdout.*clean"):
        train("smoke", ["data.holdout={clean: 1}"], out=tmp_path / "run")
    with pytest.raises(InputError, match=r"repeat.*clean"):
        train("smoke", ["data.repeat={clean: 2}"], out=tmp_path / "run")


def test_a_folder_can_count_several_times():
    (small, large), holdout = ["scikit-image/page.png", "scikit-image/brick.png"], {"scikit-image/brick.png": 1}
    told = {"train": [small, large], "licence": "free", "repeat": {small: 3}}
    training, _ = photographs(DataOptions(**told), None)
    assert [image.shape[:2] for image in training.images] == 3 * [(191, 384)] + [(512, 512)]
    assert training.images[0] is training.images[2] and training.distinct == 2
    training, held = photographs(DataOptions(**told | {"holdout": holdout}), None)
    assert len(training.images) == 3 and len(held.images) == 1


def test_a_resumed_training_still_says_what_it_began_with(tmp_path):
    first = train("smoke", ["fit.steps=4"], data=tmp_path, out=tmp_path / "first")
    steps = ["fit.steps=8", "fit.max_minutes=1e-9"]
    for _ in range(8):  # a sitting of one step each
        again = (tmp_path / "then" / "checkpoint.safetensors").exists()
        last = train("smoke", steps, data=tmp_path, out=tmp_path / "then", resume=True if again else first)
    card = load(last).card.training
    assert card["steps"] == 8 and card["before"]["steps"] == 4
    assert "--from photo.safetensors" in card["command"]


@pytest.mark.parametrize("missing", ["unnoise.nets.fast.int8_supported", "unnoise.restore.photo.fast_supported"])
def test_other_processors_compute_in_floating_point(in_8_bits, monkeypatch, missing):
    fast, exact = in_8_bits
    y = torch.rand(1, 3, 24, 24)
    plain = copy.deepcopy(exact)
    plain.precision = fast_precision()
    monkeypatch.setattr(missing, lambda: False)
    torch.testing.assert_close(fast(y, 0.1), plain(y, 0.1), rtol=0, atol=0.5 / 255)
