import pytest
import torch


def photo(name):
    from skimage import data

    pixels = torch.from_numpy(getattr(data, name)().copy())
    pixels = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return pixels[None].float() / 255


@pytest.fixture(scope="session")
def photos():
    """Photographs inside the wheel of scikit-image: name -> (1, C, H, W) in [0, 1]."""
    return {name: photo(name)[..., :384, :448] for name in ("astronaut", "camera", "coffee", "chelsea")}
