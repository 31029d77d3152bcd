"""`unnoise explain` on a small network of known structure."""

import pytest
import torch
from PIL import Image

from unnoise.app.explain_plot import explain_picture
from unnoise.restore.photo import Photo
from unnoise.zoo import save


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    config = {"widths": [16, 32], "blocks": [1, 1]}
    return save(tmp_path / "small.safetensors", Photo(**config), arch="photo", config=config)


def test_explain_measures_and_draws(unnoise, noisy_png, weights, tmp_path):
    said = unnoise("explain", weights, noisy_png, "--at", "40,30", "--size", 12, "-k", 4)
    assert said.code == 0, said.err
    assert "effective dimension" in said.out
    assert "round 40,30" in said.out
    assert min(Image.open(tmp_path / "noisy.explain.png").size) > 500
    assert unnoise("explain", weights, noisy_png, "--size", 12).code == 2  # the figure is there already


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--at", "900,3"], "outside the picture"),
        (["--at", "left"], "--at 120,80"),
        (["--size", 4], "at least 8"),
        (["--sigma", 0], "above 0"),
        (["--sigma", 300], "up to 255"),
        (["-k", 0], "at least 1"),
    ],
)
def test_mistakes_end_in_one_sentence(unnoise, noisy_png, weights, arguments, says):
    said = unnoise("explain", weights, noisy_png, *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_the_part_looked_at_is_the_liveliest_and_stein_knows_its_error():
    x = torch.full((1, 1, 40, 40), 0.5)
    x[..., 24:36, 24:36] = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    denoiser = Photo(widths=(16, 32), blocks=(1, 1), precision="float32").eval()
    found = explain_picture(denoiser, x, 0.1, None, 12, 3, noisy=False, seed=0)
    column, row = map(int, found.where.split("round ")[1].split(", sigma")[0].split(","))
    assert 24 <= column <= 36
    assert 24 <= row <= 36
    assert found.sure == pytest.approx(found.error, rel=0.5)
    assert found.basis.homogeneity < 0.5


def test_an_estimate_below_zero_is_not_shown_as_an_error_of_zero():
    from dataclasses import replace

    from unnoise.app.cli.explain import _table

    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    denoiser = Photo(widths=(16, 32), blocks=(1, 1), precision="float32").eval()
    found = explain_picture(denoiser, x, 0.1, None, 8, 2, noisy=False, seed=0)
    shown = list(_table(replace(found, sure=-1e-4)).columns[1].cells)
    assert any("too few pixels" in str(cell) for cell in shown)
