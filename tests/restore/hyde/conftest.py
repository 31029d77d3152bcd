"""Small cubes with known signal and noise."""

import pytest
import torch

from unnoise.noise import generator


def smooth(n, shape, seed):
    """n smooth images in about [0, 1]."""
    coarse = torch.rand(1, n, 5, 5, generator=generator(seed))
    return torch.nn.functional.interpolate(coarse, shape, mode="bicubic", align_corners=True)[0]


def low_rank(rank, bands, shape, seed=0):
    """A cube (1, bands, H, W) of exactly this rank, smooth in space and spectrum."""
    t = torch.linspace(0, 1, bands)[:, None]
    spectra = 0.5 + 0.4 * torch.sin(6 * t * torch.arange(1, rank + 1) / rank + torch.arange(rank))
    return torch.einsum("br,rhw->bhw", spectra / rank, smooth(rank, shape, seed))[None]


@pytest.fixture(scope="session")
def clean():
    """Rank 4, 30 bands, 48 x 40 pixels."""
    return low_rank(4, 30, (48, 40))


@pytest.fixture(scope="session")
def noise():
    """Standard normal noise of the clean cube's shape."""

    def draw(x, seed=0):
        return torch.randn(x.shape, generator=generator(100 + seed))

    return draw


@pytest.fixture(scope="session")
def low_rank_cube():
    return low_rank
