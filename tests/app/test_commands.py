import numpy as np
import pytest
from PIL import Image


def test_noise_names_the_noise_and_draws_it(unnoise, noisy_png, tmp_path):
    said = unnoise("noise", noisy_png)
    assert said.code == 0, said.err
    assert "noise level" in said.out
    plot = Image.open(tmp_path / "noisy.noise.png")
    assert min(plot.size) > 300
    assert unnoise("noise", noisy_png).code == 2  # the plot is there already
    assert unnoise("noise", noisy_png, "--overwrite").code == 0


def test_compare_shows_every_method_that_applies(unnoise, noisy_png, tmp_path):
    from unnoise.restore import METHODS

    said = unnoise("compare", noisy_png)
    assert said.code == 0, said.err
    for name, method in METHODS.items():  # one that has yet to learn cannot be compared
        assert (name in said.out) == ("photo" in method.kinds and method.adapt is None)
    sheet = Image.open(tmp_path / "noisy.compare.png")
    assert min(sheet.size) > 300


def test_compare_with_a_clean_reference_measures(unnoise, noisy_png, tmp_path):
    from skimage import data

    Image.fromarray(data.astronaut()[100:196, 150:270]).save(tmp_path / "clean.png")
    said = unnoise("compare", noisy_png, "--clean", tmp_path / "clean.png")
    assert said.code == 0, said.err
    assert "PSNR" in said.out
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "small.png")
    said = unnoise("compare", noisy_png, "--clean", tmp_path / "small.png", "--overwrite")
    assert said.code == 2
    assert "5" in said.err


@pytest.mark.parametrize("command", ["methods", "models", "papers", "data"])
def test_lists(unnoise, command, monkeypatch, tmp_path):
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    said = unnoise(command)
    assert said.code == 0, said.err
    assert said.out.strip()


def test_usage_errors_suggest_and_return_2(unnoise):
    said = unnoise("denois")
    assert said.code == 2
    assert "denoise" in said.err


def test_version(unnoise):
    import unnoise as package

    assert unnoise("--version").out.strip() == f"unnoise {package.__version__}"
