"""The shipped network for cubes does what its card says; damaged or wrong weights fail here."""

import numpy as np
import pytest
import torch

from unnoise.data.cube_sets import synthetic_cube
from unnoise.errors import InputError
from unnoise.metrics.cube import mpsnr, sam
from unnoise.noise.cubes import GaussianSNR
from unnoise.noise.seeds import generator
from unnoise.restore.hyde.neural import trained
from unnoise.zoo.header import find

GAIN, ANGLE = 9.7, 0.28  # 10.1 and 0.26 were measured


def scores(denoiser):
    """MPSNR gain (dB) and spectral angle over the noisy one's, on a cube that no training saw."""
    x = np.float32(700) * synthetic_cube((40, 44, 30))
    y = GaussianSNR(20.0).sample(torch.from_numpy(x.transpose(2, 0, 1).copy())[None], generator(0))
    noisy, clean = (c[0].permute(1, 2, 0).numpy() for c in (y, denoiser(y)))
    return mpsnr(clean, x) - mpsnr(noisy, x), sam(clean, x) / sam(noisy, x)


def test_quality_on_a_cube_it_was_not_trained_on():
    gain, angle = scores(trained())
    assert gain > GAIN and angle < ANGLE


def test_weights_that_are_not_what_was_trained_fail_that_test():
    """Noise of half their size on the weights of one layer is enough to miss it."""
    denoiser = trained()
    with torch.no_grad():
        w = denoiser.net.up[4].weight
        w += 0.5 * w.std() * torch.randn(w.shape, generator=generator(1))
    assert scores(denoiser)[0] < GAIN


def test_a_damaged_file_is_named(tmp_path):
    data = find("qrnn2d").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"short\.safetensors"):
        trained(tmp_path / "short.safetensors")


def test_the_card_says_where_the_weights_come_from():
    card = trained().card
    assert card.kind == "cube" and card.blind and card.training["minutes"] > 0
    assert card.training["command"].startswith("unnoise train hyde")
    assert card.training["before"]["steps"] == 900
    assert "BSDS500" in card.training["data_licence"]
