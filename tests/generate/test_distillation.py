"""A student that begins as its teacher's conditional estimate and learns the guided one."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.generate.digits import Digits, noisy_batch
from unnoise.generate.distillation import guided_batch, loss_of, pupil, train
from unnoise.generate.guidance import Guided
from unnoise.noise.seeds import generator
from unnoise.zoo import load, save

CONFIG = {"widths": [16, 32], "blocks": [1, 1], "embedding": 32, "size": 8}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network in which every layer acts, so that classes differ."""
    torch.manual_seed(0)
    d = Digits(**CONFIG)
    for q in d.parameters():
        if not q.any():
            torch.nn.init.normal_(q, std=0.1)
    return save(tmp_path_factory.mktemp("w") / "d.safetensors", d, arch="digits", config=CONFIG, dtype="float32")


def batch(teacher, n=16):
    x = torch.randint(256, (n, 1, 8, 8), generator=generator(0)).byte()
    plain = noisy_batch(x, torch.arange(n) % 10, 0.0, (-0.5, 1.3), generator(1))
    return guided_batch(teacher, plain, (1.0, 8.0), generator(2))


def test_the_student_begins_as_the_conditional_estimate_and_the_target_is_the_guided_one(weights):
    teacher, student, _ = pupil(weights)
    b = batch(teacher)
    given = {"label": b["label"]}
    conditional = teacher(b["y"], b["sigma"], **given)
    torch.testing.assert_close(student(b["y"], b["sigma"], **given, scale=b["scale"]), conditional)
    one = Guided(teacher, float(b["scale"][3]))(b["y"], b["sigma"], **given)
    torch.testing.assert_close(b["x"][3], one[3])
    assert 1 <= b["scale"].min() < 3 < 6 < b["scale"].max() <= 8
    assert student.card.conditions == ("label", "scale")
    with pytest.raises(TypeError, match="scale"):
        teacher(b["y"], b["sigma"], scale=b["scale"])


def test_the_student_learns_to_be_guided(weights):
    teacher, student, _ = pupil(weights)
    b = batch(teacher)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    first = loss_of(student, b).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(student, b).backward()
        optimizer.step()
    assert loss_of(student, b).item() < 0.5 * first
    weak, strong = (student(b["y"], b["sigma"], label=b["label"], scale=torch.full((16,), s)) for s in (1.0, 8.0))
    assert not torch.allclose(weak, strong)


def test_the_smoke_preset_trains_and_its_file_takes_a_scale(weights, tmp_path):
    d = load(train("smoke", out=tmp_path, resume=weights))
    assert isinstance(d, Digits) and d.guided and d.card.training["steps"] == 4
    assert d(torch.rand(1, 1, 8, 8), 0.5, label=torch.tensor([3]), scale=torch.tensor([4.0])).shape == (1, 1, 8, 8)
    with pytest.raises(InputError, match="no teacher"):
        pupil(tmp_path / "digits-distilled.safetensors")
