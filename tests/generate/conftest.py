"""Targets whose score is known exactly."""

import pytest

from unnoise.denoiser import GaussianMixture


@pytest.fixture(scope="session")
def mixture():
    """Four blobs in the plane, in two classes."""
    means = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -0.5]]
    return GaussianMixture([0.4, 0.3, 0.2, 0.1], means, [0.1, 0.2, 0.15, 0.3], labels=[0, 0, 1, 1])


@pytest.fixture(scope="session")
def gaussian():
    """N(0.3, 0.49 I) in three dimensions."""
    return GaussianMixture([1.0], [[0.3, 0.3, 0.3]], 0.7)
