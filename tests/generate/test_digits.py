"""The digits network, its training and its shipped weights."""

import pytest
import torch

from unnoise.data.digits import load_digits
from unnoise.errors import InputError, MissingData, UnnoiseError
from unnoise.generate.digits import Digits, DigitsPreset, loss_of, noisy_batch, train
from unnoise.generate.guidance import Guided, cosine
from unnoise.nets.diffusion_unet import DiffusionUNet
from unnoise.noise.seeds import generator
from unnoise.training.presets import load_preset
from unnoise.zoo import load

SMALL = {"widths": (16, 32), "blocks": (1, 1), "embedding": 32, "size": 8}


def test_no_class_and_minus_one_are_the_same_and_classes_differ():
    torch.manual_seed(0)
    d = Digits(**SMALL).eval()
    torch.nn.init.normal_(d.inner.net.tail.weight, std=0.1)
    for block in d.inner.net.middle:
        torch.nn.init.normal_(block.modulate.weight, std=0.1)
        torch.nn.init.normal_(block.conv2.weight, std=0.1)
    y = torch.rand(3, 1, 8, 8)
    none = d(y, 0.5)
    torch.testing.assert_close(d(y, 0.5, label=torch.full((3,), -1)), none)
    assert not torch.allclose(d(y, 0.5, label=torch.tensor([1, 2, 3])), none)
    # an untrained net is the identity at no noise, whatever its weights
    torch.testing.assert_close(d(y, 0.0), y, rtol=0, atol=1e-5)
    assert cosine(Guided(d, 2.0), y, 0.5, none, none, "raw").tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("label", [10, -2])
def test_a_class_out_of_range_is_refused(label):
    with pytest.raises(InputError, match="0 to 9"):
        Digits(**SMALL)(torch.zeros(1, 1, 8, 8), 0.5, label=torch.tensor([label]))


def test_sizes_off_the_grid_are_refused():
    with pytest.raises(InputError, match="multiples of 4"):
        DiffusionUNet(widths=(16, 32), blocks=(1, 1))(torch.zeros(1, 1, 9, 8), torch.zeros(1))
    with pytest.raises(InputError, match="multiples of 16"):
        DiffusionUNet(widths=(10,), blocks=(1,))


def test_the_loss_of_a_fresh_network_is_that_of_its_skip_alone():
    """c_skip y has weighted error 1 for data of standard deviation sigma_data about the middle."""
    torch.manual_seed(0)
    x = ((0.5 + 0.3 * torch.randn(256, 1, 8, 8)) * 255).clamp(0, 255).byte()
    batch = noisy_batch(x, torch.zeros(256, dtype=torch.long), 0.1, (-1.2, 1.2), generator(0))
    assert loss_of(Digits(**SMALL), batch).item() == pytest.approx(1.0, abs=0.12)
    assert 0.02 < (batch["label"] == -1).float().mean() < 0.25


def test_the_smoke_preset_trains_and_the_file_loads(tmp_path):
    path = train("smoke", out=tmp_path)
    d = load(path)
    assert isinstance(d, Digits)
    assert d.size == 8
    assert d.card.training["steps"] == 8
    images, labels = load_digits("scikit-learn")
    with torch.inference_mode():
        loss = float(loss_of(d, noisy_batch(images[:512], labels[:512], 0.0, (-1.2, 1.2), generator(1))))
    (measured,) = d.card.measured.items()
    assert measured == ("weighted loss on 512 test digits, log 2 sigma -1.2 ± 1.2", pytest.approx(loss, rel=0.01))
    with pytest.raises(UnnoiseError, match="--resume"):
        train("smoke", out=tmp_path)


def test_a_training_that_begins_with_weights_says_so_even_when_resumed(tmp_path):
    first = train("smoke", ["fit.steps=2"], out=tmp_path / "a")
    train("smoke", ["fit.steps=4"], out=tmp_path / "b", resume=first)
    card = load(train("smoke", ["fit.steps=6"], out=tmp_path / "b", resume=True)).card.training
    assert "--from digits.safetensors" in card["command"] and card["steps"] == 6
    assert card["earlier"]["steps"] == 2
    with pytest.raises(InputError, match="another network"):
        train("smoke", ["net.widths=[16, 48]"], out=tmp_path / "c", resume=first)


def test_the_paper_preset_is_of_the_published_width_and_every_weight_learns():
    p = load_preset(DigitsPreset, "digits", "paper")
    torch.manual_seed(0)
    with torch.device("meta"):
        big = Digits(**p.net.model_dump())
    assert sum(x.numel() for x in big.parameters()) > 10_000_000
    net = Digits(**SMALL)
    for part in net.modules():
        for parameter in part.parameters(recurse=False):
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    x = torch.randint(256, (16, 1, 8, 8)).byte()
    loss_of(net, noisy_batch(x, torch.arange(16) % 10, 0.2, (-0.5, 1.3), generator(0))).backward()
    assert all(q.grad is not None and bool(q.grad.abs().sum() > 0) for q in net.parameters())


def test_digits_that_are_not_here_are_named(tmp_path):
    with pytest.raises(MissingData, match="train_0"):
        load_digits("mnist-train", tmp_path)
    with pytest.raises(InputError, match="did you mean 'mnist-train'"):
        load_digits("mnist-trian")
    images, labels = load_digits("scikit-learn")
    assert images.shape == (1797, 1, 8, 8)
    assert images.max() == 255
    assert sorted(set(labels.tolist())) == list(range(10))
