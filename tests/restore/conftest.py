"""Real pictures in the wheel of scikit-image, and noise on them."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def astronaut():
    """(1, 3, 128, 128) RGB in [0, 1]."""
    from skimage import data

    return torch.from_numpy(data.astronaut()[:128, 150:278].astype(np.float32) / 255).permute(2, 0, 1)[None]


@pytest.fixture(scope="session")
def camera():
    """(1, 1, 128, 128) gray in [0, 1]."""
    from skimage import data

    return torch.from_numpy(data.camera()[60:188, 180:308].astype(np.float32) / 255)[None, None]


@pytest.fixture(scope="session")
def noisy():
    """Add Gaussian noise of a level (anything that broadcasts), the same at every call."""

    def add(x, sigma, seed=0):
        return x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))

    return add


@pytest.fixture(scope="session")
def psnr():
    def of(x_hat, x):
        return float(-10 * (x_hat.clip(0, 1) - x).square().mean().log10())

    return of
