"""Published networks rebuilt from their weights give the values their files were measured with."""

import numpy as np
import pytest
import torch

from unnoise.data.catalog import root
from unnoise.data.pairs import gaussian_pairs
from unnoise.metrics import psnr
from unnoise.nets.published import load_published


@pytest.mark.parametrize(
    ("file", "dataset", "pictures", "sigma", "expected"),
    [
        ("bfcnn_gray_0-10.npz", "set12", (1, 3), 5, 38.94),
        ("bfcnn_gray_0-10.npz", "set12", (1, 3), 50, 27.20),
        ("bcnn_gray_0-10.npz", "set12", (1, 3), 5, 38.92),
        ("bcnn_gray_0-10.npz", "set12", (1, 3), 50, 15.16),
    ],
)
def test_measured_values(file, dataset, pictures, sigma, expected):
    if root() is None or not (root() / "weights" / file).exists():
        pytest.skip(f"UNNOISE_DATA has no weights/{file}")
    net = load_published(root() / "weights" / file)
    found = []
    for i, pair in enumerate(gaussian_pairs(dataset, sigma)):
        if i in pictures:
            with torch.inference_mode():
                x_hat = net(torch.from_numpy(pair.noisy)[None, None], sigma / 255)[0, 0]
            found.append(psnr(x_hat.numpy(), pair.clean))
    assert np.mean(found) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("channels", "width"), [(1, 64), (3, 96)])
def test_ffdnet_packs_blocks_down_their_columns_and_takes_odd_sizes(tmp_path, channels, width):
    # a network that lets packed channel k = 1 through, the pixels (1::2, 0::2), and drops all others
    first = np.zeros((width, 4 * channels + 1, 3, 3), np.float16)
    last = np.zeros((4 * channels, width, 3, 3), np.float16)
    first[0, 1, 1, 1] = last[1, 0, 1, 1] = 1
    zeros = {"conv0.bias": np.zeros(width, np.float16), "conv1.bias": np.zeros(4 * channels, np.float16)}
    np.savez(tmp_path / "ffdnet_x.npz", **{"conv0.weight": first, "conv1.weight": last} | zeros)
    y = torch.rand(1, channels, 7, 5)
    x_hat = load_published(tmp_path / "ffdnet_x.npz")(y, 0.1)
    expected = torch.zeros_like(y)
    expected[:, 0, 1::2, 0::2] = y[:, 0, 1::2, 0::2]
    torch.testing.assert_close(x_hat, expected)
