"""The JPEG grid: absent, present, and where."""

import pytest
import torch

from unnoise.noise.blocking import jpeg_grid, jpeg_phase
from unnoise.noise.models import Gaussian, Jpeg
from unnoise.noise.seeds import generator


def test_grows_as_quality_falls_and_is_absent_without_jpeg(photos):
    for name in ("camera", "coffee"):
        x = photos[name]
        strengths = [jpeg_grid(Jpeg(q).sample(x)) for q in (95, 80, 50, 20)]
        assert strengths == sorted(strengths)
        assert strengths[2] > 0.3
        assert jpeg_grid(Gaussian(5 / 255).sample(x, generator(0))) < 0.08


@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (7, 1)])
def test_phase_is_where_the_blocks_start(photos, shift):
    y = Jpeg(40).sample(photos["coffee"])[..., shift[0] :, shift[1] :]
    assert jpeg_phase(y) == ((-shift[0]) % 8, (-shift[1]) % 8)


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (40, 5), (33, 47)])
def test_small_and_constant_pictures_have_no_grid(size):
    assert jpeg_grid(torch.full((1, 3, *size), 0.25)) == 0
    assert jpeg_grid(torch.rand(1, 3, *size)) >= 0
