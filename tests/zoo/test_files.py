import json
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from unnoise.denoiser.base import Card
from unnoise.errors import InputError, OutputError
from unnoise.restore.photo import Photo
from unnoise.zoo import load, load_model, models, save

CONFIG = {"widths": [16, 32], "blocks": [1, 1], "precision": "float32"}


@pytest.fixture
def photo():
    torch.manual_seed(0)
    return Photo(**CONFIG).eval()


@pytest.fixture
def weights(photo, tmp_path):
    return save(tmp_path / "mine.safetensors", photo, arch="photo", config=CONFIG)


def with_header(path, change):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_weights_in_8_bits_come_back_within_half_a_step(photo, tmp_path):
    name = "net.encoder.1.0.conv1.weight"
    path = save(tmp_path / "a.safetensors", photo, arch="photo", config=CONFIG, int8=[name])
    weight, again = photo.state_dict()[name], load(path).state_dict()[name]
    assert ((weight - again).abs() <= weight.abs().amax((1, 2, 3), keepdim=True) / 127 / 2 * 1.01).all()
    assert load_file(path)[name].dtype == torch.int8
    twice = save(tmp_path / "b.safetensors", load(path), arch="photo", config=CONFIG, int8=[name])
    assert torch.equal(load_file(twice)[name], load_file(path)[name])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_saved_and_loaded_denoise_alike(photo, tmp_path, dtype):
    photo.card.training["minutes"] = 3
    path = save(tmp_path / "a.safetensors", photo, arch="photo", config=CONFIG, dtype=dtype)
    again = load(path)
    y = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        error = (again(y, 0.1) - photo(y, 0.1)).abs().max()
    assert error == 0 if dtype == "float32" else error < 2e-3
    assert again.card == photo.card and not again.training
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_float16_is_stored_once_and_stays(weights, tmp_path):
    second = save(tmp_path / "b.safetensors", load(weights), arch="photo", config=CONFIG)
    first, second = load_file(weights), load_file(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_models_reads_headers_without_torch(weights, monkeypatch):
    monkeypatch.setattr("unnoise.zoo.header.WEIGHTS", weights.parent)
    (model,) = models()
    assert (model.name, model.arch, model.config, model.bytes) == ("mine", "photo", CONFIG, weights.stat().st_size)
    assert Card.from_dict(model.card).reach == 23
    assert model.parameters == sum(p.numel() for p in load("mine").parameters())
    code = "import sys; from unnoise.zoo import models; models(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shipped_weights_are_whole_and_small():
    for model in models():
        assert load_model(model.name).card.measured
    photo = [model.bytes for model in models() if model.arch == "photo"]
    assert sum(photo) <= 14e6
    assert all(model.bytes <= 1.2e6 for model in models() if model.arch != "photo")


def test_a_model_that_is_no_denoiser_is_read_by_load_model():
    assert load_model("wild_jdd").card.kind == "raw"
    with pytest.raises(InputError, match="holds a WildJDD, which is no denoiser"):
        load("wild_jdd")


def test_truncated(weights):
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"mine\.safetensors is truncated"):
        load(weights)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"text renamed to safetensors", b"\xff" * 64])
def test_not_a_weight_file(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors is not a safetensors file or is damaged"):
        load(path)


def test_tensors_of_others(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not written by unnoise"):
        load(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arch", '"transformer"', "architecture 'transformer', which this unnoise does not know"),
        ("format_version", "3", "format version 3, this unnoise reads up to 2"),
        ("config", "{", "damaged header"),
        ("config", '{"depth": 3}', "configuration that 'photo' does not take"),
        ("config", '{"widths": [16, 48], "blocks": [1, 1]}', r"does not fit.*the first is net\."),
        ("config", '{"widths": [16, 32], "blocks": [2, 1]}', r"does not fit.*the first is net\."),
    ],
)
def test_other_headers(weights, key, value, message):
    with_header(weights, lambda meta: meta.update({key: value}))
    with pytest.raises(InputError, match=message) as error:
        load(weights)
    assert str(weights) in str(error.value) and "\n" not in str(error.value)


def test_unknown_names(weights, monkeypatch):
    monkeypatch.setattr("unnoise.zoo.header.WEIGHTS", weights.parent)
    with pytest.raises(InputError, match="did you mean 'mine'"):
        load("mind")
    with pytest.raises(InputError, match="no weight file"):
        load("folder/mine.safetensors")


def test_what_cannot_be_saved(photo, tmp_path):
    with pytest.raises(InputError, match="did you mean 'photo'"):
        save(tmp_path / "a.safetensors", photo, arch="foto", config=CONFIG)
    with pytest.raises(InputError, match=r"\.safetensors"):
        save(tmp_path / "a.pt", photo, arch="photo", config=CONFIG)
    with pytest.raises(InputError, match="dtype"):
        save(tmp_path / "a.safetensors", photo, arch="photo", config=CONFIG, dtype="int3")
    with torch.no_grad():
        photo.net.head.weight[0, 0, 0, 0] = 1e6
    with pytest.raises(InputError, match=r"net\.head\.weight is not finite in float16"):
        save(tmp_path / "a.safetensors", photo, arch="photo", config=CONFIG)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save(tmp_path / "file/a.safetensors", photo, arch="photo", config=CONFIG, dtype="float32")
