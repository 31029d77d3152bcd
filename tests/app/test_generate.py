"""`unnoise generate` with the shipped digits."""

import numpy as np
import pytest
import torch
from PIL import Image

from unnoise.generate.digits import Digits
from unnoise.restore.photo import Photo
from unnoise.zoo import load, models, save


def test_a_sheet_of_one_class(unnoise, tmp_path):
    sheet = tmp_path / "sheet.png"
    said = unnoise("generate", "digits", "-n", 4, "--class", 3, "--guidance", 4, "--steps", 3, "-o", sheet)
    assert said.code == 0, said.err
    assert "6.0 evaluations" in said.out
    assert Image.open(sheet).size == (2 * 58 + 2, 2 * 58 + 2)
    assert unnoise("generate", "digits", "-n", 1, "--steps", 1, "-o", sheet).code == 2  # it is there already


def test_adaptive_guidance_costs_less_and_arrays_do_not_depend_on_the_batch(unnoise, tmp_path):
    common = ["--class", 7, "--guidance", 3, "--policy", "ag:-1", "--steps", 4]
    said = unnoise("generate", "digits", "-n", 3, *common, "-o", tmp_path / "three.npy")
    assert "5.0 evaluations" in said.out
    unnoise("generate", "digits", "-n", 2, *common, "-o", tmp_path / "two.npy")
    three, two = np.load(tmp_path / "three.npy"), np.load(tmp_path / "two.npy")
    assert three.shape == (3, 1, 28, 28)
    np.testing.assert_allclose(three[:2], two, atol=1e-3)


def test_without_a_class_each_picture_draws_its_own(unnoise, tmp_path):
    common = ["--guidance", 3, "--policy", "first:1", "--steps", 3]
    said = unnoise("generate", "digits", "-n", 3, *common, "-o", tmp_path / "three.npy")
    assert "4.0 evaluations" in said.out
    unnoise("generate", "digits", "-n", 2, *common, "-o", tmp_path / "two.npy")
    np.testing.assert_allclose(np.load(tmp_path / "three.npy")[:2], np.load(tmp_path / "two.npy"), atol=1e-3)
    assert unnoise("generate", "digits", "-n", 1, "--class", -1, "--steps", 2, "-o", tmp_path / "one.npy").code == 0


def test_linear_coefficients_are_fitted_once_and_kept(unnoise, tmp_path, monkeypatch):
    monkeypatch.setattr("unnoise.app.cli.generate.PATHS", 10)
    file = tmp_path / "linear.json"
    common = ["generate", "digits", "-n", 2, "--guidance", 3, "--policy", f"linear:{file}", "--steps", 4]
    said = unnoise(*common, "-o", tmp_path / "a.npy")
    assert said.code == 0, said.err
    assert "10 guided runs" in said.err and "5.0 evaluations" in said.out
    again = unnoise(*common, "-o", tmp_path / "b.npy")
    assert "guided runs" not in again.err
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    said = unnoise(*common, "--sampler", "euler", "-o", tmp_path / "c.npy")
    assert said.code == 2 and "sampler" in said.err


def test_a_distilled_model_is_guided_in_one_evaluation(unnoise, tmp_path):
    config = {"widths": [16, 32], "blocks": [1, 1], "embedding": 32, "size": 8, "guided": True}
    path = save(tmp_path / "student.safetensors", Digits(**config), arch="digits", config=config)
    common = ["generate", path, "-n", 2, "--guidance", 4, "--steps", 3]
    said = unnoise(*common, "-o", tmp_path / "x.npy")
    assert said.code == 0, said.err
    assert "3.0 evaluations" in said.out
    said = unnoise(*common, "--policy", "ag", "-o", tmp_path / "y.npy")
    assert said.code == 2 and "drop --policy" in said.err


def test_compare_shows_what_would_be_saved_and_writes_nothing(unnoise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = unnoise("generate", "digits", "-n", 2, "--guidance", 4, "--steps", 5, "--compare")
    assert said.code == 0, said.err
    assert said.out.count("adaptive") == 5 and "full guidance, 4 steps" in said.out and "cosine" in said.out
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_digits_are_small_and_know_their_training():
    (model,) = [m for m in models() if m.name == "digits"]
    assert model.bytes < 1_200_000
    assert model.card["training"]["steps"] > 1000
    d = load("digits")
    y = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert (d(y, 1e-3) - y).abs().max() < 0.05


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--class", 10], "0 to 9"),
        (["--class", -1, "--guidance", 3], "--class"),
        (["--class", -2], "-1 for none"),
        (["--sampler", "dpm"], "unknown sampler"),
        (["--steps", 0], "at least 1"),
        (["-n", 0], "at least 1"),
        (["--class", 1, "--guidance", 2, "--policy", "agg"], "policy"),
        (["--class", 1, "--policy", "ag"], "scale 1 takes one estimate"),
        (["--compare"], "scale 1 takes one estimate"),
        (["--guidance", 0, "--compare"], "scale 0 takes one estimate"),
        (["--guidance", 2, "--compare", "--policy", "ag"], "drop --policy"),
        (["--guidance", 2, "--policy", "interval:5:1"], "low < high"),
        (["--guidance", 2, "--policy", "first:1", "--steps", 0], "--steps must be at least 1"),
        (["--seed", -1], "from 0 on"),
        (["-o", "sheet.gif"], ".png"),
    ],
)
def test_mistakes_end_in_one_sentence(unnoise, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    said = unnoise("generate", "digits", *arguments)
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_folder_of_diffusers_draws_too(unnoise, tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="needs the extra 'diffusers'")
    torch.manual_seed(0)
    small = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 8}
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    net = diffusers.UNet2DModel(**small, **blocks, num_class_embeds=4)
    diffusers.DDPMPipeline(net, diffusers.DDPMScheduler()).save_pretrained(tmp_path / "model")
    common = (tmp_path / "model", "-n", 2, "--steps", 2, "-o", tmp_path / "x.npy")
    assert unnoise("generate", *common, "--class", 3).code == 0
    assert np.load(tmp_path / "x.npy").shape == (2, 3, 8, 8)
    for more, says in (
        (("--class", 4), "0 to 3"),
        (("--class", -1), "class"),
        (("--class", 1, "--guidance", 3), "null="),
    ):
        said = unnoise("generate", *common, "--overwrite", *more)
        assert said.code == 2 and says in said.err and len(said.err.strip().splitlines()) == 1
    net = diffusers.AutoencoderKL(block_out_channels=(32,))
    net.save_pretrained(tmp_path / "model" / "unet")
    said = unnoise("generate", *common, "--overwrite")
    assert said.code == 2 and "'AutoencoderKL'" in said.err


def test_a_denoiser_of_photographs_does_not_generate(unnoise, tmp_path):
    config = {"widths": [16], "blocks": [1]}
    path = save(tmp_path / "small.safetensors", Photo(**config), arch="photo", config=config)
    said = unnoise("generate", path, "-o", tmp_path / "x.png")
    assert said.code == 2
    assert "not to generate" in said.err
